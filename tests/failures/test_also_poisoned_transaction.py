"""Also: a caught SQL error poisoned the transaction, and everything after it failed or was lost.

Here a write that fails is undone as a whole, at once, and the next one works: in this process and for its neighbours.
"""

from __future__ import annotations

import sqlite3

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.errors import StoreError
from tests.support.state import an_alert, an_attempt, an_end, an_entry, at


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "state.sqlite") as opened:
        yield opened


def write_half(store: SqliteStore) -> None:
    with store._database.writing() as connection:
        connection.execute("INSERT INTO dropped VALUES ('half', 1)")
        connection.execute("INSERT INTO no_such_table VALUES (1)")


def test_after_a_write_that_failed_halfway_nothing_of_it_is_left_and_the_next_one_works(store) -> None:
    with pytest.raises(StoreError):
        write_half(store)
    written = ""
    try:
        store.attach(Attachments([an_entry(1)]))
    except StoreError as error:
        written = str(error)
    assert written == ""
    assert store.counts().dropped == {}


def test_a_refused_end_takes_nothing_with_it(store) -> None:
    attempt = an_attempt()
    store.begin(attempt)
    with pytest.raises(StoreError):
        store.finish(TurnEnd(an_end(an_attempt("nobody-began-it")), alerts=[an_alert()]))
    store.finish(TurnEnd(an_end(attempt, when=at(60)), alerts=[an_alert()]))
    assert store.counts().outcomes == 1
    assert [alert.raised_count for alert in store.alerts()] == [1]


def test_a_neighbour_is_not_locked_out_by_it(store, tmp_path) -> None:
    with pytest.raises(StoreError), store._database.writing() as connection:
        connection.execute("INSERT INTO no_such_table VALUES (1)")
    neighbour = sqlite3.connect(tmp_path / "state.sqlite", timeout=1, isolation_level=None)
    neighbour.execute("BEGIN IMMEDIATE")
    neighbour.execute("ROLLBACK")
    neighbour.close()
