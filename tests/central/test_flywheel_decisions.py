"""May a pattern become a rule, may a canary go on, has a rule stopped working: the decisions."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_command.flywheel.evidence import Tally
from central_command.flywheel.promotion import PatternRecord, PromotionPolicy, Scope, judge
from central_command.flywheel.sequential import CanaryTest, CanaryVerdict, DecayTest
from central_command.flywheel.stages import Hand, Stage, StagePolicy, Standing, advance
from compliance_agent.domain.serving import in_canary

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROMOTION = PromotionPolicy()
STAGES = StagePolicy(shadow_time=timedelta(days=2))


def _record(appliances: int, each: Tally, *, targets: int = 30, days: int = 30) -> PatternRecord:
    return PatternRecord([each] * appliances, targets=targets, days=days)


def test_many_appliances_with_lasting_fixes_speak_for_the_fleet() -> None:
    judgement = judge(_record(30, Tally(3, 0)), PROMOTION)
    assert (judgement.scope, judgement.missing) == (Scope.FLEET, ())


def test_too_few_appliances_speak_for_their_site_alone() -> None:
    judgement = judge(_record(9, Tally(30, 0)), PROMOTION)
    assert judgement.scope is Scope.SITE
    assert judgement.missing == ("it ran on 9 of 10 appliances",)
    assert judge(_record(10, Tally(30, 0)), PROMOTION).scope is Scope.FLEET


def test_the_earlier_rule_of_five_runs_and_ninety_percent_is_not_enough() -> None:
    judgement = judge(_record(5, Tally(1, 0)), PROMOTION)
    assert judgement.scope is Scope.NONE
    assert (
        judgement.missing[0].startswith("it may last in fewer than 80 % of its runs") or "80%" in judgement.missing[0]
    )


@pytest.mark.parametrize(
    ("targets", "days", "missing"),
    [(2, 30, "it ran on 2 of 3 machines"), (30, 2, "it ran on 2 of 3 different days")],
)
def test_one_lucky_machine_or_day_is_not_enough(targets, days, missing) -> None:
    judgement = judge(_record(30, Tally(3, 0), targets=targets, days=days), PROMOTION)
    assert (judgement.scope, judgement.missing) == (Scope.NONE, (missing,))


def test_runs_of_one_appliance_count_for_less_than_the_same_on_many() -> None:
    narrow, wide = judge(_record(2, Tally(50, 0)), PROMOTION), judge(_record(100, Tally(1, 0)), PROMOTION)
    assert narrow.runs == wide.runs == 100
    assert narrow.runs_effective < 10 < wide.runs_effective


def test_a_low_estimate_of_correlation_is_believed_from_many_appliances_only() -> None:
    alike = Tally(9, 1)
    assert judge(_record(29, alike), PROMOTION).correlation == PROMOTION.correlation
    assert judge(_record(30, alike), PROMOTION).correlation == 0


def test_a_high_estimate_of_correlation_is_always_believed() -> None:
    record = PatternRecord([Tally(10, 0)] * 8 + [Tally(0, 10)] * 2, targets=9, days=9)
    assert judge(record, PROMOTION).correlation == pytest.approx(1)


@given(st.lists(st.builds(Tally, st.integers(0, 40), st.integers(0, 10)), max_size=40))
def test_a_failure_more_never_promotes(tallies) -> None:
    policy = dataclasses.replace(PROMOTION, correlation_appliances_min=10**9, correlation=1.0)  # nothing is estimated
    if judge(PatternRecord(tallies, 9, 9), policy).scope is Scope.NONE and tallies:
        worse = [Tally(tallies[0].successes, tallies[0].failures + 1), *tallies[1:]]
        assert judge(PatternRecord(worse, 9, 9), policy).evidence <= PROMOTION.evidence_min


def test_a_canary_is_accepted_after_flawless_runs_and_rejected_after_failures() -> None:
    test = CanaryTest()
    assert [test.judge(test.score(n, 0)) for n in (26, 27)] == [CanaryVerdict.GO_ON, CanaryVerdict.ACCEPT]
    assert [test.judge(test.score(0, n)) for n in (2, 3)] == [CanaryVerdict.GO_ON, CanaryVerdict.REJECT]


def test_a_dead_rule_is_out_after_three_runs() -> None:
    test, score, runs = DecayTest(), 0.0, 0
    while not test.is_out(score):
        score, runs = test.step(score, success=False), runs + 1
    assert runs == 3


@given(st.lists(st.booleans(), max_size=300))
def test_a_good_past_excuses_nothing(past) -> None:
    test, score = DecayTest(), 0.0
    for success in past:
        score = test.step(score, success=success)
    assert score >= 0
    for _ in range(3):
        score = test.step(score, success=False)
    assert test.is_out(score)


def _standing(stage: Stage, **numbers: object) -> Standing:
    return dataclasses.replace(Standing(stage, NOW - timedelta(days=3)), **numbers)  # type: ignore[arg-type]


def test_a_rule_goes_through_every_stage_and_each_step_says_why() -> None:
    eligible = judge(_record(30, Tally(3, 0)), PROMOTION)
    steps = [
        advance(_standing(Stage.OBSERVED), eligible, STAGES, now=NOW),
        advance(_standing(Stage.CANDIDATE), None, STAGES, now=NOW),
        advance(_standing(Stage.SHADOW, matches=10, agreements=9), None, STAGES, now=NOW),
        advance(_standing(Stage.CANARY, successes=27), None, STAGES, now=NOW),
        advance(_standing(Stage.CANARY, successes=27, canary_step=1), None, STAGES, now=NOW),
        advance(_standing(Stage.CANARY, successes=27, canary_step=2), None, STAGES, now=NOW),
    ]
    assert [(step.stage, step.canary_step) for step in steps if step] == [
        (Stage.CANDIDATE, 0),
        (Stage.SHADOW, 0),
        (Stage.CANARY, 0),
        (Stage.CANARY, 1),
        (Stage.CANARY, 2),
        (Stage.ENABLED, 0),
    ]
    assert all(step and step.reason for step in steps)


def test_weaker_evidence_never_goes_on_by_itself() -> None:
    local = judge(_record(9, Tally(30, 0)), PROMOTION)
    assert advance(_standing(Stage.OBSERVED), local, STAGES, now=NOW) is None


@pytest.mark.parametrize(
    "standing",
    [
        pytest.param(_standing(Stage.SHADOW, matches=9, agreements=9), id="too few matches"),
        pytest.param(
            _standing(Stage.SHADOW, matches=99, agreements=99, since=NOW - timedelta(hours=47)), id="too short a time"
        ),
        pytest.param(_standing(Stage.CANARY, successes=5), id="a canary without a verdict"),
        pytest.param(_standing(Stage.ENABLED, decay=4.9), id="a rule that works"),
        pytest.param(_standing(Stage.DEMOTED), id="a demoted rule"),
        pytest.param(_standing(Stage.ENABLED, decay=9.0, hand=Hand.PINNED), id="a pinned rule that fails"),
        pytest.param(_standing(Stage.SHADOW, matches=99, agreements=99, hand=Hand.VETOED), id="a vetoed rule"),
    ],
)
def test_it_stays_where_it_is(standing) -> None:
    assert advance(standing, None, STAGES, now=NOW) is None


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (_standing(Stage.SHADOW, matches=10, agreements=8), "in shadow it agreed with what lasted in 8 of 10 matches"),
        (_standing(Stage.CANARY, failures=3), "canary at 5% of the appliances: only 0 of 3 runs lasted"),
        (
            _standing(Stage.ENABLED, decay=5.4, successes=100, failures=3),
            "it stopped working: 3 of 103 runs since it was enabled failed or relapsed (decay 5.4 of 5)",
        ),
    ],
)
def test_what_does_not_work_is_demoted_and_says_why(standing, reason) -> None:
    step = advance(standing, None, STAGES, now=NOW)
    assert step is not None
    assert step.stage is Stage.DEMOTED
    assert step.reason.startswith(reason)


@given(st.text(max_size=8), st.text(max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_a_smaller_share_is_in_a_larger_one(rule_id, appliance_id, one, other) -> None:
    small, large = sorted((one, other))
    assert not in_canary(rule_id, "s", appliance_id, small) or in_canary(rule_id, "s", appliance_id, large)


def test_a_share_is_about_that_share_and_another_one_for_each_rule() -> None:
    chosen = {
        rule: {number for number in range(2_000) if in_canary(rule, "s", f"appliance-{number}", 0.25)}
        for rule in ("a", "b")
    }
    assert all(430 <= len(one) <= 570 for one in chosen.values())  # +- 3.6 standard deviations
    assert len(chosen["a"] & chosen["b"]) < 200
    assert not any(in_canary("a", "s", f"{number}", 0) for number in range(200))
    assert all(in_canary("a", "s", f"{number}", 1) for number in range(200))
