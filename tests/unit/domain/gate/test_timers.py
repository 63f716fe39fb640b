"""Every timer of the gate over jumps of the clock, reboots, and both at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.gate import Allow, BlastLimits, GatePolicy, Hold, HoldKind, Memory, decide
from compliance_agent.domain.gate.flap import FRESH, FlapEventKind, after
from compliance_agent.domain.gate.people import Approval, Pause, Term, Waiver
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.timeline import GAP_MAX_S, newer, place
from compliance_agent.testing import FakeClock
from tests.support.gate import CHECK, DAY, FLAPS, HOUR, NOON, TARGET, WISH, a_try, event, flapped

if TYPE_CHECKING:
    from compliance_agent.domain.gate import Decision
    from compliance_agent.domain.gate.tries import Try
    from compliance_agent.domain.timeline import Instant

YEARS = 10 * 365 * DAY
TERM = Term(NOON.__class__.fromtimestamp(NOON.timestamp() + 2 * HOUR, NOON.tzinfo), 2 * HOUR)
DISRUPTS = replace(WISH, disruption="high")
QUIET = GatePolicy(cooldown_s=0, attempts_max=99, breaker_failures=99)
FAILED = [a_try(0.0, OutcomeKind.FAILED, attempt_id=f"f{n}") for n in range(3)]

# Name: what holds, the policy, the memory at second 0, and for how long it holds.
BY_UPTIME = {
    "cooldown": (HoldKind.COOLDOWN, replace(QUIET, cooldown_s=7_200), Memory([a_try(0.0)]), 2 * HOUR),
    "limit of an hour": (
        HoldKind.BLAST_LIMIT,
        replace(QUIET, limits=BlastLimits(target_hour=1)),
        Memory([a_try(0.0)]),
        HOUR,
    ),
    "limit of a day": (HoldKind.BLAST_LIMIT, replace(QUIET, limits=BlastLimits(site_day=1)), Memory([a_try(0.0)]), DAY),
}
BY_ELAPSED = {
    "pause": (HoldKind.KILL_SWITCH, QUIET, Memory(pause=Pause("ann", "works", NOON, TERM)), 2 * HOUR),
    "undone": (HoldKind.UNDONE, QUIET, Memory([a_try(0.0, undone_s=0.0)]), DAY),
    "flap": (HoldKind.FLAP, QUIET, Memory(flap=flapped(0, 0, 0)), flapped(0, 0, 0).until_s),
    "flap, single try cut off": (
        HoldKind.FLAP,
        QUIET,
        Memory(flap=after(flapped(-DAY, -DAY, -DAY), event(FlapEventKind.TRIED, 0, digest="d1"), FLAPS)),
        flapped(0, 0, 0).hold_s,
    ),
    "a person's hold": (
        HoldKind.FLAP,
        QUIET,
        Memory(flap=after(FRESH, event(FlapEventKind.HELD, 0, until_s=3 * DAY), FLAPS)),
        3 * DAY,
    ),
    "breaker": (HoldKind.BREAKER, replace(QUIET, breaker_failures=3), Memory(FAILED), HOUR),
    "attempts": (HoldKind.ATTEMPTS, replace(QUIET, attempts_max=3), Memory(FAILED), DAY),
}
TIMERS = {**BY_UPTIME, **BY_ELAPSED}


class Life:
    """The clocks of an appliance, and the instant that it keeps at each turn."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOON)
        self.kept = place(None, self.clock.read())

    def answer(self, name: str) -> Decision:
        _, policy, memory, _ = TIMERS[name]
        return decide(policy, WISH, memory, now=self.turn())

    def turn(self) -> Instant:
        now = place(self.kept, self.clock.read())
        self.kept = newer(self.kept, now)
        return now


@pytest.mark.parametrize("jump_s", [-YEARS, -DAY, DAY, YEARS])
@pytest.mark.parametrize("name", TIMERS)
def test_a_clock_that_jumps_and_comes_back_between_turns_changes_no_timer(name, jump_s):
    kind, _, _, hold_s = TIMERS[name]
    life = Life()
    life.clock.advance(1)
    life.clock.step(jump_s)
    held = life.answer(name)
    assert isinstance(held, Hold)
    assert held.kind is kind
    life.clock.step(-jump_s)
    assert isinstance(life.answer(name), Hold)
    life.clock.advance(hold_s - 2)
    assert isinstance(life.answer(name), Hold)
    life.clock.step(jump_s)
    life.clock.advance(1)
    assert isinstance(life.answer(name), Allow)


@pytest.mark.parametrize("jump_s", [-YEARS, 0.0, YEARS])
@pytest.mark.parametrize("name", BY_UPTIME)
def test_no_reboot_and_no_clock_shortens_what_limits_how_often(name, jump_s):
    _, _, _, hold_s = TIMERS[name]
    life = Life()
    life.clock.advance(hold_s - 10)
    life.answer(name)
    life.clock.step(jump_s)
    life.clock.reboot(DAY)
    assert isinstance(life.answer(name), Hold), "switched off counts nothing"
    life.clock.advance(9)
    assert isinstance(life.answer(name), Hold)
    life.clock.advance(1)
    assert isinstance(life.answer(name), Allow)


