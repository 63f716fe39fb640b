"""The pause file in the record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.adapters.store import MemoryStore, SqliteStore
from compliance_agent.domain.gate.people import PauseOrder, judge_kill_switch, note_of, pause_of_file
from compliance_agent.domain.timeline import place
from compliance_agent.engine.pause_file import note_pause_file
from compliance_agent.testing import FakeClock
from tests.support.gate import DAY, HOUR, NOON, instant

ORDER = PauseOrder("m1", "ann", "auditors")
UNTIL = replace(ORDER, until=NOON + timedelta(hours=2))


def note(store, order: PauseOrder | None, seconds: float) -> list[tuple[str, str, str]]:
    """Note the file; return all that was kept so far: what, who, why."""
    note_pause_file(store, order, site_id="clinic", now=instant(seconds))
    return [(one.kind.value, one.actor, one.reason) for one in reversed(store.actions(99))]


def holds(store, order: PauseOrder | None, seconds: float) -> bool:
    return pause_of_file(order, store.noted_pause(), instant(seconds)) is not None


BEGUN = ("paused", "ann", "auditors")


def test_a_file_that_comes_and_goes_leaves_a_start_and_an_end_each_once():
    store = MemoryStore()
    for seconds in (0, 2, 4):
        assert note(store, ORDER, seconds) == [BEGUN]
    for seconds in (6, 8):
        assert note(store, None, seconds) == [BEGUN, ("resumed", "ann", "the pause file was removed")]
    assert len(note(store, ORDER, 10)) == 3, "the same file again is a new pause"


def test_a_file_holds_before_anybody_noted_it():
    assert holds(MemoryStore(), ORDER, 0)
    assert holds(MemoryStore(), UNTIL, 0)
    assert not holds(MemoryStore(), None, 0)


def test_its_end_lets_healing_go_on_and_is_kept_though_the_file_stays():
    store = MemoryStore()
    note(store, UNTIL, 0)
    assert store.actions(1)[0].until == UNTIL.until
    assert holds(store, UNTIL, 2 * HOUR - 1)
    assert not holds(store, UNTIL, 2 * HOUR)
    over = [BEGUN, ("resumed", "ann", "the time of the pause file is over")]
    for seconds in (2 * HOUR, 3 * HOUR):
        assert note(store, UNTIL, seconds) == over
    assert note(store, None, 4 * HOUR) == over
    assert not holds(store, UNTIL, 5 * HOUR)
    assert holds(store, replace(UNTIL, mark="m2"), 5 * HOUR)


def test_a_file_that_is_written_anew_is_a_new_pause():
    store = MemoryStore()
    note(store, UNTIL, 0)
    again = replace(UNTIL, mark="m2", actor="bob", reason="the auditors stay", until=NOON + timedelta(hours=5))
    assert note(store, again, HOUR) == [BEGUN, ("paused", "bob", "the auditors stay")]
    assert holds(store, again, 5 * HOUR - 1)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (replace(ORDER, reason="", trouble="it is no plain file"), "gives no reason (it is no plain file, so it lasts"),
        (replace(ORDER, until=NOON), "2026-03-02 12:00 UTC, was past when it was seen, so it lasts"),
    ],
    ids=["malformed", "in the past"],
)
def test_an_end_that_is_none_pauses_until_the_file_is_removed_and_says_so(order, said):
    store = MemoryStore()
    ((_, _, reason),) = note(store, order, 0)
    assert said in reason
    assert holds(store, order, 400 * DAY)


def test_the_hold_names_who_why_and_until_when():
    store = MemoryStore()
    note(store, UNTIL, 0)
    held = judge_kill_switch(pause_of_file(UNTIL, store.noted_pause(), instant(60)), None, instant(60))
    assert held.reason == "healing is stopped by the pause file of ann: auditors"  # type: ignore[union-attr]
    assert held.until == UNTIL.until  # type: ignore[union-attr]


def test_what_was_noted_survives_a_restart(tmp_path):
    for _ in range(3):
        with SqliteStore(tmp_path / "state.db") as store:
            assert note(store, UNTIL, 0) == [BEGUN]
            assert store.noted_pause() == note_of(UNTIL, instant(0))


moves = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from([2.0, 600.0, HOUR])),
        st.tuples(st.just("step"), st.sampled_from([-4e8, -HOUR, HOUR, DAY, 3.2e8])),
    ),
    max_size=30,
)


@given(moves)
def test_no_jump_of_the_clock_ends_a_noted_pause_sooner_or_later_than_its_time(script):
    store, clock, real_s = MemoryStore(), FakeClock(NOON), 0.0
    for what, value in [("advance", 0.0), *script]:
        getattr(clock, what)(value)
        real_s += value if what == "advance" else 0.0
        now = place(store.last_instant(), clock.read())
        store.keep_instant(now)
        note_pause_file(store, UNTIL, site_id="clinic", now=now)
        assert (pause_of_file(UNTIL, store.noted_pause(), now) is not None) == (real_s < 2 * HOUR)
