"""A target: one machine that is checked and, where allowed, healed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(StrEnum):
    """How far the agent may go. Where several modes apply, ``observe`` wins."""

    OBSERVE = "observe"
    ENFORCE = "enforce"


def strictest(*modes: Mode) -> Mode:
    """Return ``observe`` if any of the modes is ``observe``, else ``enforce``."""
    return Mode.OBSERVE if Mode.OBSERVE in modes else Mode.ENFORCE


class Platform(StrEnum):
    """What kind of system a target runs; decides which runbooks and transports fit."""

    LINUX = "linux"
    WINDOWS = "windows"


class TransportKind(StrEnum):
    """How a target is spoken to."""

    LOCAL = "local"
    SSH = "ssh"
    WINRM = "winrm"


class WinRmLogin(StrEnum):
    """How a WinRM session logs in. Basic, which shows the password to the server, is not among them."""

    NTLM = "ntlm"
    KERBEROS = "kerberos"


class Become(StrEnum):
    """How a session gains root on a target."""

    NONE = "none"
    SUDO = "sudo"


@dataclass(frozen=True, slots=True)
class CheckSelection:
    """Which checks a target gets.

    Attributes:
        include: Check ids or shell-style wildcards; ``None`` means all that fit the platform.
        exclude: Check ids or shell-style wildcards taken away from those.

    """

    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One machine. Secrets are paths here, never values.

    Attributes:
        target_id: Stable identity within the site; never derived from an address.
        site_id: The clinic that it belongs to.
        platform: Decides runbooks and handlers.
        transport: How to speak to it.
        host: Name or address; empty for ``local``.
        port: TCP port for ``ssh`` and ``winrm``.
        user: Login name for ``ssh`` and ``winrm``.
        identity_file: Path of a private key, or ``None``.
        password_file: Path of a file that holds the login password, or ``None``.
        certificate_file: Path of the private key's OpenSSH certificate, or ``None``.
        host_key: Fingerprint (``SHA256:...``) of the only host key to trust; empty leaves it to ``known_hosts``.
        via: The jump host to go through, or ``None``.
        become: How to gain root when the login is not root.
        become_password_file: Path of a file that holds the sudo password, or ``None``.
        login: How to log in over ``winrm``.
        tls: Whether ``winrm`` goes over HTTPS; over HTTP every message is encrypted by the login's own session key.
        ca_file: Path of the certificates that may vouch for the ``winrm`` server, or ``None`` for the usual ones.
        certificate_sha256: SHA-256, lower-case hex, of the only server certificate to trust; empty leaves it to them.
        mode: This target's own mode (the site's and the runbook's count too).
        tags: Free labels.
        checks: Which checks to run.
        parameters: Runbook id to parameter values that differ from the defaults.

    """

    target_id: str
    site_id: str
    platform: Platform = Platform.LINUX
    transport: TransportKind = TransportKind.LOCAL
    host: str = ""
    port: int = 22
    user: str = ""
    identity_file: str | None = None
    password_file: str | None = None
    certificate_file: str | None = None
    host_key: str = ""
    via: Target | None = None
    become: Become = Become.NONE
    become_password_file: str | None = None
    login: WinRmLogin = WinRmLogin.NTLM
    tls: bool = True
    ca_file: str | None = None
    certificate_sha256: str = ""
    mode: Mode = Mode.ENFORCE
    tags: tuple[str, ...] = ()
    checks: CheckSelection = field(default_factory=CheckSelection)
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Return ``host:port`` for people, or ``this machine``."""
        if self.transport is TransportKind.LOCAL:
            return "this machine"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def login_by(self) -> str:
        """Return how a session logs in: ``key``, ``password``, ``either``, ``kerberos``, or empty: nobody logs in."""
        if self.transport is TransportKind.LOCAL:
            return ""
        if self.transport is TransportKind.WINRM:
            return "kerberos" if self.login is WinRmLogin.KERBEROS else "password"
        if self.identity_file and self.password_file:
            return "either"
        return "key" if self.identity_file else "password"
