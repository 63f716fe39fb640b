"""The gate's memory in plain dicts, the same as in the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from compliance_agent.adapters.store import gate_book, gate_codec
from compliance_agent.adapters.store.codec import clean_alert
from compliance_agent.domain.timeline import is_stale
from compliance_agent.domain.turn_end import NOTHING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from compliance_agent.adapters.store.memory_alerts import MemoryAlerts
    from compliance_agent.domain.gate.flap import FlapRow, FlapUpdate
    from compliance_agent.domain.gate.ledger import Change
    from compliance_agent.domain.gate.people import (
        Approval,
        ApprovalRequest,
        Choice,
        NotedPause,
        Pause,
        PersonAction,
        Told,
        Waiver,
    )
    from compliance_agent.domain.gate.tries import Try
    from compliance_agent.domain.outcome import Alert
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.domain.turn_end import Attachments

_T = TypeVar("_T")


@dataclass(slots=True)
class MemoryBook:
    """``gate_book.Book`` over dicts. Not thread-safe: its owner holds the lock."""

    records: dict[tuple[str, str], str] = field(default_factory=dict)
    by_id: dict[str, Try] = field(default_factory=dict)
    kept: Instant | None = None
    actions: list[PersonAction] = field(default_factory=list)

    def get(self, kind: str, key: str) -> str | None:
        """Return a record's document, or ``None``."""
        return self.records.get((kind, key))

    def put(self, kind: str, key: str, document: str) -> None:
        """Write a record, in place of the one of its key."""
        self.records[(kind, key)] = document

    def remove(self, kind: str, key: str) -> None:
        """Remove a record, if there is one."""
        self.records.pop((kind, key), None)

    def documents(self, kind: str) -> Sequence[str]:
        """Return every record's document of a kind, by key."""
        return [text for (one, _), text in sorted(self.records.items()) if one == kind]

    def instant(self) -> Instant | None:
        """Return the instant kept last."""
        return self.kept

    def put_instant(self, now: Instant) -> None:
        """Keep an instant in place of the last."""
        self.kept = now

    def tries(self, site_id: str, *, target_id: str, since_s: float, since_uptime_s: float) -> Sequence[Try]:
        """Return tries; see ``engine.ports.Store.tries``."""
        found = [
            one
            for one in self.by_id.values()
            if one.site_id == site_id
            and (
                one.begun_uptime_s > since_uptime_s
                or (one.target_id == target_id and one.last_s >= since_s)
                or (one.target_id == target_id and one.undone_s is not None and one.undone_s >= since_s)
            )
        ]
        return sorted(found, key=lambda one: (one.begun_s, one.attempt_id))

    def find_try(self, attempt_id: str) -> Try | None:
        """Return one try, or ``None``."""
        return self.by_id.get(attempt_id)

    def put_try(self, one: Try) -> None:
        """Write a try, in place of the one of its id."""
        self.by_id[one.attempt_id] = one

    def prune(self, *, keep_s: float) -> int:
        """Drop tries that can count no more; return how many."""
        if self.kept is None:
            return 0
        least = self.kept.elapsed_s - keep_s
        gone = [key for key, one in self.by_id.items() if one.ended_s is not None and one.ended_s < least]
        for key in gone:
            del self.by_id[key]
        return len(gone)


