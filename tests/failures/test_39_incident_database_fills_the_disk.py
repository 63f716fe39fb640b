"""Failure 39: the incident database filled the disk.

Here a held incident is one row however often it is seen, incidents and observations are one row per
target and check, and pruning bounds all that grows, counts what it drops and gives the space back.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from compliance_agent.adapters.store import Limits, SqliteStore
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import StepRecord
from compliance_agent.domain.turn_end import TurnEnd
from tests.support.state import SITE, TARGET, an_alert, an_attempt, an_end, an_observation, an_outcome, at


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "state.db") as opened:
        yield opened


def hold(store: SqliteStore, number: int) -> None:
    """Scan an incident that stays, hold it back and tell people, as every two minutes."""
    now = at(120 * number)
    store.record_scan(TARGET, [an_observation(Verdict.FAIL, now)], site_id=SITE, now=now)
    store.finish(TurnEnd(an_outcome(when=now), alerts=[an_alert(when=now)]))


def test_an_incident_that_is_held_for_hours_does_not_grow_the_file(store) -> None:
    hold(store, 0)
    before = store.counts().size_bytes
    for number in range(1, 300):
        hold(store, number)
    counts = store.counts()
    assert (counts.open_incidents, counts.outcomes, sum(counts.alerts.values())) == (1, 1, 1)
    assert counts.size_bytes == before


def test_a_step_that_floods_is_kept_short(store) -> None:
    flood = StepRecord("set", 1, "x" * 10_000_000, "y" * 10_000_000)
    store.finish(TurnEnd(replace(an_outcome(), steps=(flood,))))
    assert store.counts().size_bytes < 1_000_000


def test_attempts_that_fail_for_ever_stay_within_the_limits(store) -> None:
    for number in range(60):
        attempt = an_attempt(f"attempt-{number:03}", at(number))
        store.begin(attempt)
        store.finish(TurnEnd(an_end(attempt, when=at(number))))
    dropped = store.prune(at(60), Limits(outcomes_max=20, attempts_max=10))
    assert dropped == {"outcomes": 40, "attempts": 50}
    assert (store.counts().outcomes, store.counts().attempts) == (20, 10)
    assert store.counts().dropped == dropped
