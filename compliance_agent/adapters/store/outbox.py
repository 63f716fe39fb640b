"""What one write transaction does to the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.store.codec import time_text
from compliance_agent.domain.outbox import Held, OutboxClass, OutboxFate, to_evict

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from compliance_agent.domain.outbox import OutboxEntry, OutboxLimits

_EVICTION_ORDER = (
    "SELECT sequence, kind, state = 'waiting' AS waiting, size_bytes FROM outbox"
    " ORDER BY rank, state = 'waiting', sequence"
)


def put(connection: sqlite3.Connection, entries: Sequence[OutboxEntry], *, limits: OutboxLimits) -> None:
    """Enqueue entries, each id once, and make room where there is none. All that is dropped is counted."""
    for entry in entries:
        if _insert(connection, entry, limits):
            count(connection, entry.kind, OutboxFate.ENQUEUED)
    if entries:
        _evict(connection, limits)


def _insert(connection: sqlite3.Connection, entry: OutboxEntry, limits: OutboxLimits) -> bool:
    if len(entry.body) > limits.bytes_max:
        count(connection, entry.kind, OutboxFate.DROPPED_SIZE)
        return True
    inserted = connection.execute(
        "INSERT INTO outbox (entry_id, kind, rank, body, size_bytes, created_at, state, tries, last_error)"
        " VALUES (?, ?, ?, ?, ?, ?, 'waiting', 0, '') ON CONFLICT (entry_id) DO NOTHING",
        (
            entry.entry_id,
            entry.kind.value,
            entry.kind.rank,
            entry.body,
            len(entry.body),
            time_text(entry.created_at),
        ),
    )
    return inserted.rowcount == 1


def _evict(connection: sqlite3.Connection, limits: OutboxLimits) -> None:
    rows, size = connection.execute("SELECT count(*), coalesce(sum(size_bytes), 0) FROM outbox").fetchone()
    gone = to_evict(_held(connection), rows=rows, size_bytes=size, limits=limits)
    remove(connection, gone, OutboxFate.DROPPED_FULL)


def _held(connection: sqlite3.Connection) -> Iterator[Held]:
    for row in connection.execute(_EVICTION_ORDER):
        yield Held(row["sequence"], OutboxClass(row["kind"]), not row["waiting"], row["size_bytes"])


def remove(connection: sqlite3.Connection, gone: Iterable[Held], fate: OutboxFate) -> None:
    """Take entries out and count what became of them."""
    for held in gone:
        connection.execute("DELETE FROM outbox WHERE sequence = ?", (held.sequence,))
        count(connection, held.kind, fate)


def count(connection: sqlite3.Connection, kind: OutboxClass, fate: OutboxFate, number: int = 1) -> None:
    """Add to the count of a fate over the file's whole life."""
    connection.execute(
        "INSERT INTO outbox_count (kind, fate, number) VALUES (?1, ?2, ?3)"
        " ON CONFLICT DO UPDATE SET number = number + ?3",
        (kind.value, fate.value, number),
    )
