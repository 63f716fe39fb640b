"""No appliance by itself moves a rule of the fleet, whatever it reports; together they do, as fast as before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central_command.flywheel.evidence import Tally
from central_command.flywheel.influence import GROUPS, RUNS_A_DAY, Decay, canary_verdict, group_of
from central_command.flywheel.promotion import PatternRecord, PromotionPolicy, Scope, judge
from central_command.flywheel.sequential import CanaryTest, CanaryVerdict, DecayTest
from central_command.store.counts import differences
from central_command.store.fold import DURABLE_AFTER, REACH_MAX, UNCLAIMED_MAX, fold
from tests.central.test_promoter import _turn
from tests.support.central import NOW, add_rule, add_site, execution, report

if TYPE_CHECKING:
    import psycopg

_DECAY = DecayTest()


def _after(marks: list[tuple[int, bool]]) -> Decay:
    decay = Decay()
    for group, success in marks:
        decay = decay.step(_DECAY, group, success=success)
    return decay


def test_a_rule_that_one_group_ran_is_judged_by_it() -> None:
    assert not _DECAY.is_out(_after([(3, False)] * 2).confirmed)
    assert _DECAY.is_out(_after([(3, False)] * 3).confirmed)


def test_a_dead_rule_is_out_after_four_runs_of_four_groups() -> None:
    assert not _DECAY.is_out(_after([(group, False) for group in range(3)]).confirmed)
    assert _DECAY.is_out(_after([(group, False) for group in range(4)]).confirmed)


@given(
    st.lists(st.tuples(st.integers(1, GROUPS - 1), st.booleans()), min_size=1, max_size=30),
    st.lists(st.booleans(), max_size=60),
)
def test_whatever_one_group_reports_it_demotes_no_rule_that_the_others_would_keep(honest, lies) -> None:
    alone = DecayTest()
    score = 0.0
    for _, success in honest:
        score = alone.step(score, success=success)
    decay = _after([*honest[:1], *((0, one) for one in lies), *honest[1:]])
    if lies:
        assert decay.confirmed <= score + 1e-9


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=GROUPS, max_size=GROUPS))
def test_a_canary_verdict_stands_with_any_one_group_left_out(pairs) -> None:
    test = CanaryTest()
    good, bad = [one[0] for one in pairs], [one[1] for one in pairs]
    verdict = canary_verdict(test, good, bad)
    if sum(1 for one in pairs if sum(one)) > 1 and verdict is not CanaryVerdict.GO_ON:
        for index, (s, f) in enumerate(pairs):
            if s + f:
                assert test.judge(test.score(sum(good) - s, sum(bad) - f)) is verdict, index


def test_a_canary_that_one_group_ran_is_judged_by_it() -> None:
    test = CanaryTest()
    only = [30] + [0] * (GROUPS - 1)
    assert canary_verdict(test, only, [0] * GROUPS) is CanaryVerdict.ACCEPT
    assert canary_verdict(test, [30, 1] + [0] * (GROUPS - 2), [0] * GROUPS) is CanaryVerdict.GO_ON
    assert canary_verdict(test, [0] * GROUPS, [0] * GROUPS) is CanaryVerdict.GO_ON


def test_one_appliance_that_claims_a_thousand_successes_promotes_nothing() -> None:
    honest = [Tally(1, 0)] * 7 + [Tally(0, 1)] * 2
    assert judge(PatternRecord([*honest, Tally(100_000, 0)], 30, 30), PromotionPolicy()).scope is Scope.NONE


def test_one_busy_appliance_does_not_hold_up_what_all_others_say() -> None:
    honest = [Tally(3, 0)] * 30
    busy = judge(PatternRecord([*honest, Tally(10_000, 0)], 30, 30), PromotionPolicy())
    assert (busy.scope, busy.runs) == (Scope.FLEET, 10_090)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 50))
def test_a_tally_cut_down_is_never_better_than_it_was(successes, failures, most) -> None:
    cut = Tally(successes, failures).at_most(most)
    assert cut.runs == min(most, successes + failures)
    assert cut.successes * (successes + failures) <= successes * cut.runs


@pytest.fixture
def fleet_of_four(owner: psycopg.Connection) -> list[str]:
    """Four sites with an appliance each, all in different groups for RULE-1, besides ``site-1/a``."""
    taken, sites = {group_of("RULE-1", "site-1", "a")}, []
    for number in range(1000):
        site_id = f"clinic-{number}"
        if (group := group_of("RULE-1", site_id, "a")) not in taken:
            taken.add(group)
            sites.append(site_id)
            add_site(owner, site_id, "a")
        if len(sites) == 4:
            break
    return sites


def test_an_appliance_that_lies_demotes_no_rule_that_works_elsewhere(agent, fleet, fleet_of_four) -> None:
    report(agent, [execution()], site_id=fleet_of_four[0])
    assert _turn(fleet) == []
    for day in range(5):
        report(agent, [execution("failed") for _ in range(100)])
        assert _turn(fleet, now=NOW + timedelta(days=day)) == []
    assert fleet.execute("SELECT stage, failure_count, decay > 5 FROM l1_rules").fetchone() == ("enabled", 500, True)


def test_a_rule_that_fails_everywhere_is_demoted(agent, fleet, fleet_of_four) -> None:
    for site_id in fleet_of_four[:3]:
        report(agent, [execution("failed")], site_id=site_id)
    assert _turn(fleet) == []
    report(agent, [execution("failed")], site_id=fleet_of_four[3])
    assert _turn(fleet) == [("RULE-1", "demoted")]


def test_the_decay_test_hears_of_an_appliance_so_often_a_day(owner, agent, fleet) -> None:
    owner.execute("UPDATE l1_rules SET hand = 'pinned'")
    for _ in range(2):
        report(agent, [execution("failed") for _ in range(RUNS_A_DAY - 5)])
        _turn(fleet)
    first = owner.execute("SELECT decay, runs FROM l1_rules CROSS JOIN rule_days").fetchone()
    assert first is not None
    assert first == (pytest.approx(RUNS_A_DAY * 1.791759), RUNS_A_DAY)
    report(agent, [execution("failed")])
    _turn(fleet, now=NOW + timedelta(days=1))
    assert owner.execute("SELECT runs FROM rule_days").fetchone() == (1,)


def test_failures_from_before_a_stage_do_not_count_in_it(owner, agent, fleet) -> None:
    owner.execute("UPDATE l1_rules SET stage_since = %s", (NOW,))
    report(agent, [execution("failed", ended_at=NOW - timedelta(seconds=1)) for _ in range(10)])
    assert _turn(fleet) == []
    assert owner.execute("SELECT stage_failures, failure_count FROM l1_rules").fetchone() == (0, 10)


def test_what_a_site_says_of_another_sites_rule_counts_aside(owner, agent, fleet) -> None:
    add_site(owner, "site-2", "b")
    add_rule(owner, "LOCAL-1", site_id="site-2")
    report(agent, [execution("failed", rule_id="LOCAL-1") for _ in range(5)])
    assert differences(fleet) == []
    assert _turn(fleet) == []
    assert differences(fleet) == []
    assert owner.execute("SELECT match_count FROM l1_rules WHERE rule_id = 'LOCAL-1'").fetchone() == (0,)
    assert owner.execute("SELECT site_id, failures FROM unclaimed_counts").fetchall() == [("site-1", 5)]


def test_an_appliance_cannot_say_that_anothers_fixes_came_back(owner, agent, fleet) -> None:
    add_site(owner, "site-1", "b")
    report(agent, [execution(fingerprint="f")])
    back = execution("unmatched", attempt_id=None, fingerprint="f", opened_at=NOW + timedelta(hours=1))
    report(agent, [back], appliance_id="b")
    fold(fleet, now=NOW)
    assert owner.execute("SELECT relapse_count FROM l1_rules").fetchone() == (0,)


def test_a_fix_that_says_it_opened_after_it_ended_is_not_its_own_relapse(owner, agent, fleet) -> None:
    report(agent, [execution(ended_at=NOW, opened_at=NOW + timedelta(hours=1))])
    fold(fleet, now=NOW)
    assert owner.execute("SELECT relapse_count FROM l1_rules").fetchone() == (0,)


def test_a_fix_of_a_rule_that_was_registered_meanwhile_stops_no_fold_when_it_comes_back(owner, agent, fleet) -> None:
    # Its success was counted aside; a relapse without one would have broken a constraint, for ever.
    report(agent, [execution(rule_id="NEW-1", fingerprint="f")])
    fold(fleet, now=NOW)
    add_rule(owner, "NEW-1")
    report(agent, [execution("unmatched", attempt_id=None, fingerprint="f", opened_at=NOW + timedelta(hours=1))])
    assert fold(fleet, now=NOW) is not None


def test_rules_that_nobody_registered_fill_no_table(owner, agent, fleet) -> None:
    for start in (0, 800):
        report(agent, [execution(rule_id=f"X-{start + number}") for number in range(800)])
        fold(fleet, now=NOW)
    report(agent, [execution(rule_id="X-1"), execution(rule_id="X-1599")])
    fold(fleet, now=NOW)
    rows = dict(owner.execute("SELECT rule_id, matches FROM unclaimed_counts").fetchall())
    assert (len(rows), rows["(others)"], rows["X-1"]) == (UNCLAIMED_MAX + 1, 601, 2)


@pytest.mark.parametrize("platform", ["windows", "toaster", None])
def test_a_platform_that_a_runbook_is_not_for_makes_no_pattern(owner, agent, fleet, platform) -> None:
    report(agent, [execution(level="L3", rule_id=None, platform=platform)])
    fold(fleet, now=NOW)
    assert owner.execute("SELECT count(*) FROM patterns").fetchone() == (0,)


def test_machines_without_end_are_remembered_up_to_a_bound(owner, agent, fleet) -> None:
    for start in (0, 900, 1800):
        fixes = [execution(level="L3", rule_id=None, target_id=f"t-{start + one}") for one in range(900)]
        report(agent, fixes)
        fold(fleet, now=NOW)
    (kept,) = owner.execute("SELECT count(*) FROM pattern_reach").fetchone() or (0,)
    assert REACH_MAX <= kept <= REACH_MAX + 900


def test_a_canary_of_one_liar_among_others_does_not_go_on(owner, agent, fleet, fleet_of_four) -> None:
    owner.execute("UPDATE l1_rules SET stage = 'canary', stage_since = %s", (NOW - timedelta(days=1),))
    report(agent, [execution(opened_at=None) for _ in range(200)])
    report(agent, [execution(opened_at=None)], site_id=fleet_of_four[0])
    later = NOW + DURABLE_AFTER
    assert _turn(fleet, now=NOW) == []
    assert _turn(fleet, now=later) == []
    assert owner.execute("SELECT stage_successes FROM l1_rules").fetchone() == (201,)
