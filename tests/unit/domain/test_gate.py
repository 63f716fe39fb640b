from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from compliance_agent.domain.gate import Allow, GatePolicy, Hold, HoldKind, all_decisions, decide
from compliance_agent.domain.outcome import Attempt, FinishedAttempt, OutcomeKind
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import Action, Rule

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = GatePolicy(cooldown_s=300, attempts_max=3, relapses_max=3, window_s=86_400)
RULE = Rule("L1-X", compile_pattern({"a": 1}), Action("run_linux_runbook", "LIN-X-001"))


def past(outcome: OutcomeKind, at: datetime, *, rule_id: str = "L1-X", undone_at: datetime | None = None):
    attempt = Attempt("id", "print", "incident", "site", "target", "LIN-X-001", rule_id, "a:b", "LIN-X-001", "d", at)
    return FinishedAttempt(attempt, outcome, "why", at, undone_at)


def test_a_first_attempt_is_allowed() -> None:
    assert decide(POLICY, RULE, [], now=NOON) == Allow()


def test_the_cooldown_really_holds_until_it_is_over() -> None:
    tried = [past(OutcomeKind.REMEDIATED, NOON)]
    held = decide(POLICY, RULE, tried, now=NOON + 5 * MINUTE - timedelta(seconds=1))
    assert isinstance(held, Hold)
    assert (held.kind, held.until) == (HoldKind.COOLDOWN, NOON + 5 * MINUTE)
    assert decide(POLICY, RULE, tried, now=NOON + 5 * MINUTE) == Allow()


def test_the_rules_own_cooldown_goes_before_the_policys() -> None:
    rule = Rule("L1-X", RULE.pattern, RULE.action, cooldown_s=0)
    assert decide(POLICY, rule, [past(OutcomeKind.REMEDIATED, NOON)], now=NOON) == Allow()


def test_another_rules_attempt_does_not_cool_this_one_down() -> None:
    assert decide(POLICY, RULE, [past(OutcomeKind.FAILED, NOON, rule_id="L1-OTHER")], now=NOON) == Allow()


@pytest.mark.parametrize("outcome", [OutcomeKind.FAILED, OutcomeKind.VERIFY_FAILED, OutcomeKind.INTERRUPTED])
def test_three_failed_attempts_escalate(outcome) -> None:
    tried = [past(outcome, NOON + 10 * n * MINUTE) for n in range(3)]
    held = decide(POLICY, RULE, tried, now=NOON + timedelta(hours=1))
    assert isinstance(held, Hold)
    assert held.kind is HoldKind.ATTEMPTS
    assert held.kind.outcome is OutcomeKind.ESCALATED
    assert held.until == NOON + timedelta(days=1)


def test_two_failed_attempts_do_not_escalate() -> None:
    tried = [past(OutcomeKind.FAILED, NOON + 10 * n * MINUTE) for n in range(2)]
    assert decide(POLICY, RULE, tried, now=NOON + timedelta(hours=1)) == Allow()


def test_unreachable_machines_never_use_up_attempts() -> None:
    tried = [past(OutcomeKind.UNREACHABLE, NOON + 10 * n * MINUTE) for n in range(9)]
    assert decide(POLICY, RULE, tried, now=NOON + timedelta(hours=3)) == Allow()


def test_a_fix_that_came_back_three_times_is_suppressed_with_the_reason() -> None:
    tried = [past(OutcomeKind.REMEDIATED, NOON + 15 * n * MINUTE) for n in range(3)]
    held = decide(POLICY, RULE, tried, now=NOON + timedelta(hours=1))
    assert isinstance(held, Hold)
    assert held.kind.outcome is OutcomeKind.SUPPRESSED
    assert "came back 3 times" in held.reason
    assert held.until == NOON + timedelta(days=1)


def test_a_fix_that_came_back_twice_is_tried_again() -> None:
    tried = [past(OutcomeKind.REMEDIATED, NOON + 15 * n * MINUTE) for n in range(2)]
    assert decide(POLICY, RULE, tried, now=NOON + timedelta(hours=1)) == Allow()


def test_the_suppression_ends_when_the_oldest_relapse_leaves_the_window() -> None:
    tried = [past(OutcomeKind.REMEDIATED, NOON + 15 * n * MINUTE) for n in range(3)]
    assert decide(POLICY, RULE, tried, now=NOON + timedelta(days=1)) == Allow()


def test_a_clock_that_was_set_back_a_little_forgets_nothing():
    tried = [past(OutcomeKind.REMEDIATED, NOON + timedelta(hours=1, minutes=n)) for n in range(3)]
    assert isinstance(decide(POLICY, RULE, tried, now=NOON), Hold)


@pytest.mark.parametrize("outcome", [OutcomeKind.REMEDIATED, OutcomeKind.FAILED])
def test_a_clock_that_once_ran_years_ahead_does_not_pause_healing_for_years(outcome):
    tried = [past(outcome, NOON + timedelta(days=3650, minutes=n)) for n in range(3)]
    assert decide(POLICY, RULE, tried, now=NOON) == Allow()


def test_an_undone_fix_is_no_relapse_and_is_left_alone() -> None:
    tried = [
        past(OutcomeKind.REMEDIATED, NOON - timedelta(hours=2)),
        past(OutcomeKind.REMEDIATED, NOON - timedelta(hours=1)),
        past(OutcomeKind.REMEDIATED, NOON, undone_at=NOON + MINUTE),
    ]
    held = decide(POLICY, RULE, tried, now=NOON + timedelta(hours=2))
    assert isinstance(held, Hold)
    assert held.kind is HoldKind.UNDONE
    assert held.kind.outcome is OutcomeKind.DEFERRED


def test_an_undo_is_respected_for_the_window_and_then_forgotten() -> None:
    tried = [past(OutcomeKind.REMEDIATED, NOON, undone_at=NOON)]
    assert isinstance(decide(POLICY, RULE, tried, now=NOON + timedelta(days=1, seconds=-1)), Hold)
    assert decide(POLICY, RULE, tried, now=NOON + timedelta(days=1)) == Allow()


def test_every_gate_answers_for_explain_in_the_gates_order() -> None:
    answers = all_decisions(POLICY, RULE, [past(OutcomeKind.REMEDIATED, NOON)], now=NOON)
    assert [kind for kind, _ in answers] == list(HoldKind)
    assert [isinstance(decision, Hold) for _, decision in answers] == [False, False, False, True]