@pytest.mark.parametrize("name", BY_ELAPSED)
def test_over_a_reboot_a_hold_goes_on_and_the_time_switched_off_counts(name):
    _, _, _, hold_s = TIMERS[name]
    life = Life()
    life.clock.reboot(hold_s / 2)
    assert isinstance(life.answer(name), Hold)
    life.clock.reboot(hold_s / 2 - 1)
    assert isinstance(life.answer(name), Hold)
    life.clock.reboot(1.001)
    assert isinstance(life.answer(name), Allow)


@pytest.mark.parametrize("name", BY_ELAPSED)
def test_a_clock_that_is_set_back_over_a_reboot_makes_a_hold_no_shorter(name):
    _, _, _, hold_s = TIMERS[name]
    life = Life()
    life.clock.step(-YEARS)
    life.clock.reboot(10)
    assert isinstance(life.answer(name), Hold)
    life.clock.advance(hold_s - 1)
    assert isinstance(life.answer(name), Hold)
    life.clock.advance(1)
    assert isinstance(life.answer(name), Allow)


def test_a_clock_ten_years_ahead_over_a_reboot_shortens_a_hold_by_a_week_and_no_more():
    life = Life()
    before = life.kept
    life.clock.step(YEARS)
    life.clock.reboot(1)
    life.answer("pause")
    assert life.kept.elapsed_s - before.elapsed_s == GAP_MAX_S
    life.clock.step(-YEARS)
    life.clock.reboot(1)
    life.answer("pause")
    assert life.kept.elapsed_s - before.elapsed_s == GAP_MAX_S


# --- what people decided until a date: over by whichever clock says so first, and never longer than was said


def ask(life: Life, memory: Memory, wish=WISH) -> Decision:
    return decide(QUIET, wish, memory, now=life.turn())


WAIVED = Memory(waiver=Waiver(TARGET, CHECK, "ann", "accepted", NOON, TERM))
APPROVED = Memory(approval=Approval("i-1", "plan-1", "ann", "yes", NOON, TERM))


def test_an_approval_that_expires_between_plan_and_deed_is_none_at_the_deed():
    life = Life()
    life.clock.advance(2 * HOUR - 1)
    assert ask(life, APPROVED, DISRUPTS) == Allow("approved by ann")
    life.clock.advance(1)
    held = ask(life, APPROVED, DISRUPTS)
    assert isinstance(held, Hold)
    assert "has expired" in held.reason


@pytest.mark.parametrize("jump_s", [-YEARS, -HOUR])
def test_a_clock_that_is_set_back_lengthens_neither_waiver_nor_approval(jump_s):
    life = Life()
    life.clock.step(jump_s)
    life.clock.advance(2 * HOUR - 1)
    assert isinstance(ask(life, WAIVED), Hold)
    assert isinstance(ask(life, APPROVED, DISRUPTS), Allow)
    life.clock.advance(1)
    assert isinstance(ask(life, WAIVED), Allow)
    assert isinstance(ask(life, APPROVED, DISRUPTS), Hold)


def test_a_clock_ten_years_ahead_ends_an_approval():
    life = Life()
    life.clock.step(YEARS)
    assert isinstance(ask(life, APPROVED, DISRUPTS), Hold)


# --- two limits at once, and the edges of a bucket


def held_for(limits: BlastLimits, tries: list[Try], seconds: float) -> Decision:
    life = Life()
    life.clock.advance(seconds)
    return decide(replace(QUIET, limits=limits), WISH, Memory(tries), now=place(life.kept, life.clock.read()))


@pytest.mark.parametrize(("seconds", "holds"), [(HOUR - 1, True), (HOUR, False), (HOUR + 1, False)])
def test_a_token_comes_back_exactly_one_period_after_it_was_taken(seconds, holds):
    assert isinstance(held_for(BlastLimits(target_hour=1), [a_try(0.0)], seconds), Hold) is holds


@pytest.mark.parametrize(("begun", "holds"), [(19, False), (20, True), (21, True)])
def test_the_last_token_may_be_taken_and_no_more(begun, holds):
    tries = [a_try(float(number)) for number in range(begun)]
    assert isinstance(held_for(BlastLimits(), tries, 60), Hold) is holds


def test_of_two_limits_at_once_the_longer_wait_is_told():
    tries = [a_try(0.0), a_try(10.0, target_id="pc2")]
    held = held_for(BlastLimits(target_hour=1, site_day=2), tries, 60)
    assert isinstance(held, Hold)
    assert held.reason == "2 remediations at this site within 24 h is the limit"
    assert held.until is not None
    assert (held.until - NOON).total_seconds() == DAY
    assert isinstance(held_for(BlastLimits(target_hour=1, site_day=2), tries, DAY), Allow)


def test_a_limit_of_none_at_all_never_ends_by_itself():
    held = held_for(BlastLimits(site_hour=0), [], 0)
    assert isinstance(held, Hold)
    assert held.until is None
