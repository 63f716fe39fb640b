"""Failure 19: a rule with empty conditions matched every incident.

Here a pattern that names nothing is refused, wherever it stands, and the rule is set aside with the reason.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.rule_files import load_rule_files
from compliance_agent.domain.rule import RuleSource
from compliance_agent.engine.admission import admit
from tests.support.content import shipped

if TYPE_CHECKING:
    from pathlib import Path

INCIDENT: dict[str, Any] = {"check_id": "LIN-FW-001", "facts": {"open": True}}


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param({"incident_pattern": {}, "action": "alert:all"}, id="an empty pattern"),
        pytest.param({"incident_pattern": {"$and": []}, "action": "alert:all"}, id="an empty $and"),
        pytest.param({"action": "alert:all"}, id="no pattern at all"),
        pytest.param({"incident_pattern": None, "action": "alert:all"}, id="null"),
        pytest.param({"conditions": [], "actions": ["alert:all"]}, id="empty conditions, as older rules have them"),
    ],
)
def test_a_rule_that_names_nothing_is_set_aside(tmp_path: Path, rule: dict[str, Any]) -> None:
    key = "id" if "conditions" in rule else "rule_id"
    good = {"rule_id": "GOOD", "incident_pattern": {"check_id": "LIN-FW-001"}, "action": "alert:firewall"}
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [{key: "ALL", "name": "all", "priority": 1, **rule}, good]}), encoding="utf-8")
    rules, quarantined = load_rule_files([file], RuleSource.LOCAL)
    assert [(one.rule_id, bool(one.reason)) for one in quarantined] == [("ALL", True)]
    admitted, _ = admit(rules, shipped())
    first = admitted.first(INCIDENT)
    assert first is not None
    assert first.rule_id == "GOOD"
    assert admitted.first({"check_id": "LIN-SSH-001"}) is None
