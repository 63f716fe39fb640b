"""Failure 28: a missing ``success`` key counted as success, 1,137 false heals.

Here an attempt's end is written only as one of the named kinds, and there is no default: what is
not said is unfinished, and after a crash ``interrupted``, never ``remediated``.
"""

from __future__ import annotations

import sqlite3

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.outcome import Attempt, OutcomeKind
from compliance_agent.engine.recover import interrupt_unfinished
from tests.support.state import EPOCH, FINGERPRINT, an_attempt, at


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


def test_an_attempt_that_never_said_how_it_ended_is_no_heal(path) -> None:
    with SqliteStore(path) as store:
        store.begin(an_attempt())
        assert isinstance(store.attempt("attempt-1"), Attempt)
        assert store.history(FINGERPRINT, since=EPOCH) == []


def test_after_a_crash_it_is_interrupted_and_not_remediated(path) -> None:
    with SqliteStore(path) as store:
        store.begin(an_attempt())
    with SqliteStore(path) as store:
        interrupt_unfinished(store, now=at(60))
        outcomes = [past.outcome for past in store.history(FINGERPRINT, since=EPOCH)]
    assert outcomes == [OutcomeKind.INTERRUPTED]
    assert not any(outcome.is_success for outcome in outcomes)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("finished_at = '2026-01-15T12:00:00.000000Z'", id="an end without an outcome"),
        pytest.param("outcome = 'remediated', reason = ''", id="an outcome without an end"),
        pytest.param(
            "outcome = 'success', reason = '', finished_at = '2026-01-15T12:00:00.000000Z'", id="an unknown outcome"
        ),
    ],
)
def test_the_state_file_itself_refuses_an_end_that_says_nothing(path, change) -> None:
    with SqliteStore(path) as store:
        store.begin(an_attempt())
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        connection.execute(f"UPDATE attempt SET {change}")  # noqa: S608 - the cases are written above
    connection.close()
