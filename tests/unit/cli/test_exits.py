from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from compliance_agent.cli.exits import _OF_OUTCOME, PRECEDENCE, Exit, exit_of, worst
from compliance_agent.domain.observation import Observation, Verdict
from compliance_agent.domain.outcome import Outcome, OutcomeKind
from compliance_agent.domain.target import Target
from compliance_agent.engine.cycle import Turn
from compliance_agent.engine.scan import TargetScan, Unreached
from compliance_agent.errors import TransportFault
from tests.support.turns import NOON

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTED = (64, 1, 4, 2, 3, 0)
TARGET = Target("front-desk", "clinic")


def a_turn(
    verdicts: Mapping[str, Verdict], outcomes: Mapping[str, OutcomeKind] | None = None, *, reached: bool = True
) -> Turn:
    seen = tuple(Observation(check, TARGET.target_id, verdict, "", NOON) for check, verdict in verdicts.items())
    ended = tuple(
        Outcome(kind, "", "i-1", "f" * 64, TARGET.target_id, check, NOON) for check, kind in (outcomes or {}).items()
    )
    unreached = None if reached else Unreached(TransportFault.REFUSED, "nobody listens", "start it")
    return Turn(TargetScan(TARGET, None, seen, unreached=unreached), (), ended, dry_run=False, at=NOON)


def test_the_codes_are_the_documented_ones_in_the_documented_order():
    assert tuple(int(code) for code in PRECEDENCE) == DOCUMENTED
    assert set(PRECEDENCE) == set(Exit)


@pytest.mark.parametrize(("first", "second"), list(combinations(DOCUMENTED, 2)))
def test_of_two_codes_the_earlier_one_wins_in_either_order(first, second):
    assert worst([Exit(first), Exit(second)]) == first
    assert worst([Exit(second), Exit(first), Exit(second)]) == first


def test_nothing_at_all_is_clean():
    assert worst([]) is Exit.CLEAN
    assert exit_of([]) is Exit.CLEAN


def test_every_kind_of_outcome_has_a_code():
    assert set(_OF_OUTCOME) == set(OutcomeKind)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("remediated", 0),
        ("waived", 0),
        ("failed", 1),
        ("verify_failed", 1),
        ("interrupted", 1),
        ("would_change", 2),
        ("deferred", 2),
        ("alerted", 2),
        ("escalated", 2),
        ("unmatched", 2),
        ("not_applicable", 2),
        ("suppressed", 3),
        ("awaiting_approval", 3),
        ("unreachable", 4),
    ],
)
def test_drift_has_the_code_of_its_outcome(kind, code):
    assert exit_of([a_turn({"C": Verdict.FAIL}, {"C": OutcomeKind(kind)})]) == code


def test_only_success_and_a_waiver_make_drift_clean():
    clean = {kind for kind, code in _OF_OUTCOME.items() if code is Exit.CLEAN}
    assert clean == {OutcomeKind.REMEDIATED, OutcomeKind.WAIVED}


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", 0), ("fail", 2), ("not_applicable", 0), ("not_assessed", 0), ("error", 1)]
)
def test_each_verdict_has_a_code(verdict, code):
    assert exit_of([a_turn({"C": Verdict(verdict)})]) == code


def test_every_verdict_is_in_the_table_above():
    assert {verdict.value for verdict in Verdict} == {"pass", "fail", "not_applicable", "not_assessed", "error"}


@pytest.mark.parametrize("other", list(Verdict))
def test_not_assessed_changes_nothing_beside_any_verdict(other):
    alone = exit_of([a_turn({"A": other})])
    assert exit_of([a_turn({"A": other, "B": Verdict.NOT_ASSESSED})]) == alone


def test_drift_that_was_left_for_the_next_turn_is_drift():
    turn = a_turn({"A": Verdict.FAIL, "B": Verdict.FAIL}, {"A": OutcomeKind.REMEDIATED})
    assert exit_of([turn]) is Exit.DRIFT


def test_an_unreached_target_outweighs_drift_elsewhere_but_no_error():
    lost, drifted, broken = a_turn({}, reached=False), a_turn({"C": Verdict.FAIL}), a_turn({"C": Verdict.ERROR})
    assert exit_of([drifted, lost]) is Exit.UNREACHABLE
    assert exit_of([drifted, lost, broken]) is Exit.ERROR


def test_an_outcome_of_another_check_does_not_hide_drift():
    assert exit_of([a_turn({"A": Verdict.FAIL}, {"B": OutcomeKind.REMEDIATED})]) is Exit.DRIFT


def test_a_turn_that_ended_early_is_an_error_and_says_why(capsys, tmp_path):
    from dataclasses import replace

    from compliance_agent.cli.render import write_turns
    from tests.support.turns import make_world

    world = make_world(tmp_path, "TEST-FILE-001")
    turn = replace(world.turn(), trouble="the disk is full [/]")
    assert exit_of([turn]) is Exit.ERROR
    for output in ("table", "json"):
        write_turns([turn], world.engine.catalogue, command="apply", output=output)
        assert "the disk is full [/]" in capsys.readouterr().out
