"""An observation: one check on one target, at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue


class Verdict(StrEnum):
    """What a check found.

    Only ``fail`` is drift. A check that could not be carried out is ``not_assessed`` (a known,
    harmless reason, such as a missing privilege) or ``error`` (it should have worked); neither is
    ever ``pass``.
    """

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    NOT_ASSESSED = "not_assessed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Observation:
    """One check on one target.

    Attributes:
        check_id: Id of the runbook whose detect half ran.
        target_id: The machine.
        verdict: What was found.
        reason: One sentence for people; for ``fail`` the first clause that did not hold.
        facts: Typed facts as reported; empty when nothing could be read.
        observed_at: Time of the turn, UTC.

    """

    check_id: str
    target_id: str
    verdict: Verdict
    reason: str
    observed_at: datetime
    facts: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What every scan learns of the machine first, before any check.

    Attributes:
        hostname: The machine's own name (shown, never used as identity).
        os_id: ``ID`` of os-release (``debian``, ``ubuntu``, ``rhel``, ``nixos`` ...).
        os_like: ``ID_LIKE`` of os-release, split.
        os_version: ``VERSION_ID`` of os-release; empty on rolling releases.
        kernel: ``uname -r``.
        login_user: Who logged in, before any sudo.
        login_by: How, as this appliance knows: ``key``, ``password``, ``either`` (both were at hand), or empty for
            a local session.
        is_root: Whether the checks run as root.
        systemd: Whether systemd is the init system.
        container: Whether the machine is a container (kernel settings are not its own).
        product: Of Windows: ``workstation``, ``server`` or ``domain_controller``.
        edition: Of Windows: ``EditionID``, such as ``Professional``, ``Core`` (Home) or ``ServerStandard``.
        domain_joined: Of Windows: whether it belongs to a domain.

    """

    hostname: str = ""
    os_id: str = ""
    os_like: tuple[str, ...] = ()
    os_version: str = ""
    kernel: str = ""
    login_user: str = ""
    login_by: str = ""
    is_root: bool = False
    systemd: bool = False
    container: bool = False
    product: str = ""
    edition: str = ""
    domain_joined: bool = False

    @property
    def platform(self) -> str:
        """Return the incident's platform: ``windows``, ``nixos`` for NixOS, else ``linux``."""
        if self.os_id == "windows":
            return "windows"
        return "nixos" if self.os_id == "nixos" else "linux"

    def document(self) -> dict[str, JsonValue]:
        """Return the facts as the ``host`` object that patterns see."""
        windows: dict[str, JsonValue] = {}
        if self.os_id == "windows":
            windows = {"product": self.product, "edition": self.edition, "domain_joined": self.domain_joined}
        return {
            **windows,
            "hostname": self.hostname,
            "os_id": self.os_id,
            "os_like": list(self.os_like),
            "os_version": self.os_version,
            "kernel": self.kernel,
            "login_user": self.login_user,
            "login_by": self.login_by,
            "is_root": self.is_root,
            "systemd": self.systemd,
            "container": self.container,
        }
