"""Failure 20: placeholder rules (``AUTO-...``) outranked good ones: 290 straight failures.

Here a rule whose runbook is a placeholder is set aside when it is read, so the good rule behind it acts. What happens
to rules that merely fail is in ``test_20_straight_failures.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.outcome import OutcomeKind
from tests.support.turns import make_world, rule

if TYPE_CHECKING:
    from pathlib import Path

HEALS = "TEST-FILE-001"


@pytest.mark.parametrize("prefix", ["run_linux_runbook", "run_runbook"])
def test_a_placeholder_does_not_stand_in_front_of_a_good_rule(tmp_path: Path, prefix: str) -> None:
    placeholder = rule("AUTO-TEST_FILE", f"{prefix}:AUTO-TEST_FILE", priority=1)
    world = make_world(tmp_path, HEALS, rules=[placeholder, rule(HEALS, priority=50)])
    reasons = [(one.rule_id, one.reason) for one in world.engine.quarantined]
    assert reasons == [("L1-AUTO-TEST_FILE", "AUTO-TEST_FILE is a placeholder, not a runbook")]
    world.say(HEALS, "bad")
    outcome = world.outcome()
    assert (outcome.kind, outcome.rule_id) == (OutcomeKind.REMEDIATED, f"L1-{HEALS}")
