"""Also: a problem that came back made another incident beside the first one, instead of opening it again.

Here there is one incident for a check on a target, however often it is seen, closed and seen again.
"""

from __future__ import annotations

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.observation import Verdict
from tests.support.state import FINGERPRINT, SITE, TARGET, an_observation, at


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "state.sqlite") as opened:
        yield opened


def scan(store: SqliteStore, verdict: Verdict, seconds: float) -> None:
    store.record_scan(TARGET, [an_observation(verdict, at(seconds))], site_id=SITE, now=at(seconds))


def test_what_is_seen_again_is_the_same_incident(store) -> None:
    for number in range(50):
        scan(store, Verdict.FAIL, 120 * number)
    assert [one.opened_at for one in store.open_incidents()] == [at(0)]


def test_what_comes_back_opens_the_incident_again(store) -> None:
    for number in range(10):
        scan(store, Verdict.FAIL, 200 * number)
        assert store.opened_at(FINGERPRINT) == at(200 * number)
        scan(store, Verdict.PASS, 200 * number + 100)
        assert store.opened_at(FINGERPRINT) is None
    assert len(store._database.rows("SELECT * FROM incident")) == 1


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.NOT_ASSESSED])
def test_a_check_that_could_not_look_neither_closes_nor_doubles_it(store, verdict) -> None:
    scan(store, Verdict.FAIL, 0)
    scan(store, verdict, 60)
    scan(store, Verdict.FAIL, 120)
    assert [one.opened_at for one in store.open_incidents()] == [at(0)]
