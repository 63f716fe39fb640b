"""Keeping the state file bounded. What is dropped is counted, per kind, for the store's whole life."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.store.codec import time_text, time_value
from compliance_agent.adapters.store.gate_rows import prune_gate

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from compliance_agent.adapters.store.rows import Limits

_SHARE: Final = 10
_DAY_S: Final = 86_400.0

# Each: the kind under which it is counted, and the statement. ?1 is the end of the retention time.
_BY_AGE: Final = (
    ("outcomes", "DELETE FROM outcome WHERE last_seen_at < ?1"),
    ("attempts", "DELETE FROM attempt WHERE finished_at < ?1"),
    ("incidents", "DELETE FROM incident WHERE closed_at < ?1"),
    ("incidents", "DELETE FROM incident WHERE target_id IN (SELECT target_id FROM target WHERE attempted_at < ?1)"),
    (
        "observations",
        "DELETE FROM observation WHERE target_id IN (SELECT target_id FROM target WHERE attempted_at < ?1)",
    ),
    ("targets", "DELETE FROM target WHERE attempted_at < ?1"),
    ("alerts_settled", "DELETE FROM alert WHERE settled_at < ?1"),
)
_BY_NUMBER: Final = (
    (
        "outcomes",
        "outcomes_max",
        (
            "DELETE FROM outcome WHERE outcome_id IN (SELECT outcome_id FROM outcome"
            " ORDER BY last_seen_at DESC, outcome_id DESC LIMIT -1 OFFSET ?1)"
        ),
    ),
    (
        "attempts",
        "attempts_max",
        (
            "DELETE FROM attempt WHERE attempt_id IN (SELECT attempt_id FROM attempt WHERE finished_at IS NOT NULL"
            " ORDER BY finished_at DESC, attempt_id DESC LIMIT -1 OFFSET ?1)"
        ),
    ),
    (
        "alerts_settled",
        "alerts_max",
        (
            "DELETE FROM alert WHERE alert_id IN (SELECT alert_id FROM alert WHERE settled_at IS NOT NULL"
            " ORDER BY settled_at DESC, alert_id DESC LIMIT -1"
            " OFFSET max(0, ?1 - (SELECT count(*) FROM alert WHERE settled_at IS NULL)))"
        ),
    ),
    (
        "alerts_undelivered",
        "alerts_max",
        (
            "DELETE FROM alert WHERE alert_id IN (SELECT alert_id FROM alert WHERE settled_at IS NULL"
            " ORDER BY raised_at DESC, alert_id DESC LIMIT -1 OFFSET ?1)"
        ),
    ),
)


def prune(connection: sqlite3.Connection, limits: Limits, *, now: datetime) -> dict[str, int]:
    """Drop what is too old, then what is too much; return kind -> number, zeros left out."""
    dropped: dict[str, int] = {}
    cutoff = time_text(now - timedelta(days=limits.retention_days))
    for what, statement in _BY_AGE:
        _count(dropped, what, connection.execute(statement, (cutoff,)).rowcount)
    _drop_stale_checks(connection, limits, dropped)
    for what, limit, statement in _BY_NUMBER:
        _count(dropped, what, connection.execute(statement, (getattr(limits, limit),)).rowcount)
    _count(dropped, "gate_tries", prune_gate(connection, keep_s=limits.retention_days * _DAY_S))
    _drop_by_size(connection, limits.size_max_bytes, dropped)
    for what, number in dropped.items():
        connection.execute(
            "INSERT INTO dropped (what, number) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET number = number + ?2",
            (what, number),
        )
    return dropped


def _drop_stale_checks(connection: sqlite3.Connection, limits: Limits, dropped: dict[str, int]) -> None:
    """Drop checks that a target no longer gets: not observed for the retention time while it was scanned."""
    for row in connection.execute("SELECT target_id, scanned_at FROM target WHERE scanned_at IS NOT NULL").fetchall():
        stale = (
            row["target_id"],
            time_text(time_value(row["scanned_at"]) - timedelta(days=limits.retention_days)),
        )
        incidents = connection.execute(
            "DELETE FROM incident WHERE target_id = ?1 AND check_id IN"
            " (SELECT check_id FROM observation WHERE target_id = ?1 AND observed_at < ?2)",
            stale,
        )
        _count(dropped, "incidents", incidents.rowcount)
        observations = connection.execute("DELETE FROM observation WHERE target_id = ? AND observed_at < ?", stale)
        _count(dropped, "observations", observations.rowcount)


def _drop_by_size(connection: sqlite3.Connection, size_max_bytes: int, dropped: dict[str, int]) -> None:
    """Drop the oldest tenth of the outcomes (their steps are what is large) until the rest fits."""
    while _used_bytes(connection) > size_max_bytes:
        number = int(connection.execute("SELECT count(*) FROM outcome").fetchone()[0])
        if number == 0:
            return
        gone = connection.execute(
            "DELETE FROM outcome WHERE outcome_id IN"
            " (SELECT outcome_id FROM outcome ORDER BY last_seen_at, outcome_id LIMIT ?)",
            (max(1, number // _SHARE),),
        )
        _count(dropped, "outcomes", gone.rowcount)


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes in use without evidence and outbox, which have bounds of their own and displace no history.

    An entry of evidence may take twice its bytes (rows of a little more than half a page); taking off too
    much is harmless, since the rest is bounded by number and age, too.
    """
    row = connection.execute(
        "SELECT (page_count - freelist_count) * page_size - (SELECT coalesce(sum(size_bytes), 0) FROM outbox)"
        " - (SELECT coalesce(sum(2 * size_bytes + 300 * (last_seq - first_seq + 1)), 0)"
        " FROM evidence_segment WHERE pruned_at IS NULL)"
        " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchone()
    return int(row[0])


def _count(dropped: dict[str, int], what: str, number: int) -> None:
    if number:
        dropped[what] = dropped.get(what, 0) + number
