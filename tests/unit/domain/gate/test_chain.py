from __future__ import annotations

from dataclasses import replace
from datetime import UTC, time, timedelta

import pytest

from compliance_agent.domain.gate import (
    Allow,
    BlastLimits,
    GatePolicy,
    Hold,
    HoldKind,
    Memory,
    all_decisions,
    decide,
)
from compliance_agent.domain.gate.chain import CHAIN
from compliance_agent.domain.gate.people import Approval, Pause, PauseOrder, Term, Waiver, pause_of_file
from compliance_agent.domain.gate.windows import MaintenanceWindow
from compliance_agent.domain.outcome import OutcomeKind
from tests.support.gate import CHECK, DAY, HOUR, MINUTE, NOON, RULE, TARGET, WISH, a_try, flapped, instant

POLICY = GatePolicy()
ORDER = (
    "kill_switch",
    "waiver",
    "undone",
    "flap",
    "breaker",
    "attempts",
    "cooldown",
    "window",
    "blast_limit",
    "approval",
)
NOW = 10 * HOUR


def term(seconds: float) -> Term:
    return Term(NOON + timedelta(seconds=seconds), seconds)


FAILS = tuple(a_try(NOW - 5 + n, OutcomeKind.FAILED, undone_s=None) for n in range(5))
SHUT = MaintenanceWindow("night", time(2), time(3), UTC)
EVERYTHING_HOLDS = Memory(
    tries=(*FAILS, a_try(NOW - 100, undone_s=NOW - 1, attempt_id="undone")),
    flap=flapped(NOW - 300, NOW - 200, NOW - 100),
    pause=Pause("ann", "works", NOON),
    waiver=Waiver(TARGET, CHECK, "ann", "replaced in May", NOON, term(30 * DAY)),
)
STRICT = GatePolicy(limits=BlastLimits(target_hour=1), windows=(SHUT,), approval_from="low", breaker_failures=5)
ASKED = replace(WISH, disruption="high")


def ask(memory: Memory, *, policy: GatePolicy = POLICY, wish=WISH, at: float = NOW):
    return decide(policy, wish, memory, now=instant(at))


def without(memory: Memory, policy: GatePolicy, kind: HoldKind) -> tuple[Memory, GatePolicy]:
    """Take away what makes one part hold."""
    relaxed = {
        HoldKind.KILL_SWITCH: (replace(memory, pause=None), policy),
        HoldKind.WAIVER: (replace(memory, waiver=None), policy),
        HoldKind.UNDONE: (replace(memory, tries=FAILS), policy),
        HoldKind.FLAP: (replace(memory, flap=flapped()), policy),
        HoldKind.BREAKER: (memory, replace(policy, breaker_failures=99)),
        HoldKind.ATTEMPTS: (memory, replace(policy, attempts_max=99)),
        HoldKind.COOLDOWN: (memory, replace(policy, cooldown_s=0)),
        HoldKind.WINDOW: (memory, replace(policy, windows=())),
        HoldKind.BLAST_LIMIT: (memory, replace(policy, limits=BlastLimits())),
    }
    return relaxed[kind]


def test_the_chain_is_asked_in_the_documented_order():
    assert tuple(kind.value for kind in CHAIN) == ORDER
    assert tuple(kind.value for kind in HoldKind) == ORDER


def test_the_first_hold_wins_whatever_else_holds():
    memory, policy = EVERYTHING_HOLDS, STRICT
    for kind in list(HoldKind)[:-1]:
        held = ask(memory, policy=policy, wish=ASKED)
        assert isinstance(held, Hold)
        assert held.kind is kind
        memory, policy = without(memory, policy, kind)
    last = ask(memory, policy=policy, wish=ASKED)
    assert isinstance(last, Hold)
    assert last.kind is HoldKind.APPROVAL


def test_explain_shows_every_answer_in_order():
    answers = all_decisions(STRICT, ASKED, EVERYTHING_HOLDS, now=instant(NOW))
    assert [kind for kind, _ in answers] == list(HoldKind)
    assert [kind for kind, one in answers if not isinstance(one, Hold) or one.kind is not kind] == []


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("kill_switch", "deferred"),
        ("waiver", "waived"),
        ("undone", "deferred"),
        ("flap", "suppressed"),
        ("breaker", "suppressed"),
        ("attempts", "escalated"),
        ("cooldown", "deferred"),
        ("window", "deferred"),
        ("blast_limit", "deferred"),
        ("approval", "awaiting_approval"),
    ],
)
def test_each_hold_leads_to_its_outcome(kind, outcome):
    assert HoldKind(kind).outcome == outcome


def test_a_first_attempt_is_allowed():
    assert ask(Memory()) == Allow()


