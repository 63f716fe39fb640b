"""Failure 30: a trigger wrote to a generated column, and another one looked rows up by the wrong id.

Here no trigger of the state file writes (those of the evidence only refuse), no column is generated, every table checks
the types of what is written, and an end goes to the very attempt that it names. Issue 6 holds the tables of Central
Command to the same.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.outcome import FinishedAttempt, OutcomeKind
from compliance_agent.domain.turn_end import TurnEnd
from tests.support.state import SITE, an_attempt, an_end, at


def test_no_trigger_of_the_state_file_writes_no_column_is_generated_and_every_table_is_strict(tmp_path) -> None:
    SqliteStore(tmp_path / "state.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "state.sqlite")) as database:
        triggers = [sql for (sql,) in database.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")]
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        ours = [name for name in tables if not name.startswith("sqlite_")]
        columns = [(name, column) for name in ours for column in database.execute(f"PRAGMA table_xinfo({name})")]
        strict = dict(database.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'"))
    for trigger in triggers:
        assert re.fullmatch(r"BEGIN SELECT raise\(ABORT, '[^']*'\); END", trigger[trigger.index("BEGIN") :])
    assert len(ours) > 10
    assert [(name, column[1]) for name, column in columns if column[6] != 0] == []
    assert [name for name in ours if not strict[name]] == []


def test_an_end_goes_to_the_attempt_that_it_names_among_many_alike(tmp_path) -> None:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        attempts = [an_attempt(f"attempt-{number}", at(0), check_id=f"LIN-X-{number:03}") for number in range(5)]
        for attempt in attempts:
            store.begin(attempt)
        store.finish(TurnEnd(an_end(attempts[3], OutcomeKind.FAILED)))
        assert [one.attempt_id for one in store.unfinished()] == [f"attempt-{number}" for number in (0, 1, 2, 4)]
        ended = store.attempt("attempt-3")
    assert isinstance(ended, FinishedAttempt)
    assert (ended.attempt.check_id, ended.attempt.site_id, ended.outcome) == ("LIN-X-003", SITE, OutcomeKind.FAILED)
