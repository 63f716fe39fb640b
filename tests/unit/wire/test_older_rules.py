"""Rules in the older wire form: what they become, and what is refused. The mapping stands in docs/PATTERNS.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from compliance_agent.app.schemas import json_schemas
from compliance_agent.domain.rule import RuleSource
from compliance_agent.errors import InputError
from compliance_agent.wire.document import read_document
from compliance_agent.wire.located import Located
from compliance_agent.wire.older_rules import CONDITIONS_MAX
from compliance_agent.wire.rule_document import read_offline_rules, read_rules

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import QuarantinedRule, Rule

TYPE = {"field": "check_type", "operator": "eq", "value": "backup"}


def older(**more: Any) -> dict[str, Any]:
    entry = {"id": "r", "conditions": [TYPE], "actions": ["alert:x"], **more}
    return {key: value for key, value in entry.items() if value is not ...}


def read(entry: dict[str, Any]) -> tuple[list[Rule], list[QuarantinedRule]]:
    return read_rules(Located({"rules": [entry]}, "r.json"), source=RuleSource.SYNCED)


def good(entry: dict[str, Any]) -> Rule:
    (rule,), quarantined = read(entry)
    assert quarantined == []
    return rule


def reason(entry: dict[str, Any]) -> str:
    rules, (quarantined,) = read(entry)
    assert rules == []
    return quarantined.reason


def condition(field: str, operator: str, value: Any = ...) -> dict[str, Any]:
    return {"field": field, "operator": operator, **({} if value is ... else {"value": value})}


FULL = {
    "id": "L1-BAK-001",
    "name": "backup is stale",
    "description": "why",
    "conditions": [TYPE, condition("details.age_h", "gt", 24)],
    "severity_filter": ["high", "critical"],
    "actions": ["run_windows_runbook:WIN-BAK-001"],
    "hipaa_controls": ["164.308(a)(7)"],
    "priority": 5,
    "enabled": False,
    "cooldown_seconds": 300,
    "max_retries": 2,
    "source": "synced",
    "severity": "high",
    "version": "1.0",
}


def test_an_older_rule_is_read_with_all_its_keys() -> None:
    rule = good(FULL)
    assert rule.pattern.source == {
        "incident_type": "backup",
        "facts": {"age_h": {"$gt": 24}},
        "severity": {"$in": ["high", "critical"]},
    }
    assert (rule.rule_id, rule.name, str(rule.action)) == (
        "L1-BAK-001",
        "backup is stale",
        "run_windows_runbook:WIN-BAK-001",
    )
    assert (rule.priority, rule.enabled, rule.cooldown_s, rule.source) == (5, False, 300, RuleSource.SYNCED)


def test_what_is_left_out_has_the_current_defaults() -> None:
    rule = good(older())
    assert (rule.priority, rule.enabled, rule.cooldown_s, rule.name) == (100, True, None, "")


@pytest.mark.parametrize(
    ("conditions", "pattern"),
    [
        ([condition("details.a", "gt", 1), condition("details.a", "lt", 5)], {"facts": {"a": {"$gt": 1, "$lt": 5}}}),
        (
            [condition("details.a", "ne", 1), condition("details.a", "ne", 2)],
            {"$and": [{"facts": {"a": {"$ne": 1}}}, {"facts": {"a": {"$ne": 2}}}]},
        ),
        (
            [condition("details", "exists"), condition("details.a", "eq", None)],
            {"$and": [{"facts": {"$exists": True}}, {"facts": {"a": None}}]},
        ),
        ([condition("$ref.details", "eq", [1])], {"$$ref": {"details": {"$eq": [1]}}}),
        ([condition("site_id", "exists", value=False)], {"site_id": {"$exists": False}}),
        ([condition("drift_detected", "eq", value=False)], {"drift_detected": False}),
    ],
)
def test_conditions_are_joined_so_that_all_must_hold(conditions, pattern) -> None:
    if conditions[0]["field"] == "drift_detected":
        conditions = [*conditions, TYPE]
        pattern = {**pattern, "incident_type": "backup"}
    assert good(older(conditions=conditions)).pattern.source == pattern


@pytest.mark.parametrize(
    ("more", "action"),
    [
        ({"actions": ["escalate:call"]}, "escalate:call"),
        ({"actions": ..., "action": "alert:x"}, "alert:x"),
        ({"actions": ["run_linux_runbook"], "action_params": {"runbook_id": "LIN-1"}}, "run_linux_runbook:LIN-1"),
        ({"actions": ["run_runbook:LIN-1"], "action_params": {"runbook_id": "LIN-1"}}, "run_runbook:LIN-1"),
        ({"actions": ["escalate"]}, "escalate:r"),
        ({"actions": ["escalate"], "name": "a person looks"}, "escalate:a person looks"),
    ],
)
def test_an_action_becomes_prefix_and_argument(more, action) -> None:
    assert str(good(older(**more)).action) == action


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"actions": []}, "rules[0].actions: 0 actions, need exactly one"),
        ({"actions": ["alert:x", "alert:x"]}, "rules[0].actions: 2 actions"),
        ({"actions": ...}, "the key actions is missing"),
        ({"action": "alert:x"}, "action and actions stand in one rule"),
        ({"actions": ["disable_smb1"]}, "rules[0].actions[0]: got 'disable_smb1', need prefix:argument"),
        ({"actions": ["run_command"]}, "carries code"),
        ({"actions": ["restart_service"]}, "names no service"),
        ({"actions": ["run_linux_runbook"]}, "need prefix:argument"),
        ({"actions": ["run_linux_runbook:A"], "action_params": {"runbook_id": "B"}}, "rules[0].action_params"),
        ({"action_params": {"timeout": 5}}, "timeout would not reach the runbook"),
        ({"id": ...}, "the key rule_id is missing"),
        ({"rule_id": "r"}, "id and rule_id stand in one rule"),
        ({"conditions": ...}, "the key conditions is missing"),
        ({"conditions": []}, "write at least one entry"),
        ({"conditions": [TYPE] * (CONDITIONS_MAX + 1)}, "at most 1000"),
        ({"severity_filter": []}, "severity_filter"),
        ({"gpo_managed": True}, "unknown key gpo_managed"),
        ({"incident_pattern": {"a": 1}}, "two forms of the same thing"),
        ({"conditions": ..., "incident_pattern": {"a": 1}}, "incident_pattern and actions stand in one rule"),
        ({"conditions": [condition("a", "not-in", [1])]}, "conditions[0].operator: unknown operator not-in (did you"),
        ({"conditions": [TYPE, condition("a", "eq")]}, "conditions[1].value: the key value is missing"),
        ({"conditions": [condition("a..b", "eq", 1)]}, "conditions[0].field"),
        ({"conditions": [condition("a", "gt", None)]}, "conditions[0].value: gt: compares with"),
        ({"conditions": [condition("a", "exists", "yes")]}, "needs true or false"),
        ({"conditions": [condition("a", "eq", 1), condition("a", "eq", 2)]}, "can never hold together"),
        ({"conditions": [condition("drift_detected", "eq", value=True)]}, "would match everything"),
    ],
)
def test_what_has_no_faithful_counterpart_is_set_aside_with_its_reason(more, why) -> None:
    assert why in reason(older(**more))


def test_a_rule_set_aside_keeps_its_id_and_its_first_action() -> None:
    _, (quarantined,) = read(older(actions=["alert:x", "alert:y"]))
    assert (quarantined.rule_id, quarantined.action) == ("r", "alert:x")


def test_a_problem_names_the_line_of_the_condition() -> None:
    text = "rules:\n  - id: r\n    actions: [alert:x]\n    conditions:\n      - {field: a, operator: eqq, value: 1}\n"
    _, (quarantined,) = read_rules(read_document(text, source="r.yaml"), source=RuleSource.LOCAL)
    assert "did you mean eq?" in quarantined.reason
    with pytest.raises(InputError, match=r"r\.yaml:5"):
        read_offline_rules(read_document(text, source="r.yaml"))


def test_both_forms_may_stand_in_one_file() -> None:
    current: JsonValue = {"rule_id": "s", "incident_pattern": {"a": 1}, "action": "alert:x"}
    rules, _ = read_rules(Located({"rules": [older(), current]}, "r.json"), source=RuleSource.LOCAL)
    assert [rule.rule_id for rule in rules] == ["r", "s"]


# --- offline ----------------------------------------------------------------------------------------


def test_offline_an_older_rule_is_judged_by_its_conditions_alone() -> None:
    entry = older(actions=[1, 2], severity_filter="high", priority=7, enabled=False, gpo_managed=True)
    (rule,) = read_offline_rules(Located({"rules": [entry]}, "r.json"))
    assert (rule.rule_id, rule.priority, rule.enabled) == ("r", 7, False)
    assert rule.pattern.source == {"incident_type": "backup", "severity": "high"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"conditions": [condition("a", "like", 1)]}, "unknown operator like"),
        ({"conditions": 5}, "rules[0].conditions"),
        ({"id": ...}, "rule_id is missing"),
        ({"incident_pattern": {"a": 1}}, "two forms"),
        ({"priority": "high"}, "priority"),
        ({"conditions": [condition("a", "eq", 1), condition("a", "eq", 2)]}, "rules[0].conditions: "),
    ],
)
def test_offline_a_bad_older_rule_is_refused(more, why) -> None:
    with pytest.raises(InputError) as caught:
        read_offline_rules(Located({"rules": [older(**more)]}, "r.json"))
    assert why in str(caught.value)


# --- the schema -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "valid"),
    [
        (FULL, True),
        (older(), True),
        ({"rule_id": "r", "incident_pattern": {"a": 1}, "action": "alert:x"}, True),
        (older(id=...), False),
        (older(rule_id="r"), False),
        (older(actions=...), False),
        (older(action="alert:x"), False),
        (older(incident_pattern={"a": 1}), False),
        (older(conditions=[condition("a", "like", 1)]), False),
    ],
)
def test_the_schema_takes_both_forms_and_no_mixture(entry, valid: bool) -> None:
    document = json.loads(json.dumps({"rules": [entry]}))
    assert Draft202012Validator(json_schemas()["rules"]).is_valid(document) is valid