# --- kill switch


def test_a_pause_lasts_as_long_as_was_said():
    memory = Memory(pause=Pause("ann", "works", NOON, term(2 * HOUR)))
    held = ask(memory, at=2 * HOUR - 1)
    assert isinstance(held, Hold)
    assert (held.kind, held.clear_with) == (HoldKind.KILL_SWITCH, "compliance-agent resume --reason ...")
    assert "ann" in held.reason
    assert ask(memory, at=2 * HOUR) == Allow()


@pytest.mark.parametrize("said", ["", "works on the network"])
def test_a_pause_file_stops_everything_even_when_it_is_empty(said):
    held = ask(Memory(pause_file=pause_of_file(PauseOrder("m", "ann", said), None, instant(0))))
    assert isinstance(held, Hold)
    assert held.until is None
    assert "ann" in held.reason


# --- waiver


def test_a_waiver_ends_at_its_date():
    memory = Memory(waiver=Waiver(TARGET, CHECK, "ann", "replaced in May", NOON, term(DAY)))
    held = ask(memory, at=DAY - 1)
    assert isinstance(held, Hold)
    assert held.kind.outcome is OutcomeKind.WAIVED
    assert ask(memory, at=DAY) == Allow()


def test_a_clock_that_is_set_back_makes_no_waiver_longer():
    memory = Memory(waiver=Waiver(TARGET, CHECK, "ann", "replaced in May", NOON, term(DAY)))
    back = replace(instant(DAY), wall=NOON - timedelta(days=300))
    assert decide(POLICY, WISH, memory, now=back) == Allow()


# --- attempts, undone, cooldown


@pytest.mark.parametrize("outcome", [OutcomeKind.FAILED, OutcomeKind.VERIFY_FAILED, OutcomeKind.INTERRUPTED])
def test_three_failed_attempts_escalate(outcome):
    tries = [a_try(n * 10 * MINUTE, outcome) for n in range(3)]
    held = ask(Memory(tries=tries), at=HOUR)
    assert isinstance(held, Hold)
    assert (held.kind, held.until) == (HoldKind.ATTEMPTS, NOON + timedelta(days=1))
    assert ask(Memory(tries=tries), at=DAY) == Allow()
    assert ask(Memory(tries=tries[1:]), at=HOUR) == Allow()


def test_unreachable_machines_never_use_up_attempts():
    assert (
        ask(Memory(tries=[a_try(n * 10 * MINUTE, OutcomeKind.UNREACHABLE) for n in range(9)]), at=3 * HOUR) == Allow()
    )


def test_the_cooldown_really_holds_until_it_is_over():
    memory = Memory(tries=[a_try(0)])
    held = ask(memory, at=299)
    assert isinstance(held, Hold)
    assert (held.kind, held.until) == (HoldKind.COOLDOWN, NOON + timedelta(seconds=300))
    assert ask(memory, at=300) == Allow()


def test_the_rules_own_cooldown_goes_before_the_policys():
    assert ask(Memory(tries=[a_try(0)]), wish=replace(WISH, rule=replace(RULE, cooldown_s=0)), at=1) == Allow()


@pytest.mark.parametrize("other", [{"rule_id": "L1-OTHER"}, {"target_id": "srv02"}, {"check_id": "LIN-SSH-001"}])
def test_another_rule_target_or_check_cools_nothing_down(other):
    assert ask(Memory(tries=[a_try(0, **other)]), at=1) == Allow()


def test_an_undone_fix_is_left_alone_for_the_window_and_no_longer():
    memory = Memory(tries=[a_try(0, undone_s=60.0)])
    held = ask(memory, at=DAY + 59)
    assert isinstance(held, Hold)
    assert held.kind is HoldKind.UNDONE
    assert ask(memory, at=DAY + 60) == Allow()


def test_clearing_forgives_what_was_before_and_nothing_after():
    tries = [a_try(n * 10 * MINUTE, OutcomeKind.FAILED) for n in range(3)]
    assert ask(Memory(tries=tries, forgiven_s={WISH.place: HOUR}), at=2 * HOUR) == Allow()
    assert isinstance(ask(Memory(tries=tries, forgiven_s={WISH.place: -1.0}), at=2 * HOUR), Hold)


# --- circuit breaker


def failing(count: int, **more):
    return [a_try(n * MINUTE, OutcomeKind.FAILED, check_id=f"LIN-X-{n:03}", **more) for n in range(count)]


