"""The gate's memory in the tables of the state file: the book of a transaction, and the read side."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final, TypeVar

from compliance_agent.adapters.store import gate_codec
from compliance_agent.adapters.store.codec import (
    json_mapping,
    optional_time_text,
    optional_time_value,
    time_text,
    time_value,
)
from compliance_agent.adapters.store.gate_book import PAUSE_FILE_KEY, PAUSE_KEY
from compliance_agent.adapters.store.writes import insert
from compliance_agent.domain.evidence.drafts import ActionKind
from compliance_agent.domain.gate.people import PersonAction
from compliance_agent.domain.gate.tries import Try
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.timeline import Instant
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from compliance_agent.adapters.store.database import Database
    from compliance_agent.domain.gate.flap import FlapRow
    from compliance_agent.domain.gate.people import Approval, ApprovalRequest, Choice, NotedPause, Pause, Waiver

_T = TypeVar("_T")

TRIES: Final = """
SELECT * FROM gate_try
WHERE site_id = ?1 AND (begun_uptime_s > ?4 OR (target_id = ?2 AND coalesce(ended_s, begun_s) >= ?3)
  OR (target_id = ?2 AND undone_s >= ?3))
ORDER BY begun_s, attempt_id
"""
ACTIONS_KEPT_MAX: Final = 10_000
"""Actions of people that the state file keeps, the newest ones; the chain of evidence keeps them for years."""


def put_action(connection: sqlite3.Connection, action: PersonAction) -> None:
    """Keep what a person did."""
    insert(
        connection,
        "person_action",
        {
            "kind": action.kind.value,
            "actor": action.actor,
            "reason": action.reason,
            "at": time_text(action.at),
            "target_id": action.target_id,
            "check_id": action.check_id,
            "until": optional_time_text(action.until),
            "details": write_json(action.details),
        },
    )


def prune_gate(connection: sqlite3.Connection, *, keep_s: float) -> int:
    """Drop tries that can count no more; return how many. Counted in elapsed time, so no clock can do it early."""
    gone = connection.execute(
        "DELETE FROM gate_try WHERE ended_s < (SELECT elapsed_s FROM instant) - ?", (keep_s,)
    ).rowcount
    connection.execute(
        "DELETE FROM person_action WHERE action_id <= (SELECT max(action_id) FROM person_action) - ?",
        (ACTIONS_KEPT_MAX,),
    )
    return gone


class SqliteBook:
    """``gate_book.Book`` over a connection with an open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Work inside that transaction."""
        self._connection = connection

    def get(self, kind: str, key: str) -> str | None:
        """Return a record's document, or ``None``."""
        row = self._connection.execute(
            "SELECT document FROM gate_record WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        return None if row is None else str(row[0])

    def put(self, kind: str, key: str, document: str) -> None:
        """Write a record, in place of the one of its key."""
        self._connection.execute("INSERT OR REPLACE INTO gate_record VALUES (?, ?, ?)", (kind, key, document))

    def remove(self, kind: str, key: str) -> None:
        """Remove a record, if there is one."""
        self._connection.execute("DELETE FROM gate_record WHERE kind = ? AND key = ?", (kind, key))

    def documents(self, kind: str) -> Sequence[str]:
        """Return every record's document of a kind, by key."""
        found = self._connection.execute("SELECT document FROM gate_record WHERE kind = ? ORDER BY key", (kind,))
        return [str(row["document"]) for row in found.fetchall()]

    def instant(self) -> Instant | None:
        """Return the instant kept last."""
        row = self._connection.execute("SELECT * FROM instant").fetchone()
        return None if row is None else an_instant(row)

    def put_instant(self, now: Instant) -> None:
        """Keep an instant in place of the last."""
        self._connection.execute(
            "INSERT OR REPLACE INTO instant VALUES (1, ?, ?, ?, ?, ?)",
            (time_text(now.wall), now.boot_id, now.monotonic_s, now.uptime_s, now.elapsed_s),
        )

    def tries(self, site_id: str, *, target_id: str, since_s: float, since_uptime_s: float) -> Sequence[Try]:
        """Return tries; see ``engine.ports.Store.tries``."""
        found = self._connection.execute(TRIES, (site_id, target_id, since_s, since_uptime_s))
        return [a_try(row) for row in found.fetchall()]

    def find_try(self, attempt_id: str) -> Try | None:
        """Return one try, or ``None``."""
        row = self._connection.execute("SELECT * FROM gate_try WHERE attempt_id = ?", (attempt_id,)).fetchone()
        return None if row is None else a_try(row)

    def put_try(self, one: Try) -> None:
        """Write a try, in place of the one of its id."""
        columns = {**asdict(one), "outcome": None if one.outcome is None else one.outcome.value}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._connection.execute(
            f"INSERT OR REPLACE INTO gate_try ({names}) VALUES ({marks})",  # noqa: S608 - names are ours
            tuple(columns.values()),
        )


def an_instant(row: sqlite3.Row) -> Instant:
    """Return a row of ``instant``."""
    return Instant(time_value(row["wall"]), row["boot_id"], row["monotonic_s"], row["uptime_s"], row["elapsed_s"])


def a_try(row: sqlite3.Row) -> Try:
    """Return a row of ``gate_try``."""
    outcome = None if row["outcome"] is None else OutcomeKind(row["outcome"])
    return Try(**{**dict(row), "outcome": outcome})


def an_action(row: sqlite3.Row) -> PersonAction:
    """Return a row of ``person_action``."""
    return PersonAction(
        kind=ActionKind(row["kind"]),
        actor=row["actor"],
        reason=row["reason"],
        at=time_value(row["at"]),
        target_id=row["target_id"],
        check_id=row["check_id"],
        until=optional_time_value(row["until"]),
        details=json_mapping(row["details"]),
    )


class GateReader:
    """The read side of the gate's memory. A damaged row is a ``StoreError``."""

    _database: Database

    def _read(self, build: Callable[[sqlite3.Row], _T], statement: str, values: Sequence[object] = ()) -> list[_T]:
        raise NotImplementedError

    def last_instant(self) -> Instant | None:
        """Return the instant that was kept last, or ``None``."""
        found = self._read(an_instant, "SELECT * FROM instant")
        return found[0] if found else None

    def tries(self, site_id: str, *, target_id: str, since_s: float, since_uptime_s: float) -> Sequence[Try]:
        """Return tries; see ``engine.ports.Store.tries``."""
        return self._read(a_try, TRIES, (site_id, target_id, since_s, since_uptime_s))

    def flap(self, fingerprint: str) -> FlapRow | None:
        """Return a flap, or ``None`` where nothing ever happened."""
        return self._one("flap", fingerprint, gate_codec.flap_row)

    def flaps(self) -> list[FlapRow]:
        """Return every flap, by target and check."""
        return sorted(self._all("flap", gate_codec.flap_row), key=lambda row: (row.target_id, row.check_id))

    def pause(self) -> Pause | None:
        """Return the pause, over or not, or ``None``."""
        return self._one("pause", PAUSE_KEY, gate_codec.pause)

    def noted_pause(self) -> NotedPause | None:
        """Return what was noted of the pause file that was seen last, or ``None``."""
        return self._one("pause", PAUSE_FILE_KEY, gate_codec.noted_pause)

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
        rows = self._read(
            lambda row: (str(row["key"]), float(row["document"])), "SELECT * FROM gate_record WHERE kind = 'forgiven'"
        )
        return dict(rows)

    def actions(self, limit: int) -> list[PersonAction]:
        """Return what people did, newest first."""
        return self._read(an_action, "SELECT * FROM person_action ORDER BY action_id DESC LIMIT ?", (limit,))

    def _one(self, kind: str, key: str, build: Callable[[str], _T]) -> _T | None:
        found = self._read(
            lambda row: build(row["document"]), "SELECT * FROM gate_record WHERE kind = ? AND key = ?", (kind, key)
        )
        return found[0] if found else None

    def _all(self, kind: str, build: Callable[[str], _T]) -> list[_T]:
        return self._read(
            lambda row: build(row["document"]), "SELECT * FROM gate_record WHERE kind = ? ORDER BY key", (kind,)
        )