class MemoryGateSide:
    """The store's gate side over a :class:`MemoryBook`."""

    _lock: threading.RLock
    _gate: MemoryBook
    _alerts: MemoryAlerts

    def _attach(self, attachments: Attachments) -> None:
        raise NotImplementedError

    def keep_instant(self, now: Instant) -> None:
        """Keep the instant, so that a restart knows it; a recent one is left as it is."""
        with self._lock:
            if is_stale(self._gate.kept, now):
                gate_book.keep_instant(self._gate, now)

    def change_flap(self, update: FlapUpdate, *, alerts: Sequence[Alert] = ()) -> None:
        """Apply events to a flap, and queue alerts."""
        with self._lock:
            gate_book.change_flap(self._gate, update)
            for alert in alerts:
                self._alerts.enqueue(clean_alert(alert))

    def tell_of_waiver(self, waiver: Waiver, told: Told, alert: Alert) -> bool:
        """Queue the alert about a waiver's end, and mark it as told; see ``engine.ports.Store``."""
        with self._lock:
            if not gate_book.mark_told(self._gate, waiver, told):
                return False
            self._alerts.enqueue(clean_alert(alert))
        return True

    def record_action(
        self, action: PersonAction, changes: Sequence[Change] = (), *, attachments: Attachments = NOTHING
    ) -> None:
        """Carry out what a person asked for, and keep who did so and why."""
        with self._lock:
            for change in changes:
                gate_book.change(self._gate, change)
            self._gate.actions.append(gate_codec.clean_action(action))
            self._attach(attachments)

    def last_instant(self) -> Instant | None:
        """Return the instant that was kept last, or ``None``."""
        with self._lock:
            return self._gate.kept

    def tries(self, site_id: str, *, target_id: str, since_s: float, since_uptime_s: float) -> Sequence[Try]:
        """Return tries; see ``engine.ports.Store.tries``."""
        with self._lock:
            return self._gate.tries(site_id, target_id=target_id, since_s=since_s, since_uptime_s=since_uptime_s)

    def flap(self, fingerprint: str) -> FlapRow | None:
        """Return a flap, or ``None`` where nothing ever happened."""
        return self._one("flap", fingerprint, gate_codec.flap_row)

    def flaps(self) -> list[FlapRow]:
        """Return every flap, by target and check."""
        return sorted(self._all("flap", gate_codec.flap_row), key=lambda row: (row.target_id, row.check_id))

    def pause(self) -> Pause | None:
        """Return the pause, over or not, or ``None``."""
        return self._one("pause", gate_book.PAUSE_KEY, gate_codec.pause)

    def noted_pause(self) -> NotedPause | None:
        """Return what was noted of the pause file that was seen last, or ``None``."""
        return self._one("pause", gate_book.PAUSE_FILE_KEY, gate_codec.noted_pause)

    def waiver(self, target_id: str, check_id: str) -> Waiver | None:
        """Return the waiver for this check on this target, over or not, or ``None``."""
        return self._one("waiver", f"{target_id}/{check_id}", gate_codec.waiver)

    def waivers(self) -> list[Waiver]:
        """Return every waiver, over or not, by target and check."""
        return self._all("waiver", gate_codec.waiver)

    def approval(self, incident_id: str) -> Approval | None:
        """Return the approval for an incident, over or not, or ``None``."""
        return self._one("approval", incident_id, gate_codec.approval)

    def approvals(self) -> list[Approval]:
        """Return every approval that was not used, over or not, by incident."""
        return self._all("approval", gate_codec.approval)

    def choice(self, incident_id: str) -> Choice | None:
        """Return the choice of a runbook for an incident, over or not, or ``None``."""
        return self._one("choice", incident_id, gate_codec.choice)

    def choices(self) -> list[Choice]:
        """Return every choice that was not used, over or not, by incident."""
        return self._all("choice", gate_codec.choice)

    def requests(self) -> list[ApprovalRequest]:
        """Return the plans that wait for a person's word, oldest first."""
        return sorted(self._all("request", gate_codec.request), key=lambda one: (one.at, one.incident_id))

    def forgiven(self) -> Mapping[str, float]:
        """Return target id, or ``TARGET/CHECK``, to when a person cleared it last, ``elapsed_s``."""
        with self._lock:
            return {key: float(text) for (kind, key), text in self._gate.records.items() if kind == "forgiven"}

    def actions(self, limit: int) -> list[PersonAction]:
        """Return what people did, newest first."""
        with self._lock:
            return self._gate.actions[::-1][:limit]

    def _one(self, kind: str, key: str, build: Callable[[str], _T]) -> _T | None:
        with self._lock:
            text = self._gate.get(kind, key)
        return None if text is None else build(text)

    def _all(self, kind: str, build: Callable[[str], _T]) -> list[_T]:
        with self._lock:
            found = self._gate.documents(kind)
        return [build(text) for text in found]
