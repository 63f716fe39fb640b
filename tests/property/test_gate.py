"""Whatever clocks, restarts and targets do: limits hold, holds hold, and nothing is forgotten or doubled."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_agent.adapters.store import MemoryStore, SqliteStore
from compliance_agent.domain.gate import Allow, BlastLimits, FlapPolicy, GatePolicy, Hold, Memory, decide
from compliance_agent.domain.gate.flap import CLEARINGS, FlapEvent, FlapEventKind, FlapState, Phase, after
from compliance_agent.domain.gate.ledger import Charge, GateEnd
from compliance_agent.domain.gate.suppression import judge
from compliance_agent.domain.outcome import Outcome, OutcomeKind
from compliance_agent.domain.timeline import GAP_MAX_S, newer, place
from compliance_agent.domain.turn_end import TurnEnd
from compliance_agent.testing import NOON, FakeClock
from tests.support.gate import WISH, instant
from tests.support.state import SITE, an_attempt

if TYPE_CHECKING:
    from compliance_agent.domain.gate import Decision

HOUR, DAY = 3_600.0, 86_400.0
LIMITS = BlastLimits(target_hour=4, target_day=9, runbook_hour=6, runbook_day=50, site_hour=7, site_day=20)

passes = st.tuples(st.just("pass"), st.sampled_from([1.0, 60.0, 600.0, 1_799.5, 3_600.0, 20_000.0]))
jumps = st.tuples(st.just("jump"), st.sampled_from([-4e8, -86_400.0, -60.0, 60.0, 3_600.0, 86_400.0, 4e8]))
boots = st.tuples(st.just("boot"), st.sampled_from([0.0, 30.0, 3_600.0, 100_000.0]))
tries = st.tuples(st.just("try"), st.integers(0, 5))
steps = st.lists(st.one_of(tries, tries, passes, jumps, boots), min_size=1, max_size=120)


class Truth:
    """The machine's clocks, and beside them the real time that no clock of it knows."""

    def __init__(self) -> None:
        self.clock, self.real_s = FakeClock(), 0.0

    def do(self, what: str, value: float) -> None:
        if what == "pass":
            self.clock.advance(value)
            self.real_s += value
        elif what == "jump":
            self.clock.step(value)
        elif what == "boot":
            self.clock.reboot(value)
            self.real_s += value


def most_within(times: list[float], period_s: float) -> int:
    return max((sum(at <= other < at + period_s for other in times) for at in times), default=0)


def _limits_hold(store, script) -> None:
    truth, begun = Truth(), []
    for number, (what, value) in enumerate(script):
        truth.do(what, value)
        now = place(store.last_instant(), truth.clock.read())
        store.keep_instant(now)
        if what != "try":
            continue
        attempt = an_attempt(f"a-{number}", NOON, target_id=f"pc{value % 3}", check_id=f"LIN-X-00{value % 2}")
        if store.begin(attempt, Charge(now, LIMITS)) is None:
            begun.append((truth.real_s, attempt.target_id, attempt.runbook_id))
            end = Outcome(
                OutcomeKind.REMEDIATED, "", "i", attempt.fingerprint, attempt.target_id, attempt.check_id, NOON,
                attempt_id=attempt.attempt_id,
            )  # fmt: skip
            store.finish(TurnEnd(end, gate=GateEnd(now)))
    for target in {one for _, one, _ in begun}:
        of_target = [at for at, one, _ in begun if one == target]
        assert most_within(of_target, HOUR) <= LIMITS.target_hour
        assert most_within(of_target, DAY) <= LIMITS.target_day
    for runbook in {one for _, _, one in begun}:
        assert most_within([at for at, _, one in begun if one == runbook], HOUR) <= LIMITS.runbook_hour
    everything = [at for at, _, _ in begun]
    assert most_within(everything, HOUR) <= LIMITS.site_hour
    assert most_within(everything, DAY) <= LIMITS.site_day


@given(steps)
def test_never_more_than_the_limits_within_any_real_hour_or_day_whatever_the_clocks_do(script):
    _limits_hold(MemoryStore(), script)


@settings(max_examples=15, deadline=None)
@given(steps)
def test_the_state_file_holds_the_limits_as_well(tmp_path_factory, script):
    with SqliteStore(tmp_path_factory.mktemp("gate") / "state.db") as store:
        _limits_hold(store, script)


@given(st.lists(st.one_of(passes, jumps, boots), max_size=60))
def test_both_counters_never_go_back_and_uptime_never_runs_ahead_of_real_time(script):
    truth, last = Truth(), None
    for what, value in script:
        truth.do(what, value)
        now = place(last, truth.clock.read())
        if last is not None:
            assert now.uptime_s >= last.uptime_s
            assert now.elapsed_s >= last.elapsed_s
        assert now.uptime_s <= truth.real_s + 1e-6
        last = newer(last, now)


