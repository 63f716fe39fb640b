from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.gate.damping import FAST, SLOW, Damping
from compliance_agent.domain.gate.decision import Allow, Hold
from compliance_agent.domain.gate.flap import (
    FRESH,
    FlapEventKind,
    Phase,
    after,
    outcome_event,
    seen_failing,
    taken_back,
)
from compliance_agent.domain.gate.suppression import judge, notice, reason
from compliance_agent.domain.outcome import OutcomeKind
from tests.support.gate import DAY, FLAPS, HOUR, MINUTE, NOON, event, flapped, instant

if TYPE_CHECKING:
    from compliance_agent.domain.gate.flap import (
        FlapState,
    )

PLACE = "srv01/LIN-FW-001"
GPO = 105 * MINUTE


def scores(track: Damping, times_s: list[float]) -> list[float]:
    found, last = [0.0], times_s[0]
    for at in times_s:
        found.append(track.raised(found[-1], at - last))
        last = at
    return found[1:]


def answer(state: FlapState, seconds: float, *, digest: str = "d1", unattended: bool = True):
    return judge(state, FLAPS, digest=digest, unattended=unattended, place=PLACE, now=instant(seconds))


# --- the published vectors (BGP's; ours, computed from the same formula). BGP's third is published as 2866.56.


@pytest.mark.parametrize(
    ("track", "times_s", "expected"),
    [
        (FAST, [0, 15 * MINUTE, 30 * MINUTE], [1000, 1971.532, 2915.406]),
        (FAST, [0, GPO, 2 * GPO], [1000, 1816.958, 2484.378]),
        (SLOW, [0, DAY, 2 * DAY], [1000, 1629.961, 2026.811]),
        (Damping(15 * MINUTE), [0, 60, 120], [1000, 1954.841, 2866.564]),
    ],
    ids=["quick", "group policy", "daily", "bgp"],
)
def test_scores_are_the_published_ones(track, times_s, expected):
    assert scores(track, times_s) == pytest.approx(expected, abs=0.001)


def test_bgps_reuse_comes_when_it_should():
    track = Damping(15 * MINUTE)
    score = scores(track, [0, 60, 120])[-1]
    assert 120 + track.hold_s(score) == pytest.approx(1860.9, abs=0.1)


def test_three_flaps_at_once_are_reused_after_exactly_two_half_lives():
    track = Damping(15 * MINUTE)
    assert scores(track, [0, 0, 0])[-1] == 3000
    assert track.hold_s(3000) == pytest.approx(1800)


@pytest.mark.parametrize(("minutes", "left"), [(5, 793.70), (15, 500), (30, 250), (60, 62.5)])
def test_a_penalty_halves_every_half_life(minutes, left):
    assert Damping(15 * MINUTE).decayed(1000, minutes * MINUTE) == pytest.approx(left, abs=0.01)


def test_from_the_ceiling_to_reuse_are_four_half_lives():
    assert FAST.hold_s(FAST.ceiling) == pytest.approx(DAY)
    assert scores(FAST, [float(n) for n in range(50)])[-1] == FAST.ceiling


@pytest.mark.parametrize("period_s", [HOUR, 3 * HOUR, 5.9 * HOUR])
def test_a_loop_shorter_than_the_half_life_is_caught(period_s):
    assert max(scores(FAST, [n * period_s for n in range(60)])) >= FAST.suppress


def test_a_loop_longer_than_the_half_life_is_left_to_the_slow_track():
    assert max(scores(FAST, [n * 7 * HOUR for n in range(60)])) < FAST.suppress
    assert max(scores(SLOW, [n * 7 * HOUR for n in range(3)])) >= SLOW.suppress


# --- closed -> open


def test_group_policy_is_caught_at_its_third_return():
    assert flapped(0, GPO).phase is Phase.CLOSED
    state = flapped(0, GPO, 2 * GPO)
    assert (state.phase, state.cause) == (Phase.OPEN, "fast")
    assert state.score == pytest.approx(2484.378, abs=0.001)


