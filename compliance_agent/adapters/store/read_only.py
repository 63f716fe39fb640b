"""The state file for those who only look: ``plan``, ``status``, ``explain``."""

# ruff: noqa: ARG002 - the port names the arguments; a refusal uses none of them

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from compliance_agent.adapters.store.database import open_unchanged
from compliance_agent.adapters.store.reads import Reader
from compliance_agent.domain.turn_end import NOTHING
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.domain.gate.decision import Hold
    from compliance_agent.domain.gate.flap import FlapUpdate
    from compliance_agent.domain.gate.ledger import Change, Charge
    from compliance_agent.domain.gate.people import PersonAction, Told, Waiver
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Alert, Attempt
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.domain.turn_end import Attachments, TurnEnd


class ReadOnlyStore(Reader):
    """``engine.ports.Store`` without its writes: each of them is a ``StoreError``, since none should be tried."""

    def record_scan(
        self,
        target_id: str,
        observations: Sequence[Observation],
        *,
        site_id: str,
        now: datetime,
        attachments: Attachments = NOTHING,
    ) -> None:
        """Refuse."""
        self._refuse()

    def record_unreachable(
        self, target_id: str, *, fault: str, message: str, now: datetime, attachments: Attachments = NOTHING
    ) -> None:
        """Refuse."""
        self._refuse()

    def begin(self, attempt: Attempt, charge: Charge | None = None) -> Hold | None:
        """Refuse."""
        self._refuse()

    def finish(self, end: TurnEnd) -> None:
        """Refuse."""
        self._refuse()

    def keep_instant(self, now: Instant) -> None:
        """Refuse."""
        self._refuse()

    def change_flap(self, update: FlapUpdate, *, alerts: Sequence[Alert] = ()) -> None:
        """Refuse."""
        self._refuse()

    def tell_of_waiver(self, waiver: Waiver, told: Told, alert: Alert) -> bool:
        """Refuse."""
        self._refuse()

    def record_action(
        self, action: PersonAction, changes: Sequence[Change] = (), *, attachments: Attachments = NOTHING
    ) -> None:
        """Refuse."""
        self._refuse()

    def attach(self, attachments: Attachments) -> None:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError(f"state file {self._database.name} is open for reading only")


def open_read_only(path: str | os.PathLike[str]) -> ReadOnlyStore:
    """Open the state file so that nothing in its folder is made, changed or held.

    Without a file the store is empty.

    Raises:
        StoreError: It cannot be opened, is damaged, or is of a newer version.

    """
    return ReadOnlyStore(open_unchanged(Path(path)))