@given(st.lists(st.one_of(passes, jumps), max_size=60), st.floats(60, 7 * DAY))
def test_within_one_boot_a_hold_ends_exactly_when_its_time_has_really_passed(script, hold_s):
    truth = Truth()
    begun = place(None, truth.clock.read())
    last = begun
    for what, value in script:
        truth.do(what, value)
        last = newer(last, place(last, truth.clock.read()))
    assert last.elapsed_s - begun.elapsed_s == pytest.approx(truth.real_s)
    del hold_s


@given(st.sampled_from([-4e9, -3_600.0, 0.0, 3_600.0, 4e9]), st.floats(0, 1e5))
def test_over_a_reboot_a_hold_is_shortened_by_no_more_than_the_longest_hold(jump, off_s):
    truth = Truth()
    before = place(None, truth.clock.read())
    truth.clock.step(jump if abs(jump) < 1e9 else jump / 10)
    truth.do("boot", off_s)
    after_ = place(before, truth.clock.read())
    assert 0 <= after_.elapsed_s - before.elapsed_s <= GAP_MAX_S


kinds = st.sampled_from(
    [
        FlapEventKind.FIXED,
        FlapEventKind.RELAPSE,
        FlapEventKind.VERIFY_FAILED,
        FlapEventKind.REMEDY_FAILED,
        FlapEventKind.TRIED,
        FlapEventKind.NOT_MADE,
        FlapEventKind.EXCUSED,
    ]
)
clearings = st.sampled_from(sorted(CLEARINGS))
scripts = st.lists(st.tuples(kinds, st.floats(0, 3 * DAY)), max_size=30)


def played(state: FlapState, script, at_s: float = 0.0) -> tuple[FlapState, float]:
    for kind, gap_s in script:
        at_s += gap_s
        event = FlapEvent(kind, at_s, NOON + timedelta(seconds=at_s), digest="d", until_s=at_s + DAY)
        state = after(state, event, FlapPolicy())
    return state, at_s


@given(scripts, clearings, scripts)
def test_a_clearing_that_is_undone_leaves_no_trace_and_forgets_nothing(first, how, since):
    before, at_s = played(FlapState(), first)
    cleared, _ = played(before, [(how, 0.0), *since, (FlapEventKind.RESTORED, 0.0)], at_s)
    assert cleared == played(before, since, at_s)[0]


@given(scripts, st.sampled_from([FlapEventKind.ARMED, None]))
def test_a_single_try_whose_end_nobody_knows_is_never_made_again_before_a_hold_is_over(script, how):
    state, at_s = played(FlapState(), script)
    if state.phase is not Phase.OPEN:
        return
    at_s = max(at_s, state.until_s) if how is None else at_s
    state, _ = played(state, [(how, 0.0)] if how else [], at_s)
    assert isinstance(asked(state, at_s), Allow)
    cut_off, _ = played(state, [(FlapEventKind.TRIED, 0.0)], at_s)
    assert isinstance(asked(cut_off, at_s + state.hold_s - 1), Hold)
    assert isinstance(asked(cut_off, at_s + state.hold_s + 1), Allow)


def asked(state: FlapState, at_s: float) -> Decision:
    return judge(state, FlapPolicy(), digest="d", unattended=True, place="p", now=instant(at_s))


@given(st.lists(st.tuples(kinds, st.floats(0, 3 * DAY)), max_size=60))
def test_scores_stay_within_bounds_and_holds_within_a_week(script):
    state, policy, at_s = FlapState(), FlapPolicy(), 0.0
    for kind, gap_s in script:
        at_s += gap_s
        state = after(state, FlapEvent(kind, at_s, NOON + timedelta(seconds=at_s), digest="d"), policy)
        assert 0 <= state.fast <= policy.fast.ceiling
        assert 0 <= state.slow <= policy.slow.ceiling
        assert state.hold_s <= policy.hold_max_s
        if state.phase is Phase.OPEN:
            assert state.fixed_s is None
            assert state.hold_s >= policy.fast.half_life_s


@given(st.floats(5 * 60, 5.9 * HOUR))
def test_a_steady_loop_is_tried_ever_more_seldom(period_s):
    """Something else reverts the setting again and again: in a month no more than a dozen attempts."""
    state, policy, at_s, attempts = FlapState(), GatePolicy(), 0.0, 0
    while at_s < 30 * DAY:
        now = place(None, NOON + timedelta(seconds=at_s))
        now = type(now)(now.wall, "b", at_s, at_s, at_s)
        if state.fixed_s is not None:
            state = after(state, FlapEvent(FlapEventKind.RELAPSE, at_s, now.wall), policy.flap)
        if isinstance(decide(policy, WISH, Memory(flap=state), now=now), Allow):
            attempts += 1
            for kind in (FlapEventKind.TRIED, FlapEventKind.FIXED):
                state = after(state, FlapEvent(kind, at_s, now.wall, digest=WISH.digest), policy.flap)
        at_s += period_s
    assert attempts <= 12
    assert WISH.site_id == SITE