def test_three_returns_in_half_an_hour_hold_until_twelve_and_a_quarter_hours():
    state = flapped(0, 15 * MINUTE, 30 * MINUTE)
    assert state.until_s == pytest.approx(12.25 * HOUR, abs=0.005 * HOUR)
    held = answer(state, HOUR)
    assert isinstance(held, Hold)
    assert held.kind.outcome is OutcomeKind.SUPPRESSED
    assert held.until is not None
    assert abs(held.until - (NOON + timedelta(hours=12.25))) < timedelta(hours=0.005)
    assert isinstance(answer(state, state.until_s - 1), Hold)
    assert isinstance(answer(state, state.until_s), Allow)


def test_a_daily_loop_is_caught_on_the_third_day_by_the_slow_track():
    state = flapped(0, DAY, 2 * DAY)
    assert (state.phase, state.cause) == (Phase.OPEN, "slow")
    assert state.score == pytest.approx(2026.811, abs=0.001)


def test_a_fix_that_lasts_is_no_flap():
    assert isinstance(answer(after(FRESH, event(FlapEventKind.FIXED, 0), FLAPS), DAY), Allow)


@pytest.mark.parametrize(
    "kind", [OutcomeKind.UNREACHABLE, OutcomeKind.INTERRUPTED, OutcomeKind.NOT_APPLICABLE, OutcomeKind.DEFERRED]
)
def test_what_is_no_flap_never_counts(kind):
    ended, state = outcome_event(kind, HOUR, NOON), flapped(0)
    assert ended is None or after(state, ended, FLAPS) == state


def test_a_remedy_that_breaks_adds_no_penalty():
    assert after(FRESH, event(FlapEventKind.REMEDY_FAILED, 0), FLAPS) == FRESH


def test_only_a_verified_fix_can_come_back():
    assert seen_failing(FRESH, instant(0)) is None
    assert seen_failing(flapped(0), instant(HOUR)) is None, "it came back once, and was not fixed since"
    fixed = after(FRESH, event(FlapEventKind.FIXED, 0), FLAPS)
    assert seen_failing(fixed, instant(HOUR)) == event(FlapEventKind.RELAPSE, HOUR)


def test_three_failed_verifies_in_a_row_open_it_however_far_apart():
    state = FRESH
    for day in (0, 30, 60):
        assert state.phase is Phase.CLOSED
        state = after(state, event(FlapEventKind.VERIFY_FAILED, day * DAY), FLAPS)
    assert (state.phase, state.cause) == (Phase.OPEN, "verifies")
    assert "3 fixes in a row" in reason(state, FLAPS)


def test_a_verified_fix_ends_the_row_of_failed_verifies():
    state = FRESH
    for day in range(0, 300, 30):
        state = after(state, event(FlapEventKind.VERIFY_FAILED, day * DAY), FLAPS)
        if day % 60:
            state = after(state, event(FlapEventKind.FIXED, day * DAY + 1), FLAPS)
        assert state.phase is Phase.CLOSED


# --- half-open


def half_open(*relapses_s: float) -> FlapState:
    state = flapped(*(relapses_s or (0, GPO, 2 * GPO)))
    return after(state, event(FlapEventKind.TRIED, state.until_s, digest="d1"), FLAPS)


def test_a_single_try_that_does_not_last_doubles_the_hold():
    state = half_open()
    first_s, at = state.hold_s, state.until_s
    state = after(state, event(FlapEventKind.FIXED, at), FLAPS)
    state = after(state, event(FlapEventKind.RELAPSE, at + GPO), FLAPS)
    assert state.phase is Phase.OPEN
    assert state.hold_s == pytest.approx(2 * first_s)


