"""Failure 21: rules named runbooks that do not exist, and failed at every turn: 210 failures.

Here such a rule is set aside when it is read, with its reason, and the incident goes to the next rule or to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.outcome import OutcomeKind
from tests.support.turns import make_world, rule

if TYPE_CHECKING:
    from pathlib import Path

HEALS = "TEST-FILE-001"


def test_a_rule_for_an_unknown_runbook_is_set_aside_and_uses_up_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path, HEALS, rules=[rule(HEALS, "run_linux_runbook:LIN-NOPE-001")])
    reasons = [one.reason for one in world.engine.quarantined]
    assert reasons == ["there is no runbook LIN-NOPE-001 on this appliance"]
    world.say(HEALS, "bad")
    for _ in range(3):
        assert world.outcome().kind is OutcomeKind.UNMATCHED
    assert world.store.counts().attempts == 0
