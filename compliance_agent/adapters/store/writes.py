"""What one write transaction does to the rows: scans, attempts, outcomes, undos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.store import records
from compliance_agent.adapters.store.codec import optional_time_text, steps_text, time_text
from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import ATTEMPT_OUTCOMES
from compliance_agent.errors import StoreError
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from compliance_agent.adapters.store.rows import Undo
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Attempt, Outcome

CLOSING: Final = frozenset({Verdict.PASS, Verdict.NOT_APPLICABLE})
"""The verdicts that close an incident."""


def insert(connection: sqlite3.Connection, table: str, columns: Mapping[str, str | int | None]) -> None:
    """Insert one row. Names are ours, values travel apart."""
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608 - see above


def put_scanned(connection: sqlite3.Connection, target_id: str, *, site_id: str, now: str) -> None:
    """Keep that a target was reached."""
    connection.execute(
        "INSERT INTO target (target_id, site_id, scanned_at, attempted_at, fault, message)"
        " VALUES (?1, ?2, ?3, ?3, '', '')"
        " ON CONFLICT DO UPDATE SET site_id = ?2, scanned_at = ?3, attempted_at = ?3, fault = '', message = ''",
        (target_id, site_id, now),
    )


def put_unreachable(connection: sqlite3.Connection, target_id: str, *, fault: str, message: str, now: str) -> None:
    """Keep that a target was not reached."""
    connection.execute(
        "INSERT INTO target (target_id, site_id, attempted_at, fault, message) VALUES (?1, '', ?2, ?3, ?4)"
        " ON CONFLICT DO UPDATE SET attempted_at = ?2, fault = ?3, message = ?4",
        (target_id, now, fault, message),
    )


def put_observation(connection: sqlite3.Connection, observation: Observation, *, site_id: str | None, now: str) -> None:
    """Keep a check's latest observation, and open or close its incident accordingly.

    Where the site is not known no incident is opened; the next scan does it.
    """
    connection.execute(
        "INSERT OR REPLACE INTO observation (target_id, check_id, verdict, reason, observed_at, facts)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            observation.target_id,
            observation.check_id,
            observation.verdict.value,
            observation.reason,
            time_text(observation.observed_at),
            write_json(observation.facts),
        ),
    )
    if observation.verdict is Verdict.FAIL and site_id is not None:
        _open_incident(connection, observation, site_id=site_id, now=now)
    elif observation.verdict in CLOSING:
        connection.execute(
            "UPDATE incident SET closed_at = ? WHERE target_id = ? AND check_id = ? AND closed_at IS NULL",
            (now, observation.target_id, observation.check_id),
        )


def passing(observations: Sequence[Observation]) -> set[tuple[str, str]]:
    """Return target and check of each observation that closes an incident."""
    return {(seen.target_id, seen.check_id) for seen in observations if seen.verdict in CLOSING}


def _open_incident(connection: sqlite3.Connection, observation: Observation, *, site_id: str, now: str) -> None:
    target_id, check_id = observation.target_id, observation.check_id
    connection.execute(
        "INSERT INTO incident (fingerprint, site_id, target_id, check_id, opened_at, last_seen_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT DO UPDATE SET last_seen_at = ?5,"
        " opened_at = CASE WHEN closed_at IS NULL THEN opened_at ELSE ?5 END, closed_at = NULL",
        (fingerprint(site_id, target_id, check_id), site_id, target_id, check_id, now),
    )


def begin_attempt(connection: sqlite3.Connection, attempt: Attempt) -> None:
    """Write an intent.

    Raises:
        StoreError: An unfinished attempt for the fingerprint exists, or the id is taken.

    """
    for row in connection.execute(
        "SELECT attempt_id FROM attempt WHERE attempt_id = ? OR (fingerprint = ? AND finished_at IS NULL)",
        (attempt.attempt_id, attempt.fingerprint),
    ):
        raise already_begun(attempt, row["attempt_id"])
    insert(connection, "attempt", records.attempt_columns(attempt))


def already_begun(attempt: Attempt, other_id: str) -> StoreError:
    """Return the error for an attempt whose id or place is taken."""
    if other_id == attempt.attempt_id:
        return StoreError(f"attempt {other_id} is recorded already", hint="an attempt is never begun twice")
    return StoreError(
        f"attempt {other_id} for {attempt.check_id} on {attempt.target_id} has not ended",
        hint="one attempt at a time; after a crash the next start ends it as interrupted",
    )


def end_attempt(connection: sqlite3.Connection, outcome: Outcome) -> None:
    """Write an attempt's end.

    Raises:
        StoreError: There is no such unfinished attempt, or an attempt cannot end like this.

    """
    if outcome.kind not in ATTEMPT_OUTCOMES:
        raise impossible_end(outcome)
    changed = connection.execute(
        "UPDATE attempt SET outcome = ?, reason = ?, finished_at = ? WHERE attempt_id = ? AND finished_at IS NULL",
        (outcome.kind.value, outcome.reason, time_text(outcome.at), outcome.attempt_id),
    ).rowcount
    if changed != 1:
        raise not_unfinished(outcome)


def impossible_end(outcome: Outcome) -> StoreError:
    """Return the error for an outcome that no attempt can have."""
    return StoreError(f"attempt {outcome.attempt_id} cannot end as {outcome.kind.value}")


def not_unfinished(outcome: Outcome) -> StoreError:
    """Return the error for the end of an attempt that is not there or has ended."""
    return StoreError(
        f"attempt {outcome.attempt_id} is not there or has ended already, so it cannot end as {outcome.kind.value}"
    )


def put_outcome(connection: sqlite3.Connection, outcome: Outcome) -> bool:
    """Keep an outcome, or move the last-seen time of the last one if this only repeats it; return whether it is new."""
    if outcome.attempt_id is None:
        changed = connection.execute(
            "UPDATE outcome SET last_seen_at = ?1, until = ?2, seen_count = seen_count + 1"
            " WHERE outcome_id = (SELECT max(outcome_id) FROM outcome WHERE fingerprint = ?3)"
            " AND kind = ?4 AND rule_id = ?5 AND reason = ?6 AND incident_id = ?7",
            (
                time_text(outcome.at),
                optional_time_text(outcome.until),
                outcome.fingerprint,
                outcome.kind.value,
                outcome.rule_id,
                outcome.reason,
                outcome.incident_id,
            ),
        ).rowcount
        if changed:
            return False
    insert(connection, "outcome", records.outcome_columns(outcome))
    return True


def site_of(connection: sqlite3.Connection, target_id: str, attempt_id: str | None) -> str | None:
    """Return the site of a target: as the attempt says, else as the last scan said; ``None`` if unknown."""
    row = connection.execute(
        "SELECT coalesce((SELECT site_id FROM attempt WHERE attempt_id = ?1 AND target_id = ?2),"
        " (SELECT site_id FROM target WHERE target_id = ?2 AND scanned_at IS NOT NULL))",
        (attempt_id, target_id),
    ).fetchone()
    site_id: str | None = row[0]
    return site_id


def put_undo(connection: sqlite3.Connection, undo: Undo) -> None:
    """Keep a try to undo an attempt.

    Raises:
        StoreError: There is no such finished attempt, or it was undone already.

    """
    row = connection.execute(
        "SELECT finished_at, (SELECT count(*) FROM undo WHERE attempt_id = ?1 AND succeeded = 1) AS undone"
        " FROM attempt WHERE attempt_id = ?1",
        (undo.attempt_id,),
    ).fetchone()
    refuse_undo(
        undo, finished=row is not None and row["finished_at"] is not None, done=row is not None and row["undone"] > 0
    )
    insert(
        connection,
        "undo",
        {
            "attempt_id": undo.attempt_id,
            "succeeded": int(undo.succeeded),
            "actor": undo.actor,
            "reason": undo.reason,
            "at": time_text(undo.at),
            "steps": steps_text(undo.steps),
        },
    )


def refuse_undo(undo: Undo, *, finished: bool, done: bool) -> None:
    """Refuse what cannot be undone.

    Raises:
        StoreError: There is no such finished attempt, or it was undone already.

    """
    if not finished:
        raise StoreError(f"there is no finished attempt {undo.attempt_id} to undo", hint="`status` lists them")
    if done:
        raise StoreError(f"attempt {undo.attempt_id} was undone already")
