"""Patterns become rules, and rules move from stage to stage, with the fold that brings their numbers."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from central_command.flywheel.promotion import PromotionPolicy
from central_command.flywheel.stages import StagePolicy
from central_command.store.fold import DURABLE_AFTER, fold
from central_command.store.promoter import CHANNEL, Promoter, rule_id_of
from tests.support.central import NOW, add_runbook, add_site, execution, report, uuid7

if TYPE_CHECKING:
    import psycopg

    from central_command.store.folded import Folded

_LATER = NOW + DURABLE_AFTER + timedelta(seconds=1)
_RULE = rule_id_of("LIN-SSH-001", "linux", "LIN-SSH-001")

_numbers = itertools.count(10**8)
_promoter = Promoter(
    PromotionPolicy(days_min=1),
    StagePolicy(shadow_time=timedelta(days=2)),
    new_id=lambda: str(uuid7(NOW, next(_numbers))),
)


def _turn(fleet: psycopg.Connection, *, now: Any = NOW, promoter: Promoter = _promoter) -> list[tuple[str, str]]:
    moved: list[tuple[str, str]] = []

    def then(folded: Folded) -> None:
        moved.extend((rule, step.stage.value) for rule, step in promoter.apply(fleet, folded, now=now))

    fold(fleet, now=now, then=then)
    return moved


def _fix_by_hand(owner: psycopg.Connection, agent: psycopg.Connection, appliances: int, each: int = 4) -> None:
    for number in range(appliances):
        site_id = f"clinic-{number}"
        add_site(owner, site_id, "a")
        fixes = [execution(level="L2", rule_id=None, target_id=f"server-{index}") for index in range(each)]
        report(agent, fixes, site_id=site_id)


def _audit(connection: psycopg.Connection, what: str) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT subject, reason FROM audit_log WHERE what = %s ORDER BY audit_id", (what,)
    ).fetchall()


@pytest.fixture
def no_rule(owner: psycopg.Connection) -> psycopg.Connection:
    owner.execute("DELETE FROM l1_rules")
    return owner


def test_fixes_that_lasted_on_enough_appliances_become_a_rule_in_shadow(no_rule, agent, fleet) -> None:
    _fix_by_hand(no_rule, agent, 12)
    assert _turn(fleet) == []
    assert _turn(fleet, now=_LATER) == [(_RULE, "candidate")]
    assert _turn(fleet, now=_LATER) == [(_RULE, "shadow")]
    rule = fleet.execute("SELECT incident_pattern, action, source, stage, enabled FROM l1_rules").fetchone()
    assert rule == (
        {"check_id": "LIN-SSH-001", "platform": "linux"},
        "run_runbook:LIN-SSH-001",
        "promoted",
        "shadow",
        False,
    )
    ((subject, reason),) = _audit(fleet, "pattern_promoted")
    assert (subject, reason.startswith("48 of 48 runs on 12 appliances lasted")) == (_RULE, True)


def test_the_same_pattern_is_promoted_once(no_rule, agent, fleet) -> None:
    _fix_by_hand(no_rule, agent, 12)
    for now in (NOW, _LATER, _LATER):
        _turn(fleet, now=now)
    report(agent, [execution(level="L2", rule_id=None)], site_id="clinic-1")
    assert _turn(fleet, now=_LATER) == []
    assert fleet.execute("SELECT count(*) FROM l1_rules").fetchone() == (1,)


def test_too_few_appliances_leave_a_pattern_observed_and_it_says_what_it_lacks(no_rule, agent, fleet) -> None:
    _fix_by_hand(no_rule, agent, 9, each=20)
    _turn(fleet)
    assert _turn(fleet, now=_LATER) == []
    stage, reason = fleet.execute("SELECT stage, stage_reason FROM patterns").fetchone() or ("", "")
    assert (stage, reason) == ("observed", "it ran on 9 of 10 appliances")


def test_a_rule_that_takes_these_incidents_already_is_not_shadowed(owner, agent, fleet) -> None:
    _fix_by_hand(owner, agent, 12)  # RULE-1 takes all of LIN-SSH-001
    _turn(fleet)
    assert _turn(fleet, now=_LATER) == []
    assert fleet.execute("SELECT stage_reason FROM patterns").fetchone() == (
        "the rule RULE-1 takes these incidents already",
    )


def test_fixes_that_came_back_promote_nothing(no_rule, agent, fleet) -> None:
    _fix_by_hand(no_rule, agent, 12)
    _turn(fleet)
    fleet.execute("UPDATE provisional_fixes SET matures_at = fixed_at + interval '1 hour'")
    back = fleet.execute("SELECT site_id, fingerprint FROM provisional_fixes ORDER BY 1, 2").fetchall()[::3]
    for site_id, fingerprint in back:
        opened_at = NOW + timedelta(minutes=30)
        report(
            agent,
            [execution("unmatched", attempt_id=None, fingerprint=fingerprint, opened_at=opened_at)],
            site_id=site_id,
        )
    assert _turn(fleet, now=_LATER) == []
    assert fleet.execute("SELECT sum(successes), sum(failures) FROM pattern_tallies").fetchone() == (32, 16)


def test_a_shadow_that_agrees_goes_to_the_canary_when_its_time_is_over(owner, fleet) -> None:
    owner.execute(
        "UPDATE l1_rules SET stage = 'shadow', stage_since = %s, shadow_matches = 20, shadow_agreements = 20", (NOW,)
    )
    assert _turn(fleet, now=NOW + timedelta(hours=47)) == []
    assert _turn(fleet, now=NOW + timedelta(hours=48)) == [("RULE-1", "canary")]


def test_a_canary_whose_fixes_last_is_enabled_step_by_step(owner, agent, fleet) -> None:
    owner.execute("UPDATE l1_rules SET stage = 'canary', stage_since = %s", (NOW - timedelta(days=1),))
    for step in range(3):
        since = NOW + step * 2 * DURABLE_AFTER
        report(agent, [execution(ended_at=since, opened_at=None) for _ in range(30)])
        assert _turn(fleet, now=since) == []
        expected = "enabled" if step == 2 else "canary"
        assert _turn(fleet, now=since + DURABLE_AFTER) == [("RULE-1", expected)]
    assert fleet.execute("SELECT stage, enabled FROM l1_rules").fetchone() == ("enabled", True)


def test_fixes_from_before_a_stage_do_not_count_in_it(owner, agent, fleet) -> None:
    report(agent, [execution() for _ in range(30)])
    _turn(fleet)
    owner.execute("UPDATE l1_rules SET stage = 'canary', stage_since = %s", (NOW + timedelta(seconds=1),))
    assert _turn(fleet, now=_LATER) == []


def test_a_rule_that_stops_working_is_demoted_after_three_failures_and_says_why(agent, fleet) -> None:
    report(agent, [execution("failed"), execution("verify_failed")])
    assert _turn(fleet) == []
    report(agent, [execution("failed")])
    assert _turn(fleet) == [("RULE-1", "demoted")]
    assert fleet.execute("SELECT enabled FROM l1_rules").fetchone() == (False,)
    ((_, reason),) = _audit(fleet, "rule_stage")
    assert reason.startswith("it stopped working: 3 of 3 runs since it was enabled failed or relapsed")


def test_not_applicable_and_unreachable_are_no_failures_of_a_rule(agent, fleet) -> None:
    report(agent, [execution(outcome) for outcome in ("not_applicable", "unreachable", "interrupted") * 10])
    assert _turn(fleet) == []
    assert fleet.execute("SELECT decay FROM l1_rules").fetchone() == (0,)


@pytest.mark.parametrize("hand", ["pinned", "vetoed"])
def test_what_an_operator_decided_outranks_every_number(owner, agent, fleet, hand) -> None:
    owner.execute("UPDATE l1_rules SET hand = %s", (hand,))
    report(agent, [execution("failed") for _ in range(10)])
    assert _turn(fleet) == []


def test_whoever_listens_is_told_when_a_rule_moves_and_not_before(conninfo, agent, fleet) -> None:
    import psycopg

    with psycopg.connect(conninfo, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        report(agent, [execution("failed")])
        _turn(fleet)
        assert list(listener.notifies(timeout=0.2)) == []
        report(agent, [execution("failed"), execution("failed")])
        _turn(fleet)
        assert [note.channel for note in listener.notifies(timeout=5, stop_after=1)] == [CHANNEL]


def test_ids_of_rules_are_whole_and_differ_for_each_pattern() -> None:
    keys = [
        ("LIN-" + "X" * 60, "linux", "R-1"),
        ("LIN-" + "X" * 60, "linux", "R-2"),
        ("LIN-" + "X" * 60, "nixos", "R-1"),
    ]
    ids = {rule_id_of(*key) for key in keys}
    assert len(ids) == 3
    assert all(len(one) <= 128 and one.startswith("RB-AUTO-LIN-" + "X" * 60) for one in ids)


def test_two_runbooks_for_one_check_are_two_patterns(no_rule, agent, fleet) -> None:
    add_runbook(no_rule, "LIN-SSH-003")
    report(agent, [execution(level="L3", rule_id=None), execution(level="L3", rule_id=None, runbook_id="LIN-SSH-003")])
    _turn(fleet)
    assert fleet.execute("SELECT runbook_id FROM patterns ORDER BY 1").fetchall() == [
        ("LIN-SSH-001",),
        ("LIN-SSH-003",),
    ]


def _in_shadow(no_rule: psycopg.Connection, agent: psycopg.Connection, fleet: psycopg.Connection) -> None:
    _fix_by_hand(no_rule, agent, 12)
    for now in (NOW, _LATER, _LATER):
        _turn(fleet, now=now)
    assert fleet.execute("SELECT stage FROM l1_rules").fetchone() == ("shadow",)


def _shadow(connection: psycopg.Connection) -> tuple[object, ...] | None:
    return connection.execute("SELECT shadow_matches, shadow_agreements FROM l1_rules").fetchone()


def test_what_people_choose_and_what_lasts_is_counted_for_a_rule_in_shadow_once_for_each_appliance(
    no_rule, agent, fleet
) -> None:
    _in_shadow(no_rule, agent, fleet)
    for number in range(5):
        fixes = [execution(level="L3", rule_id=None, ended_at=_LATER + timedelta(hours=1)) for _ in range(3)]
        report(agent, fixes, site_id=f"clinic-{number}")
    _turn(fleet, now=_LATER + timedelta(hours=2))
    assert _shadow(fleet) == (0, 0), "none of them has lasted yet"
    _turn(fleet, now=_LATER + DURABLE_AFTER + timedelta(days=1))
    assert _shadow(fleet) == (5, 5)


def test_a_remedy_that_failed_while_its_rule_is_in_shadow_speaks_against_it(no_rule, agent, fleet) -> None:
    _in_shadow(no_rule, agent, fleet)
    at = _LATER + timedelta(hours=1)
    for number in range(3):
        report(agent, [execution("failed", level="L3", rule_id=None, ended_at=at)], site_id=f"clinic-{number}")
    report(
        agent,
        [execution("failed", level="L3", rule_id=None, ended_at=at, runbook_id="LIN-SSH-003")],
        site_id="clinic-9",
    )
    _turn(fleet, now=at)
    assert _shadow(fleet) == (3, 0)


def test_another_remedy_that_lasted_is_a_disagreement(no_rule, agent, fleet) -> None:
    add_runbook(no_rule, "LIN-SSH-003")
    _in_shadow(no_rule, agent, fleet)
    at = _LATER + timedelta(hours=1)
    fix = execution(level="L3", rule_id=None, ended_at=at, runbook_id="LIN-SSH-003", action="run_runbook:LIN-SSH-003")
    report(agent, [fix], site_id="clinic-1")
    _turn(fleet, now=at)
    _turn(fleet, now=at + DURABLE_AFTER + timedelta(seconds=1))
    assert _shadow(fleet) == (1, 0)


def test_what_happened_before_the_shadow_is_no_word_on_it(no_rule, agent, fleet) -> None:
    _in_shadow(no_rule, agent, fleet)
    report(agent, [execution("failed", level="L3", rule_id=None, ended_at=NOW)], site_id="clinic-1")
    _turn(fleet, now=_LATER + timedelta(hours=1))
    assert _shadow(fleet) == (0, 0)


def test_a_rule_that_agreed_leaves_the_shadow_and_its_words_are_forgotten(no_rule, agent, fleet) -> None:
    _in_shadow(no_rule, agent, fleet)
    at = _LATER + timedelta(hours=1)
    for number in range(10):
        report(agent, [execution(level="L3", rule_id=None, ended_at=at)], site_id=f"clinic-{number}")
    _turn(fleet, now=at)
    moved = _turn(fleet, now=at + DURABLE_AFTER + timedelta(days=1))
    assert moved == [(_RULE, "canary")]
    assert fleet.execute("SELECT count(*) FROM shadow_votes").fetchone() == (0,)
