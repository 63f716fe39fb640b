"""The read side of the state file, the same for the writable and the read-only store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from compliance_agent.adapters.store import records
from compliance_agent.adapters.store.codec import time_text, time_value
from compliance_agent.adapters.store.evidence_reads import EvidenceReader
from compliance_agent.adapters.store.gate_rows import GateReader
from compliance_agent.adapters.store.rows import AlertState, Counts
from compliance_agent.domain.outbox import OutboxClass
from compliance_agent.domain.uplink import UplinkState, within
from compliance_agent.errors import InputError, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import TracebackType

    from compliance_agent.adapters.store.database import Database
    from compliance_agent.adapters.store.rows import (
        DeadAction,
        OpenIncident,
        OutboxRow,
        QueuedAlert,
        RecordedOutcome,
        Restoration,
        Undo,
    )
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outbox import OutboxLimits
    from compliance_agent.domain.outcome import Attempt, FinishedAttempt
    from compliance_agent.engine.ports import TargetStatus

_T = TypeVar("_T")

_OPEN_INCIDENTS = """
SELECT i.*, o.kind, o.reason, o.until, o.rule_id, o.action
FROM incident AS i LEFT JOIN outcome AS o ON o.outcome_id =
  (SELECT max(outcome_id) FROM outcome WHERE fingerprint = i.fingerprint AND last_seen_at >= i.opened_at)
WHERE i.closed_at IS NULL
ORDER BY i.target_id, i.check_id
"""

_HISTORY = """
SELECT a.*, u.at AS undone_at
FROM attempt AS a LEFT JOIN undo AS u ON u.attempt_id = a.attempt_id AND u.succeeded = 1
WHERE a.fingerprint = ?1 AND (a.finished_at >= ?2 OR u.at >= ?2)
ORDER BY a.finished_at, a.attempt_id
"""

_COUNTS = """
SELECT
  (SELECT count(*) FROM target) AS targets,
  (SELECT count(*) FROM target WHERE fault != '') AS unreachable_targets,
  (SELECT count(*) FROM incident WHERE closed_at IS NULL) AS open_incidents,
  (SELECT count(*) FROM attempt WHERE finished_at IS NULL) AS unfinished_attempts,
  (SELECT count(*) FROM attempt) AS attempts,
  (SELECT count(*) FROM outcome) AS outcomes
"""


_ATTEMPT = """
SELECT a.*, u.at AS undone_at
FROM attempt AS a LEFT JOIN undo AS u ON u.attempt_id = a.attempt_id AND u.succeeded = 1
WHERE a.attempt_id = ?
"""

_OUTBOX = """
SELECT kind, sum(state = 'waiting') AS waiting, sum(state = 'dead') AS dead, sum(size_bytes) AS size_bytes,
  min(created_at) FILTER (WHERE state = 'waiting') AS oldest_at