@pytest.mark.parametrize("kind", [FlapEventKind.VERIFY_FAILED, FlapEventKind.REMEDY_FAILED])
def test_a_single_try_that_fails_doubles_the_hold_too(kind):
    state = half_open()
    again = after(state, event(kind, state.until_s + 1), FLAPS)
    assert again.phase is Phase.OPEN
    assert again.hold_s == pytest.approx(2 * state.hold_s)


def test_holds_double_to_a_week_and_no_further():
    state = flapped(0, GPO, 2 * GPO)
    holds = [state.hold_s]
    for _ in range(8):
        at = state.until_s
        state = after(state, event(FlapEventKind.TRIED, at, digest="d1"), FLAPS)
        state = after(state, event(FlapEventKind.FIXED, at), FLAPS)
        state = after(state, event(FlapEventKind.RELAPSE, at + GPO), FLAPS)
        holds.append(state.hold_s)
    assert all(later == pytest.approx(min(2 * earlier, 7 * DAY)) for earlier, later in itertools.pairwise(holds))
    assert holds[-1] == 7 * DAY


@pytest.mark.parametrize("kind", [OutcomeKind.UNREACHABLE, OutcomeKind.NOT_APPLICABLE])
def test_a_single_try_that_could_not_be_made_may_be_made_again(kind):
    state = half_open()
    ended = outcome_event(kind, state.opened_s + 1, NOON)
    assert ended is not None
    assert isinstance(answer(after(state, ended, FLAPS), state.opened_s + 2), Allow)


@pytest.mark.parametrize("how", [FlapEventKind.ARMED, None], ids=["cleared once", "its time was over"])
def test_a_single_try_that_was_cut_off_is_used_up_and_the_hold_begins_anew(how):
    state = flapped(0, GPO, 2 * GPO)
    at = 4 * HOUR if how else state.until_s
    if how:
        state = after(state, event(how, at), FLAPS)
    assert isinstance(answer(state, at), Allow)
    tried = after(state, event(FlapEventKind.TRIED, at, digest="d1"), FLAPS)
    assert outcome_event(OutcomeKind.INTERRUPTED, at, NOON) is None
    held = answer(tried, at + 1)
    assert isinstance(held, Hold)
    assert "its end is not known" in held.reason
    assert tried.hold_s == state.hold_s, "nothing came back, so nothing is doubled"
    assert isinstance(answer(tried, at + state.hold_s - 1), Hold)
    assert isinstance(answer(tried, at + state.hold_s), Allow)


def test_a_persons_hold_while_the_single_try_runs_outlasts_it():
    state = after(half_open(), event(FlapEventKind.HELD, DAY, until_s=3 * DAY), FLAPS)
    fixed = after(state, event(FlapEventKind.FIXED, DAY + 1), FLAPS)
    assert isinstance(answer(fixed, 3 * DAY - 1), Hold)
    assert fixed.fixed_s is None


def test_a_new_digest_gets_its_try_though_the_last_one_was_cut_off():
    assert isinstance(answer(half_open(), DAY, digest="d2"), Allow)


def test_a_fix_that_lasts_longer_than_the_hold_is_forgotten():
    state = half_open()
    fixed = after(state, event(FlapEventKind.FIXED, state.until_s), FLAPS)
    lasted = state.until_s + fixed.hold_s + 1
    sooner = after(fixed, event(FlapEventKind.RELAPSE, lasted - 2), FLAPS)
    assert sooner.cause == "trial"
    later = after(fixed, event(FlapEventKind.RELAPSE, lasted), FLAPS)
    assert later.cause == "slow", "it is judged anew, by the score alone"
    much_later = after(fixed, event(FlapEventKind.RELAPSE, lasted + 7 * DAY), FLAPS)
    assert much_later.phase is Phase.CLOSED


