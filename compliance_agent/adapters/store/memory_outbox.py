"""The outbox in memory, the same as in the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compliance_agent.adapters.store.rows import OutboxCounts, OutboxRow
from compliance_agent.domain.outbox import OutboxClass, OutboxFate, to_evict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from compliance_agent.domain.outbox import Held, OutboxEntry, OutboxLimits


@dataclass(slots=True)
class MemoryOutbox:
    """Entries by sequence number. Not thread-safe: its owner holds the lock."""

    limits: OutboxLimits
    rows: dict[int, OutboxRow] = field(default_factory=dict)
    counts: dict[tuple[OutboxClass, OutboxFate], int] = field(default_factory=dict)
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