FROM outbox GROUP BY kind
"""

_DUE = """
SELECT sequence, size_bytes FROM outbox
WHERE state = 'waiting' AND (next_try_at IS NULL OR next_try_at <= ?1)
ORDER BY rank = 0 DESC, rank DESC, sequence LIMIT ?2
"""

_UNFINISHED = """
SELECT * FROM attempt WHERE finished_at IS NULL AND (?1 IS NULL OR target_id = ?1) ORDER BY begun_at, attempt_id
"""

_DELIVERIES = "SELECT * FROM alert_delivery WHERE alert_id = ? ORDER BY channel"


class Reader(GateReader):
    """What can be asked of a state file. Thread-safe. A damaged row is a ``StoreError``."""

    def __init__(self, database: Database) -> None:
        """Take over an open database."""
        self._database = database
        self.evidence = EvidenceReader(database)

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def opened_at(self, fingerprint: str) -> datetime | None:
        """Return when the open incident of this fingerprint opened, or ``None`` if none is open."""
        rows = self._database.rows(
            "SELECT opened_at FROM incident WHERE fingerprint = ? AND closed_at IS NULL", (fingerprint,)
        )
        return time_value(rows[0]["opened_at"]) if rows else None

    def history(self, fingerprint: str, *, since: datetime) -> Sequence[FinishedAttempt]:
        """Return the attempts for this fingerprint that finished or were undone at or after ``since``, oldest first."""
        return self._read(records.finished_attempt, _HISTORY, (fingerprint, time_text(since)))

    def targets(self) -> list[TargetStatus]:
        """Return the last that is known of each target that was ever tried, by id."""
        return self._read(records.target_status, "SELECT * FROM target ORDER BY target_id")

    def latest_observations(self, target_id: str | None = None) -> list[Observation]:
        """Return the latest observation of each check, of one target or of all, by target and check."""
        return self._read(
            records.observation,
            "SELECT * FROM observation WHERE ?1 IS NULL OR target_id = ?1 ORDER BY target_id, check_id",
            (target_id,),
        )

    def open_incidents(self) -> list[OpenIncident]:
        """Return the incidents that are open, by target and check."""
        return self._read(records.open_incident, _OPEN_INCIDENTS)

    def recent_outcomes(self, limit: int, target_id: str | None = None) -> list[RecordedOutcome]:
        """Return the outcomes seen last, newest first, of one target or of all."""
        return self._read(
            records.recorded_outcome,
            "SELECT * FROM outcome WHERE ?1 IS NULL OR target_id = ?1 "
            "ORDER BY last_seen_at DESC, outcome_id DESC LIMIT ?2",
            (target_id, limit),
        )

    def attempt(self, attempt_id: str) -> FinishedAttempt | Attempt | None:
        """Return an attempt as it was recorded: finished or not; ``None`` if there is none of this id."""
        found = self._read(_any_attempt, _ATTEMPT, (attempt_id,))
        return found[0] if found else None

    def unfinished(self, target_id: str | None = None) -> Sequence[Attempt]:
        """Return the attempts that have not ended, of one target or of all, in the order in which they began."""
        return self._read(records.attempt, _UNFINISHED, (target_id,))

    def restorations(self) -> list[Restoration]:
        """Return when the state file was damaged or gone, and from what the agent went on; oldest first."""
        return self._read(records.restoration, "SELECT * FROM restoration ORDER BY restoration_id")

    def uplink(self) -> UplinkState:
        """Return how the conversation with the control plane stands."""
        found = self._read(records.uplink_state, "SELECT * FROM uplink")
        return found[0] if found else UplinkState()

    def due_entries(self, now: datetime, *, rows_max: int, bytes_max: int) -> list[OutboxRow]:
        """Return what is to be sent next: heartbeats, then evidence, then telemetry, each oldest first.

        At most ``rows_max`` entries with ``bytes_max`` bytes together; a larger first one comes alone.
        """
        rows = self._database.rows(_DUE, (time_text(now), rows_max))
        chosen = within(bytes_max, [(row["sequence"], row["size_bytes"]) for row in rows])
        marks = ", ".join("?" * len(chosen))
        return self._read(
            records.outbox_row,
            f"SELECT * FROM outbox WHERE sequence IN ({marks}) ORDER BY rank = 0 DESC, rank DESC, sequence",  # noqa: S608 - marks
            chosen,
        )

    def dead_entries(self) -> list[OutboxRow]:
        """Return the entries that were given up, oldest first."""
        return self._read(records.outbox_row, "SELECT * FROM outbox WHERE state = 'dead' ORDER BY sequence")

    def dead_actions(self) -> list[tuple[str, DeadAction]]:
        """Return what people did about dead entries: the id and the deed, oldest first."""
        return self._read(records.dead_action, "SELECT * FROM dead_letter_action ORDER BY action_id")

    def _has_expired(self, now: datetime, limits: OutboxLimits) -> bool:
        return any(
            self._database.rows(
                "SELECT 1 FROM outbox WHERE kind = ? AND created_at < ? AND state = 'waiting' LIMIT 1",
                (kind.value, time_text(now - timedelta(seconds=limits.age_max_s(kind)))),
            )
            for kind in OutboxClass
        )

    def undos(self, attempt_id: str) -> list[Undo]:
        """Return the tries to undo this attempt, oldest first."""
        return self._read(records.undo, "SELECT * FROM undo WHERE attempt_id = ? ORDER BY undo_id", (attempt_id,))

    def alerts(self, state: AlertState | None = None) -> list[QueuedAlert]:
        """Return the queued alerts, of one state or of all, oldest first."""
        return self._alerts(
            "SELECT * FROM alert WHERE ?1 IS NULL OR state = ?1 ORDER BY raised_at, alert_id",
            (None if state is None else state.value,),
        )

    def counts(self) -> Counts:
        """Return how much there is."""
        with self._database.reading():
            row = self._database.rows(_COUNTS)[0]
            alerts = self._database.rows("SELECT state, count(*) AS number FROM alert GROUP BY state")
            dropped = self._database.rows("SELECT what, number FROM dropped ORDER BY what")
            waiting = self._database.rows(_OUTBOX)
            fates = self._database.rows("SELECT kind, fate, number FROM outbox_count")
            size = self._database.rows("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return Counts(
            **dict(row),
            alerts={AlertState(line["state"]): line["number"] for line in alerts},
            outbox=records.outbox_counts(waiting, fates),
            dropped={line["what"]: line["number"] for line in dropped},
            size_bytes=size[0][0],
        )

    def _alerts(self, statement: str, values: Sequence[object]) -> list[QueuedAlert]:
        with self._database.reading():
            rows = self._database.rows(statement, values)
            deliveries = [tuple(self._read(records.channel_delivery, _DELIVERIES, (row["alert_id"],))) for row in rows]
        bare = [self._build(records.queued_alert, row) for row in rows]
        return [replace(alert, deliveries=tried) for alert, tried in zip(bare, deliveries, strict=True)]

    def _read(self, build: Callable[[sqlite3.Row], _T], statement: str, values: Sequence[object] = ()) -> list[_T]:
        return [self._build(build, row) for row in self._database.rows(statement, values)]

    def _build(self, build: Callable[[sqlite3.Row], _T], row: sqlite3.Row) -> _T:
        try:
            return build(row)
        except (ValueError, TypeError, InputError) as error:
            raise StoreError(
                f"state file {self._database.name} holds a row that cannot be understood: {error}",
                hint="stop the agent and move the file aside; the next start goes on from the last snapshot",
            ) from error


def _any_attempt(row: sqlite3.Row) -> FinishedAttempt | Attempt:
    return records.attempt(row) if row["finished_at"] is None else records.finished_attempt(row)