def test_a_changed_digest_arms_one_try_and_forgets_nothing():
    state = replace(flapped(0, GPO, 2 * GPO), digest="d1")
    assert isinstance(answer(state, 4 * HOUR, digest="d1"), Hold)
    assert answer(state, 4 * HOUR, digest="d2") == Allow("one try, since the rule or the runbook has changed")
    tried = after(state, event(FlapEventKind.TRIED, 4 * HOUR, digest="d2"), FLAPS)
    again = after(tried, event(FlapEventKind.VERIFY_FAILED, 4 * HOUR), FLAPS)
    assert isinstance(answer(again, 5 * HOUR, digest="d2"), Hold)
    assert again.hold_s == pytest.approx(2 * state.hold_s)


def test_a_runbook_that_disrupts_is_never_tried_again_alone():
    state = replace(flapped(0, GPO, 2 * GPO), digest="d1")
    for digest in ("d1", "d2"):
        held = answer(state, 400 * DAY, digest=digest, unattended=False)
        assert isinstance(held, Hold)
        assert held.until is None
        assert "flaps clear srv01/LIN-FW-001" in held.clear_with
    armed = after(state, event(FlapEventKind.ARMED, DAY), FLAPS)
    assert isinstance(answer(armed, DAY, unattended=False), Allow)


# --- clearing


def test_clearing_forgets_the_score_and_keeps_the_times():
    state = after(flapped(0, GPO, 2 * GPO), event(FlapEventKind.CLEARED, 4 * HOUR), FLAPS)
    assert (state.phase, state.fast, state.slow, len(state.relapses)) == (Phase.CLOSED, 0, 0, 3)


def test_arming_allows_one_try_only():
    state = after(flapped(0, GPO, 2 * GPO), event(FlapEventKind.ARMED, 4 * HOUR), FLAPS)
    assert isinstance(answer(state, 4 * HOUR), Allow)
    tried = after(state, event(FlapEventKind.TRIED, 4 * HOUR, digest="d1"), FLAPS)
    failed = after(tried, event(FlapEventKind.VERIFY_FAILED, 4 * HOUR), FLAPS)
    assert isinstance(answer(failed, 5 * HOUR), Hold)


def test_a_person_can_hold_it_until_a_time_of_their_own():
    state = after(FRESH, event(FlapEventKind.HELD, 0, until_s=3 * DAY), FLAPS)
    assert isinstance(answer(state, 3 * DAY - 1), Hold)
    assert isinstance(answer(state, 3 * DAY), Allow)


@pytest.mark.parametrize("how", [FlapEventKind.CLEARED, FlapEventKind.ARMED, FlapEventKind.HELD])
def test_undoing_a_clearing_at_once_brings_back_what_was(how):
    state = flapped(0, GPO, 2 * GPO)
    cleared = after(state, event(how, 4 * HOUR, until_s=5 * HOUR), FLAPS)
    assert cleared != state
    assert after(cleared, event(FlapEventKind.RESTORED, 4 * HOUR), FLAPS) == state


def test_undoing_a_clearing_keeps_what_came_back_since():
    state = after(flapped(0, GPO, 2 * GPO), event(FlapEventKind.CLEARED, 4 * HOUR), FLAPS)
    for kind, at in (
        (FlapEventKind.TRIED, 4 * HOUR),
        (FlapEventKind.FIXED, 4 * HOUR),
        (FlapEventKind.RELAPSE, 5 * HOUR),
    ):
        state = after(state, event(kind, at, digest="d1"), FLAPS)
    assert (state.phase, state.total, round(state.fast)) == (Phase.CLOSED, 4, 1000)
    restored = after(state, event(FlapEventKind.RESTORED, 6 * HOUR), FLAPS)
    assert (restored.phase, restored.total, len(restored.relapses)) == (Phase.OPEN, 4, 4)
    assert restored.fast == pytest.approx(FAST.raised(flapped(0, GPO, 2 * GPO).fast, 5 * HOUR - 2 * GPO))
    assert isinstance(answer(restored, 6 * HOUR), Hold)
    assert after(restored, event(FlapEventKind.RESTORED, 6 * HOUR), FLAPS) == restored, "there is nothing left to undo"


