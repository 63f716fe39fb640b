"""The outbox in memory, the same as in the file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from compliance_agent.adapters.store.codec import clean_text
from compliance_agent.adapters.store.outbox import ACTIONS_KEPT_MAX, refuse_unknown
from compliance_agent.adapters.store.rows import OutboxCounts, OutboxRow
from compliance_agent.domain.outbox import OutboxClass, OutboxFate, fates_of_delivery, to_evict
from compliance_agent.domain.uplink import EntryFate, UplinkState, within

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from compliance_agent.adapters.store.rows import DeadAction
    from compliance_agent.domain.outbox import Held, OutboxEntry, OutboxLimits
    from compliance_agent.domain.uplink import Settlement


@dataclass(slots=True)
class MemoryOutbox:
    """Entries by sequence number. Not thread-safe: its owner holds the lock."""

    limits: OutboxLimits
    rows: dict[int, OutboxRow] = field(default_factory=dict)
    counts: dict[tuple[OutboxClass, OutboxFate], int] = field(default_factory=dict)
    uplink: UplinkState = field(default_factory=UplinkState)
    actions: list[tuple[str, DeadAction]] = field(default_factory=list)
    _last: int = 0

    def put(self, entries: Sequence[OutboxEntry]) -> None:
        """Enqueue entries, each id once, and make room where there is none."""
        for entry in entries:
            if self._insert(entry):
                self.count(entry.kind, OutboxFate.ENQUEUED)
        if entries:
            self._evict()

    def _insert(self, entry: OutboxEntry) -> bool:
        if len(entry.body) > self.limits.bytes_max:
            self.count(entry.kind, OutboxFate.DROPPED_SIZE)
            return True
        if any(row.entry.entry_id == entry.entry_id for row in self.rows.values()):
            return False
        self._last += 1
        self.rows[self._last] = OutboxRow(self._last, entry)
        return True

    def _evict(self) -> None:
        held = sorted((row.held for row in self.rows.values()), key=lambda one: one.eviction_order)
        size = sum(one.size_bytes for one in held)
        self.remove(to_evict(held, rows=len(held), size_bytes=size, limits=self.limits), OutboxFate.DROPPED_FULL)

    def remove(self, gone: Iterable[Held], fate: OutboxFate) -> None:
        """Take entries out and count what became of them."""
        for one in gone:
            del self.rows[one.sequence]
            self.count(one.kind, fate)

    def count(self, kind: OutboxClass, fate: OutboxFate, number: int = 1) -> None:
        """Add to the count of a fate."""
        self.counts[kind, fate] = self.counts.get((kind, fate), 0) + number

    def numbers(self) -> dict[OutboxClass, OutboxCounts]:
        """Return what waits and what became of the rest, by class; classes that never had an entry are left out."""
        return {kind: found for kind in OutboxClass if (found := self._numbers_of(kind)) != OutboxCounts()}

    def _numbers_of(self, kind: OutboxClass) -> OutboxCounts:
        mine = [row for row in self.rows.values() if row.entry.kind is kind]
        waiting = [row for row in mine if row.dead_at is None]
        return OutboxCounts(
            waiting=len(waiting),
            dead=len(mine) - len(waiting),
            size_bytes=sum(len(row.entry.body) for row in mine),
            oldest_at=min((row.entry.created_at for row in waiting), default=None),
            fates={fate: self.counts[kind, fate] for fate in OutboxFate if (kind, fate) in self.counts},
        )

    def due(self, now: datetime, *, rows_max: int, bytes_max: int) -> list[OutboxRow]:
        """Return what is to be sent next."""
        waiting = [
            row
            for row in self.rows.values()
            if row.dead_at is None and (row.next_try_at is None or row.next_try_at <= now)
        ]
        order = sorted(waiting, key=_sending_order)[:rows_max]
        chosen = within(bytes_max, [(row.sequence, len(row.entry.body)) for row in order])
        return [row for row in order if row.sequence in chosen]

    def settle(self, settlements: Sequence[Settlement], *, now: datetime, late_after_s: float) -> None:
        """Keep what became of entries that were sent."""
        by_id = {row.entry.entry_id: row for row in self.rows.values() if row.dead_at is None}
        for one in settlements:
            row = by_id.get(one.entry_id)
            if row is None:
                continue
            if one.fate is EntryFate.AGAIN:
                self._keep(replace(row, tries=row.tries + 1, last_error=one.reason, next_try_at=one.next_try_at))
            elif one.fate is EntryFate.HOPELESS:
                self._keep(replace(row, tries=row.tries + 1, last_error=one.reason, next_try_at=None, dead_at=now))
                self.count(row.entry.kind, OutboxFate.DEAD)
            else:
                self.remove([row.held], OutboxFate.DELIVERED)
                for fate in fates_of_delivery(one.fate, row.entry.created_at, now=now, late_after_s=late_after_s):
                    self.count(row.entry.kind, fate)

    def _keep(self, row: OutboxRow) -> None:
        self.rows[row.sequence] = row

    def expire(self, now: datetime) -> int:
        """Drop waiting entries that are too old to tell anybody anything; return how many."""
        gone = [
            row.held
            for row in self.rows.values()
            if row.dead_at is None
            and row.entry.created_at < now - timedelta(seconds=self.limits.age_max_s(row.entry.kind))
        ]
        self.remove(gone, OutboxFate.DROPPED_AGE)
        return len(gone)

    def dead(self) -> list[OutboxRow]:
        """Return the entries that were given up, oldest first."""
        return sorted((row for row in self.rows.values() if row.dead_at is not None), key=lambda row: row.sequence)

    def act_on_dead(self, entry_ids: Sequence[str] | None, action: DeadAction) -> list[str]:
        """Put dead entries back, or remove them; return their ids."""
        dead = self.dead()
        refuse_unknown(entry_ids, {row.entry.entry_id for row in dead})
        chosen = [row for row in dead if entry_ids is None or row.entry.entry_id in entry_ids]
        for row in chosen:
            if action.is_drop:
                self.remove([row.held], OutboxFate.DISCARDED)
            else:
                self._keep(replace(row, dead_at=None, next_try_at=None))
                self.count(row.entry.kind, OutboxFate.REVIVED)
            self.actions.append((row.entry.entry_id, action))
        del self.actions[: max(0, len(self.actions) - ACTIONS_KEPT_MAX)]
        return [row.entry.entry_id for row in chosen]


class OutboxSide:
    """The part of the store in memory that is about the outbox."""

    _lock: threading.RLock
    _outbox: MemoryOutbox

    def uplink(self) -> UplinkState:
        """Return how the conversation with the control plane stands."""
        with self._lock:
            return self._outbox.uplink

    def due_entries(self, now: datetime, *, rows_max: int, bytes_max: int) -> list[OutboxRow]:
        """Return what is to be sent next: heartbeats, then evidence, then telemetry, each oldest first."""
        with self._lock:
            return self._outbox.due(now, rows_max=rows_max, bytes_max=bytes_max)

    def record_sending(
        self, settlements: Sequence[Settlement], state: UplinkState, *, now: datetime, late_after_s: float
    ) -> None:
        """Keep what became of entries that were sent, and how the conversation stands."""
        cleaned = [replace(one, reason=clean_text(one.reason)) for one in settlements]
        with self._lock:
            self._outbox.settle(cleaned, now=now, late_after_s=late_after_s)
            self._outbox.uplink = replace(state, trouble=clean_text(state.trouble))

    def expire_outbox(self, now: datetime) -> int:
        """Drop waiting entries that are too old to tell anybody anything; return how many."""
        with self._lock:
            return self._outbox.expire(now)

    def dead_entries(self) -> list[OutboxRow]:
        """Return the entries that were given up, oldest first."""
        with self._lock:
            return self._outbox.dead()

    def act_on_dead(self, entry_ids: Sequence[str] | None, action: DeadAction) -> list[str]:
        """Put dead entries back, or remove them (``None``: all), keep who did so and why; return their ids."""
        cleaned = replace(action, actor=clean_text(action.actor), reason=clean_text(action.reason))
        with self._lock:
            return self._outbox.act_on_dead(entry_ids, cleaned)

    def dead_actions(self) -> list[tuple[str, DeadAction]]:
        """Return what people did about dead entries: the id and the deed, oldest first."""
        with self._lock:
            return list(self._outbox.actions)


def _sending_order(row: OutboxRow) -> tuple[bool, int, int]:
    rank = row.entry.kind.rank
    return (rank != 0, -rank, row.sequence)
