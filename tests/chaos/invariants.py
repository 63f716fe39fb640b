"""What must be true after every kill, every failed write and every restart. Add to ``INVARIANTS`` what else must."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.harness import Place

LEFT: Final = ("delivered", "dropped_full", "dropped_age", "dropped_size", "discarded")


@dataclass(frozen=True)
class Aftermath:
    """What is there after a life, read from a copy, past the product's own reader.

    Attributes:
        tables: Table name to its rows; empty where there is no state file yet.
        damage: What SQLite's own check says; empty for a whole file.
        deeds: The attempt of each deed that a machine saw, in order.
        received: Entry id to the copies that the receiver got.

    """

    tables: Mapping[str, list[dict[str, Any]]]
    damage: str
    deeds: list[str]
    received: Mapping[str, list[bytes]]

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.tables.get(table, [])

    def bodies(self) -> dict[str, dict[str, Any]]:
        """Return all entries that are anywhere, by id: waiting here, dead here, or received there."""
        here = {row["entry_id"]: json.loads(row["body"]) for row in self.rows("outbox")}
        there = {entry_id: json.loads(copies[0])["body"] for entry_id, copies in self.received.items()}
        return here | there


def look(place: Place) -> Aftermath:
    """Read what a life left, without touching it."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "state"
        tables: dict[str, list[dict[str, Any]]] = {}
        damage = ""
        if place.state.exists():
            shutil.copytree(place.state.parent, copy)
            with closing(sqlite3.connect(copy / place.state.name)) as connection:
                connection.row_factory = sqlite3.Row
                found = connection.execute("PRAGMA integrity_check").fetchone()[0]
                damage = "" if found == "ok" else found
                names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
                for name in names:
                    tables[name] = [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]  # noqa: S608
    received = {entry_id: list(copies) for entry_id, copies in place.receiver.received.items()}
    return Aftermath(tables, damage, place.machines.deeds(), received)


def the_state_file_is_whole(after: Aftermath, _before: Aftermath) -> None:
    assert after.damage == ""


def every_deed_has_its_attempt(after: Aftermath, _before: Aftermath) -> None:
    recorded = {row["attempt_id"] for row in after.rows("attempt")}
    assert set(after.deeds) <= recorded


def no_attempt_is_run_twice(after: Aftermath, _before: Aftermath) -> None:
    assert len(after.deeds) == len(set(after.deeds))


def no_attempt_is_lost_or_rewritten(after: Aftermath, before: Aftermath) -> None:
    now = {row["attempt_id"]: row for row in after.rows("attempt")}
    for row in before.rows("attempt"):
        assert row["attempt_id"] in now
        if row["finished_at"] is not None:
            assert now[row["attempt_id"]] == row


def what_a_kill_cut_off_ends_as_interrupted(after: Aftermath, before: Aftermath) -> None:
    now = {row["attempt_id"]: row for row in after.rows("attempt")}
    for row in before.rows("attempt"):
        if row["finished_at"] is None:
            assert now[row["attempt_id"]]["outcome"] in {None, "interrupted"}


def an_attempt_has_an_outcome_exactly_when_it_ended(after: Aftermath, _before: Aftermath) -> None:
    told = [row["attempt_id"] for row in after.rows("outcome") if row["attempt_id"] is not None]
    ended = [row["attempt_id"] for row in after.rows("attempt") if row["finished_at"] is not None]
    assert sorted(told) == sorted(ended)


def every_outcome_has_exactly_one_report(after: Aftermath, _before: Aftermath) -> None:
    reports = [body for body in after.bodies().values() if body["schema"] == "outcome-report/v1"]
    reported = sorted((body["fingerprint"], body["outcome"], body["at"], body["attempt_id"] or "") for body in reports)
    kept = sorted(
        (row["fingerprint"], row["kind"], _iso(row["at"]), row["attempt_id"] or "") for row in after.rows("outcome")
    )
    assert reported == kept


def _iso(text: str) -> str:
    return text.replace(".000000Z", "+00:00").replace("Z", "+00:00")


def no_entry_is_lost_or_doubled(after: Aftermath, _before: Aftermath) -> None:
    for kind in ("telemetry", "evidence"):
        here = {row["entry_id"] for row in after.rows("outbox") if row["kind"] == kind}
        there = {key for key, copies in after.received.items() if json.loads(copies[0])["kind"] == kind}
        fates = {row["fate"]: row["number"] for row in after.rows("outbox_count") if row["kind"] == kind}
        assert fates.get("enqueued", 0) == len(here | there), "an entry is in neither place"
        assert fates.get("enqueued", 0) == len(here) + sum(fates.get(fate, 0) for fate in LEFT)
        assert fates.get("delivered", 0) == len(there - here)


def all_copies_of_an_entry_are_the_same(after: Aftermath, _before: Aftermath) -> None:
    for copies in after.received.values():
        assert len(set(copies)) == 1


INVARIANTS: Final[list[Callable[[Aftermath, Aftermath], None]]] = [
    the_state_file_is_whole,
    every_deed_has_its_attempt,
    no_attempt_is_run_twice,
    no_attempt_is_lost_or_rewritten,
    what_a_kill_cut_off_ends_as_interrupted,
    an_attempt_has_an_outcome_exactly_when_it_ended,
    every_outcome_has_exactly_one_report,
    no_entry_is_lost_or_doubled,
    all_copies_of_an_entry_are_the_same,
]
"""Each gets what is there now and what was there before the life; it asserts."""


def check(place: Place, before: Aftermath, what: object) -> Aftermath:
    """Hold every invariant against what a life left; return it."""
    after = look(place)
    for invariant in INVARIANTS:
        try:
            invariant(after, before)
        except AssertionError as error:
            raise AssertionError(f"{invariant.__name__} does not hold after {what}: {error}") from error
    return after


def nothing_is_open_any_more(after: Aftermath) -> None:
    """Hold what must be true after a life that came to its end with a receiver that answers."""
    assert [row for row in after.rows("attempt") if row["finished_at"] is None] == []
    assert after.rows("outbox") == []
