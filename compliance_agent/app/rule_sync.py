"""When the agent looks for rules, and what becomes of what it finds: the engine takes a changed file up by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from compliance_agent.adapters.control_plane.exchange import Address
from compliance_agent.adapters.synced_rules import (
    Checked,
    active_path,
    read_checked,
    synced_folder,
    write_active,
    write_checked,
)
from compliance_agent.domain.uplink import RETRY_AFTER_MAX_S

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from random import Random

    from compliance_agent.adapters.control_plane.signed_rules import Look, SignedRules
    from compliance_agent.app.settings import Settings
    from compliance_agent.engine.ports import Events

_FAILURE_MAX_S: Final = 900.0
"""Longest wait after failures: a control plane that comes back is to be asked within minutes."""

_TELL_EVERY_S: Final = 300.0
"""So often at most the time of the last good look is written down."""


def signed_rules_of(settings: Settings) -> SignedRules | None:
    """Return where rules come from; ``None`` where nobody is to be asked."""
    control_plane = settings.control_plane
    if control_plane is None or settings.state_dir is None or not control_plane.sync_rules:
        return None
    from compliance_agent.adapters.control_plane.signed_rules import SignedRules  # noqa: PLC0415 - where it is used only

    address = Address(control_plane.url, control_plane.ca_file, deadline_s=control_plane.timeout_s)
    folder = synced_folder(settings.state_dir)
    return SignedRules(folder, address, control_plane.token_file, settings.site_id)


class Source(Protocol):
    """Where rules come from."""

    def look(self, *, now: datetime, whole: bool = False) -> Look:
        """Look whether there are new rules; ``whole`` also brings those that were seen before. Never raises."""
        ...


@dataclass
class RuleSync:
    """Looks for rules when it is time. Not thread-safe.

    Attributes:
        state_dir: Where they are kept.
        rules: Where they come from.
        interval_s: Between two looks, on average.
        events: Told of new rules, of trouble, and of its end; the same trouble once.
        rng: Chance: appliances must not beat in step.

    """

    state_dir: Path
    rules: Source
    interval_s: float
    events: Events
    rng: Random
    _looked_at: datetime | None = field(default=None)
    _wait_s: float = 0.0
    _failures: int = 0
    _trouble: str = ""
    _is_behind: bool = False
    _written: tuple[Checked, datetime] | None = field(default=None)

    def look_if_due(self, now: datetime) -> None:
        """Look for rules where it is time. Never raises."""
        if self._looked_at is not None and abs((now - self._looked_at).total_seconds()) < self._wait_s:
            return
        whole = self._is_behind or not active_path(self.state_dir).exists()
        look = self.rules.look(now=now, whole=whole)
        self._looked_at, self._wait_s = now, self._next_wait_s(look)
        try:
            self.take_up(look, now)
            self._is_behind = self._is_behind and bool(look.trouble)
        except OSError as error:  # a full disk: what is in force stays, and the next look is a whole one
            self._is_behind = True
            self._tell(f"{error.filename or 'the rules'} cannot be written: {error.strerror or error}")

    def take_up(self, look: Look, now: datetime) -> bool:
        """Put what was found in force, and keep how it went; tell whether rules changed.

        Raises:
            OSError: Something cannot be written.

        """
        changed = False
        if look.bundle is not None:
            changed = write_active(self.state_dir, look.bundle)
            if changed:
                self.events.emit("rules.synced", version=look.bundle.version)
        self._tell(look.trouble)
        before = read_checked(self.state_dir) or Checked()
        version = look.bundle.version if look.bundle is not None else before.version
        good_at = before.good_at if look.trouble else now.isoformat(timespec="seconds")
        self._write(Checked(good_at, look.trouble, version), now)
        return changed

    def _next_wait_s(self, look: Look) -> float:
        self._failures = self._failures + 1 if look.trouble else 0
        wait_s = self.interval_s * self.rng.uniform(0.9, 1.1)
        if look.trouble:
            most = max(self.interval_s, min(_FAILURE_MAX_S, self.interval_s * 2.0 ** min(self._failures - 1, 16)))
            wait_s = self.interval_s / 2 + self.rng.uniform(0, most)
            wait_s = max(wait_s, min(look.retry_after_s or 0.0, RETRY_AFTER_MAX_S))
        return wait_s

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            if trouble:
                self.events.emit("rules.sync_failed", error=trouble, hint="the last good rules stay in force")
            else:
                self.events.emit("rules.sync_recovered")
        self._trouble = trouble

    def _write(self, checked: Checked, now: datetime) -> None:
        if self._written is not None:
            old, at = self._written
            same = (old.trouble, old.version) == (checked.trouble, checked.version)
            if same and abs((now - at).total_seconds()) < _TELL_EVERY_S:
                return
        write_checked(self.state_dir, checked)
        self._written = (checked, now)
