"""What one write transaction does to the outbox."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.store.codec import optional_time_text, time_text, time_value
from compliance_agent.adapters.store.writes import insert
from compliance_agent.domain.outbox import Held, OutboxClass, OutboxFate, fates_of_delivery, to_evict
from compliance_agent.domain.uplink import EntryFate
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from compliance_agent.adapters.store.rows import DeadAction
    from compliance_agent.domain.outbox import OutboxEntry, OutboxLimits
    from compliance_agent.domain.uplink import Settlement, UplinkState

ACTIONS_KEPT_MAX: Final = 10_000
"""Deeds on dead entries that are kept, newest first."""

_EVICTION_ORDER: Final = (
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
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, 'waiting', 0, ''"
        " WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE entry_id = ?1)",
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
        yield _held_of(row)


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


def settle(
    connection: sqlite3.Connection, settlements: Sequence[Settlement], *, now: datetime, late_after_s: float
) -> None:
    """Keep what became of entries that were sent. One that is gone by now was settled by somebody else."""
    for one in settlements:
        row = connection.execute(
            "SELECT sequence, kind, state = 'waiting' AS waiting, size_bytes, created_at FROM outbox"
            " WHERE entry_id = ? AND state = 'waiting'",
            (one.entry_id,),
        ).fetchone()
        if row is None:
            continue
        kind = OutboxClass(row["kind"])
        if one.fate is EntryFate.AGAIN:
            connection.execute(
                "UPDATE outbox SET tries = tries + 1, last_error = ?, next_try_at = ? WHERE sequence = ?",
                (one.reason, optional_time_text(one.next_try_at), row["sequence"]),
            )
        elif one.fate is EntryFate.HOPELESS:
            connection.execute(
                "UPDATE outbox SET state = 'dead', tries = tries + 1, last_error = ?, next_try_at = NULL, dead_at = ?"
                " WHERE sequence = ?",
                (one.reason, time_text(now), row["sequence"]),
            )
            count(connection, kind, OutboxFate.DEAD)
        else:
            remove(connection, [_held_of(row)], OutboxFate.DELIVERED)
            for fate in fates_of_delivery(one.fate, time_value(row["created_at"]), now=now, late_after_s=late_after_s):
                count(connection, kind, fate)


def put_uplink(connection: sqlite3.Connection, state: UplinkState) -> None:
    """Keep how the conversation with the control plane stands."""
    connection.execute(
        "INSERT OR REPLACE INTO uplink (only, failures, tried_at, succeeded_at, next_try_at, trouble)"
        " VALUES (1, ?, ?, ?, ?, ?)",
        (
            state.failures,
            optional_time_text(state.tried_at),
            optional_time_text(state.succeeded_at),
            optional_time_text(state.next_try_at),
            state.trouble,
        ),
    )


def expire(connection: sqlite3.Connection, limits: OutboxLimits, *, now: datetime) -> int:
    """Drop waiting entries that are too old to tell anybody anything; return how many."""
    gone: list[Held] = []
    for kind in OutboxClass:
        cutoff = time_text(now - timedelta(seconds=limits.age_max_s(kind)))
        rows = connection.execute(
            "SELECT sequence, kind, state = 'waiting' AS waiting, size_bytes FROM outbox"
            " WHERE kind = ? AND created_at < ? AND state = 'waiting'",
            (kind.value, cutoff),
        )
        gone += [_held_of(row) for row in rows]
    remove(connection, gone, OutboxFate.DROPPED_AGE)
    return len(gone)


def act_on_dead(connection: sqlite3.Connection, entry_ids: Sequence[str] | None, action: DeadAction) -> list[str]:
    """Put dead entries back, or remove them, and keep who did so and why; return their ids."""
    rows = connection.execute(
        "SELECT sequence, entry_id, kind, 0 AS waiting, size_bytes FROM outbox WHERE state = 'dead' ORDER BY sequence"
    ).fetchall()
    chosen = [row for row in rows if entry_ids is None or row["entry_id"] in entry_ids]
    refuse_unknown(entry_ids, {row["entry_id"] for row in rows})
    for row in chosen:
        if action.is_drop:
            remove(connection, [_held_of(row)], OutboxFate.DISCARDED)
        else:
            connection.execute(
                "UPDATE outbox SET state = 'waiting', dead_at = NULL, next_try_at = NULL WHERE sequence = ?",
                (row["sequence"],),
            )
            count(connection, OutboxClass(row["kind"]), OutboxFate.REVIVED)
        insert(
            connection,
            "dead_letter_action",
            {
                "at": time_text(action.at),
                "actor": action.actor,
                "action": "drop" if action.is_drop else "retry",
                "entry_id": row["entry_id"],
                "kind": row["kind"],
                "reason": action.reason,
            },
        )
    connection.execute(
        "DELETE FROM dead_letter_action WHERE action_id NOT IN"
        " (SELECT action_id FROM dead_letter_action ORDER BY action_id DESC LIMIT ?)",
        (ACTIONS_KEPT_MAX,),
    )
    return [row["entry_id"] for row in chosen]


def refuse_unknown(entry_ids: Sequence[str] | None, dead: Collection[str]) -> None:
    """Refuse ids that are no dead entries.

    Raises:
        StoreError: One is not.

    """
    for entry_id in entry_ids or ():
        if entry_id not in dead:
            raise StoreError(f"there is no dead entry {entry_id}", hint="see compliance-agent spool dead list")


def _held_of(row: sqlite3.Row) -> Held:
    return Held(row["sequence"], OutboxClass(row["kind"]), not row["waiting"], row["size_bytes"])
