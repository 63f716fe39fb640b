"""What people are told of waivers that end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.adapters.store import MemoryStore, SqliteStore
from compliance_agent.domain.evidence.drafts import ActionKind
from compliance_agent.domain.gate.ledger import SetWaiver
from compliance_agent.domain.gate.people import PersonAction, Term, Told, Waiver
from compliance_agent.domain.timeline import place
from compliance_agent.engine.notices import tell_ending_waivers
from compliance_agent.testing import FakeClock
from tests.support.gate import CHECK, DAY, HOUR, NOON, TARGET, instant

ACTION = PersonAction(ActionKind.WAIVED, "ann", "replaced in May", NOON)


def a_waiver(length_s: float, *, at_s: float = 0.0, reason: str = "replaced in May") -> Waiver:
    term = Term(NOON + timedelta(seconds=at_s + length_s), at_s + length_s)
    return Waiver(TARGET, CHECK, "ann", reason, NOON + timedelta(seconds=at_s), term)


def tell(store, seconds: float, targets: tuple[str, ...] = (TARGET,)) -> list[str]:
    """Tell what is due; return the names of all alerts so far."""
    tell_ending_waivers(store, targets, site_id="clinic", now=instant(seconds))
    return [one.alert.name for one in store.alerts()]


@pytest.mark.parametrize(
    ("length_s", "ahead_s"), [(30 * DAY, 7 * DAY), (28 * DAY, 7 * DAY), (4 * DAY, DAY), (HOUR, HOUR / 4)]
)
def test_people_are_told_a_week_ahead_or_in_the_last_quarter(length_s, ahead_s):
    waiver = a_waiver(length_s)
    assert waiver.to_tell(instant(length_s - ahead_s - 1)) is Told.NOTHING
    assert waiver.to_tell(instant(length_s - ahead_s)) is Told.SOON
    assert waiver.to_tell(instant(length_s - 1)) is Told.SOON
    assert waiver.to_tell(instant(length_s)) is Told.OVER


def test_each_notice_comes_once_and_names_all_that_is_needed_to_decide():
    store = MemoryStore()
    store.record_action(ACTION, [SetWaiver(a_waiver(30 * DAY))])
    for day in (0, 22.9):
        assert tell(store, day * DAY) == []
    for day in (23, 23, 29.9):
        assert tell(store, day * DAY) == ["waiver ends soon"]
    for day in (30, 31, 90):
        assert tell(store, day * DAY) == ["waiver ends soon", "waiver ended"]
    for queued in store.alerts():
        assert queued.raised_count == 1
        for part in (
            f"{TARGET}/{CHECK}",
            "ann",
            "replaced in May",
            "2026-04-01",
            "waivers add srv01/LIN-FW-001 --until",
        ):
            assert part in queued.alert.summary
        assert (
            queued.alert.document["clear_with"]
            == f"compliance-agent waivers add {TARGET}/{CHECK} --until WHEN --reason ..."
        )


def test_an_appliance_that_was_off_tells_of_the_end_alone():
    store = MemoryStore()
    store.record_action(ACTION, [SetWaiver(a_waiver(30 * DAY))])
    assert tell(store, 40 * DAY) == ["waiver ended"]


def test_a_waiver_that_is_renewed_is_told_of_anew():
    store = MemoryStore()
    for at_s in (0, 30 * DAY):
        store.record_action(ACTION, [SetWaiver(a_waiver(30 * DAY, at_s=at_s))])
        tell(store, at_s + 25 * DAY)
        tell(store, at_s + 30 * DAY - 1)
    assert tell(store, 60 * DAY) == ["waiver ends soon"] * 2 + ["waiver ended"]


def test_of_a_machine_that_is_gone_people_are_told_how_to_remove_the_waiver():
    store = MemoryStore()
    store.record_action(ACTION, [SetWaiver(a_waiver(DAY))])
    tell(store, DAY, targets=())
    (queued,) = store.alerts()
    assert "is no target any more" in queued.alert.summary
    assert f"waivers withdraw {TARGET}/{CHECK} --reason" in queued.alert.summary


def test_a_clock_that_ran_ahead_for_a_while_ends_a_waiver_for_good_and_says_so_once():
    """Better an end that people know of than one that comes and goes with the clock."""
    store = MemoryStore()
    store.record_action(ACTION, [SetWaiver(a_waiver(30 * DAY))])
    assert tell(store, 10 * 365 * DAY) == ["waiver ended"]
    assert tell(store, DAY) == ["waiver ended"]
    (waiver,) = store.waivers()
    assert waiver.is_over(instant(DAY))


def test_what_was_told_survives_a_restart(tmp_path):
    for _ in range(3):
        with SqliteStore(tmp_path / "state.db") as store:
            if not store.waivers():
                store.record_action(ACTION, [SetWaiver(a_waiver(30 * DAY))])
            assert tell(store, 25 * DAY) == ["waiver ends soon"]


moves = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from([60.0, HOUR, 3 * DAY])),
        st.tuples(st.just("step"), st.sampled_from([-4e8, -9 * DAY, -HOUR, HOUR, 9 * DAY, 3.2e8])),
        st.tuples(st.just("reboot"), st.sampled_from([0.0, HOUR, 40 * DAY])),
    ),
    max_size=30,
)


@given(moves, st.sampled_from([HOUR, 10 * DAY, 60 * DAY]))
def test_whatever_clocks_do_each_notice_comes_at_most_once_and_the_end_always(script, length_s):
    store, clock = MemoryStore(), FakeClock(NOON)
    store.record_action(ACTION, [SetWaiver(a_waiver(length_s))])
    for what, value in [*script, ("advance", 61 * DAY), ("advance", 1.0)]:
        getattr(clock, what)(value)
        now = place(store.last_instant(), clock.read())
        store.keep_instant(now)
        tell_ending_waivers(store, [TARGET], site_id="clinic", now=now)
    names = [one.alert.name for one in store.alerts()]
    assert sorted(names) in (["waiver ended"], ["waiver ended", "waiver ends soon"])
    assert all(one.raised_count == 1 for one in store.alerts())