def test_a_target_on_which_everything_fails_is_left_alone_for_a_while():
    held = ask(Memory(tries=failing(5)), at=10 * MINUTE)
    assert isinstance(held, Hold)
    assert (held.kind, held.kind.outcome) == (HoldKind.BREAKER, OutcomeKind.SUPPRESSED)
    assert held.until == NOON + timedelta(minutes=4, hours=1)
    assert held.clear_with.startswith(f"compliance-agent flaps clear {TARGET} ")
    assert ask(Memory(tries=failing(5)), at=4 * MINUTE + HOUR) == Allow()


def test_after_the_pause_one_attempt_decides():
    again = [*failing(5), a_try(2 * HOUR, OutcomeKind.FAILED, check_id="LIN-X-009")]
    assert isinstance(ask(Memory(tries=again), at=2 * HOUR + MINUTE), Hold)
    healed = [*failing(5), a_try(2 * HOUR, check_id="LIN-X-009")]
    assert ask(Memory(tries=healed), at=2 * HOUR + MINUTE) == Allow()


def test_one_dead_target_holds_up_no_other():
    assert ask(Memory(tries=failing(9, target_id="srv02")), at=10 * MINUTE) == Allow()


def test_a_cleared_breaker_is_closed():
    assert ask(Memory(tries=failing(5), forgiven_s={TARGET: 10 * MINUTE}), at=11 * MINUTE) == Allow()


# --- blast limits

LIMITED = GatePolicy(cooldown_s=0, limits=BlastLimits(target_hour=3, site_day=5))


def test_the_token_comes_back_one_period_after_it_was_taken():
    memory = Memory(tries=[a_try(n * MINUTE, check_id=f"LIN-X-{n:03}") for n in range(3)])
    held = ask(memory, policy=LIMITED, at=HOUR - 1)
    assert isinstance(held, Hold)
    assert (held.kind, held.until) == (HoldKind.BLAST_LIMIT, NOON + timedelta(hours=1))
    assert "3 remediations on srv01 within 1 h" in held.reason
    assert ask(memory, policy=LIMITED, at=HOUR) == Allow()


def test_an_attempt_that_has_not_ended_has_taken_its_token():
    running = [a_try(n * MINUTE, None, check_id=f"LIN-X-{n:03}") for n in range(3)]
    assert isinstance(ask(Memory(tries=running), policy=LIMITED, at=5 * MINUTE), Hold)


def test_a_site_has_a_limit_over_all_its_targets():
    spread = [a_try(n * HOUR, target_id=f"pc{n}", check_id=f"LIN-X-{n:03}") for n in range(5)]
    held = ask(Memory(tries=spread), policy=LIMITED, at=5 * HOUR)
    assert isinstance(held, Hold)
    assert held.until == NOON + timedelta(days=1)
    elsewhere = [replace(one, site_id="other") for one in spread]
    assert ask(Memory(tries=elsewhere), policy=LIMITED, at=5 * HOUR) == Allow()


def test_a_limit_of_nothing_heals_nothing():
    none = GatePolicy(limits=BlastLimits(site_hour=0))
    assert isinstance(ask(Memory(), policy=none), Hold)


def test_the_control_plane_lowers_limits_and_never_raises_them():
    local = BlastLimits(target_hour=5, site_day=50)
    assert local.lowered_by(BlastLimits(target_hour=2, site_day=500)) == replace(
        BlastLimits(), target_hour=2, site_day=50
    )


# --- approval


@pytest.mark.parametrize(
    ("effects", "asks"),
    [
        ({"disruption": "medium"}, False),
        ({"disruption": "high"}, True),
        ({"reboot": "maybe"}, True),
        ({"reboot": "always"}, True),
    ],
)
def test_a_person_is_asked_for_what_disrupts(effects, asks):
    held = ask(Memory(), wish=replace(WISH, **effects))
    assert isinstance(held, Hold) is asks
    if isinstance(held, Hold):
        assert held.clear_with == "compliance-agent approve i-1 --reason ..."


def test_an_approval_is_for_exactly_one_plan_and_expires():
    wish = replace(WISH, disruption="high")
    memory = Memory(approval=Approval("i-1", "plan-1", "ann", "tonight", NOON, term(DAY)))
    assert ask(memory, wish=wish, at=DAY - 1) == Allow("approved by ann")
    assert isinstance(ask(memory, wish=wish, at=DAY), Hold)
    changed = ask(memory, wish=replace(wish, plan_digest="plan-2"), at=HOUR)
    assert isinstance(changed, Hold)
    assert "changed" in changed.reason


def test_reboots_ask_even_where_nobody_wants_to_be_asked():
    policy = GatePolicy(approval_from=None)
    assert ask(Memory(), policy=policy, wish=replace(WISH, disruption="high")) == Allow()
    assert isinstance(ask(Memory(), policy=policy, wish=replace(WISH, reboot="maybe")), Hold)