def test_only_the_last_clearing_is_undone():
    state = after(flapped(0, GPO, 2 * GPO), event(FlapEventKind.CLEARED, 4 * HOUR), FLAPS)
    state = flapped(5 * HOUR, state=state)
    twice = after(state, event(FlapEventKind.CLEARED, 6 * HOUR), FLAPS)
    restored = after(twice, event(FlapEventKind.RESTORED, 6 * HOUR), FLAPS)
    assert restored == replace(state, before=None)


def test_a_fix_that_comes_back_after_a_clearing_counts():
    fixed = after(FRESH, event(FlapEventKind.FIXED, 0), FLAPS)
    cleared = after(fixed, event(FlapEventKind.CLEARED, HOUR), FLAPS)
    assert seen_failing(cleared, instant(2 * HOUR)) == event(FlapEventKind.RELAPSE, 2 * HOUR)


def test_taking_an_older_fix_back_leaves_the_one_that_stands():
    fixed = after(after(FRESH, event(FlapEventKind.FIXED, 10), FLAPS), event(FlapEventKind.FIXED, 20), FLAPS)
    assert taken_back(fixed, 10).fixed_s == 20
    assert taken_back(fixed, 20).fixed_s is None
    cleared = after(fixed, event(FlapEventKind.CLEARED, 30), FLAPS)
    assert after(taken_back(cleared, 20), event(FlapEventKind.RESTORED, 31), FLAPS).fixed_s is None


# --- words


def test_the_notice_says_what_how_often_score_writer_next_try_and_how_to_clear():
    state = flapped(0, GPO, 2 * GPO)
    text = notice(state, FLAPS, place=PLACE, now=instant(4 * HOUR))
    for part in (
        "srv01/LIN-FW-001",
        "came back 3 times in 3.5 h after verified fixes",
        "score 2484, limit 2000",
        "Group Policy (it returned every 105 min; refreshes every 90 to 120 min)",
        "Next single try 2026-03-03",
        "flaps clear srv01/LIN-FW-001 --reason",
    ):
        assert part in text


@pytest.mark.parametrize("jump", [timedelta(days=-3650), timedelta(days=3650)])
def test_a_clock_that_jumps_between_two_returns_changes_neither_the_span_nor_the_likely_writer(jump):
    state = flapped(0, GPO)
    for kind in (FlapEventKind.FIXED, FlapEventKind.RELAPSE):
        state = after(state, replace(event(kind, 2 * GPO), wall=NOON + jump), FLAPS)
    assert "came back 3 times in 3.5 h" in reason(state, FLAPS)
    assert "Group Policy (it returned every 105 min" in reason(state, FLAPS)


def test_the_reason_says_the_same_at_each_scan():
    state = flapped(0, GPO, 2 * GPO)
    first, later = answer(state, 4 * HOUR), answer(state, 5 * HOUR)
    assert isinstance(first, Hold)
    assert first == later


def test_rules_that_take_turns_are_no_change():
    state = flapped(0, GPO, 2 * GPO)
    for digest in ("d1", "d2", "d1"):
        state = after(state, event(FlapEventKind.TRIED, 2 * GPO, digest=digest), FLAPS)
    opened = replace(state, phase=Phase.OPEN)
    for digest in ("d1", "d2"):
        assert isinstance(answer(opened, 4 * HOUR, digest=digest), Hold)
    assert isinstance(answer(opened, 4 * HOUR, digest="d3"), Allow)


def test_a_hold_that_a_person_set_ends_when_it_said_and_no_sooner_whatever_the_runbook_is():
    state = after(replace(FRESH, digest="d1"), event(FlapEventKind.HELD, 0, until_s=12 * HOUR), FLAPS)
    for unattended in (True, False):
        for digest in ("d1", "d2"):
            assert isinstance(answer(state, 11 * HOUR, digest=digest, unattended=unattended), Hold)
        assert isinstance(answer(state, 12 * HOUR, digest="d1", unattended=unattended), Allow)
