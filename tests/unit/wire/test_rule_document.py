"""Rules documents: what is understood, what is quarantined, what is no rules document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.rule import QuarantinedRule, RuleSource
from compliance_agent.errors import InputError
from compliance_agent.wire.document import read_document
from compliance_agent.wire.located import Located
from compliance_agent.wire.rule_document import merge_rules, read_offline_rules, read_rules

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule

GOOD = """\
rules:
  - rule_id: L1-SSH-001
    name: root login
    incident_pattern: {check_id: LIN-SSH-001, facts: {score: {$lte: 4.50}}}
    action: run_linux_runbook:LIN-SSH-001
    priority: 5
    enabled: false
    cooldown_s: 0
  - {rule_id: RB-AUTO-7, incident_pattern: {a: 1}, action: "escalate:call a person"}
"""


def read(text: str, source: RuleSource = RuleSource.LOCAL) -> tuple[list[Rule], list[QuarantinedRule]]:
    return read_rules(read_document(text, source="r.yaml"), source=source)


def entry(text: str) -> QuarantinedRule:
    rules, quarantined = read(f"rules:\n  - {{rule_id: good, incident_pattern: {{a: 1}}, action: a:b}}\n  - {text}\n")
    assert [rule.rule_id for rule in rules] == ["good"]
    (only,) = quarantined
    return only


def test_a_rule_is_read_with_all_its_keys() -> None:
    (first, second), quarantined = read(GOOD)
    assert quarantined == []
    assert (first.rule_id, first.name, str(first.action)) == (
        "L1-SSH-001",
        "root login",
        "run_linux_runbook:LIN-SSH-001",
    )
    assert (first.priority, first.enabled, first.cooldown_s, first.place) == (5, False, 0, "r.yaml:2")
    assert (second.priority, second.enabled, second.cooldown_s) == (100, True, None)
    assert (second.action.prefix, second.action.argument) == ("escalate", "call a person")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{rule_id: x, incident_pattern: {a: 1}, action: nothing}", "rules[1].action: got 'nothing', need prefix:arg"),
        ("{rule_id: x, incident_pattern: {a: 1}, action: 'a:'}", "rules[1].action"),
        ("{rule_id: x, incident_pattern: {a: 1}, action: 'A:b'}", "rules[1].action"),
        ("{rule_id: x, incident_pattern: {}, action: a:b}", "rules[1].incident_pattern: an empty pattern"),
        ("{rule_id: x, incident_pattern: {a: {$foo: 1}}, action: a:b}", "rules[1].incident_pattern.a.$foo: unknown op"),
        ("{rule_id: x, incident_pattern: {a: {$regex: '('}}, action: a:b}", "rules[1].incident_pattern.a.$regex"),
        ("{rule_id: x, incident_pattern: {a: 1}, action: a:b, priorty: 1}", "did you mean priority?"),
        ("{rule_id: x, incident_pattern: {a: 1}, action: a:b, cooldown_s: -1}", "got -1, need 0 or more"),
        ("{rule_id: x, incident_pattern: {a: 1}, action: a:b, enabled: 1}", "got 1, need true or false"),
        ("{rule_id: x, incident_pattern: {a: 1}}", "the key action is missing"),
    ],
)
def test_a_rule_that_is_not_understood_is_quarantined_alone_with_its_reason(text: str, reason: str) -> None:
    quarantined = entry(text)
    assert reason in quarantined.reason
    assert (quarantined.rule_id, quarantined.place) == ("x", "r.yaml:3")


@pytest.mark.parametrize("text", ["{incident_pattern: {a: 1}, action: a:b}", "5", "{rule_id: 5, action: a:b}"])
def test_a_rule_without_an_id_is_quarantined_by_its_place(text: str) -> None:
    assert entry(text).rule_id == "rules[1]"


def test_all_reasons_of_one_rule_are_named() -> None:
    assert entry("{rule_id: x, incident_pattern: {}, action: nothing}").reason.count("rules[1].") == 2


@pytest.mark.parametrize("text", ["[]", "a: 1", "rules: 5", "rules: {}", "rules: []\nrulse: []"])
def test_what_is_no_rules_document_is_an_error(text: str) -> None:
    with pytest.raises(InputError):
        read(text)


def test_json_is_read_with_exact_numbers_and_places_by_line_and_column() -> None:
    text = json.dumps({"rules": [{"rule_id": "x", "incident_pattern": {"a": 1}, "action": "a:b"}]})
    (rule,), _ = read_rules(read_document(text, source="r.JSON"), source=RuleSource.SYNCED)
    assert rule.place == "r.JSON:1:12"
    assert rule.source is RuleSource.SYNCED


OFFLINE = {
    "rules": [
        {"rule_id": "b", "incident_pattern": {"a": 1}, "action": 5, "priority": 7, "source": "elsewhere"},
        {"rule_id": "a", "incident_pattern": {"a": 2}, "enabled": False},
    ]
}


def test_offline_rules_are_read_without_judging_actions_or_other_keys() -> None:
    rules = read_offline_rules(read_document(json.dumps(OFFLINE), source="r.json"))
    assert [(rule.rule_id, rule.priority, rule.enabled) for rule in rules] == [("b", 7, True), ("a", 100, False)]


def test_offline_every_bad_pattern_and_id_is_reported_together() -> None:
    text = """\
rules:
  - {rule_id: a, incident_pattern: {}}
  - {incident_pattern: {a: 1}}
  - {rule_id: b, incident_pattern: {a: 1}}
  - {rule_id: b, incident_pattern: {a: 1}}
  - 5
"""
    with pytest.raises(InputError) as caught:
        read_offline_rules(read_document(text, source="r.yaml"))
    assert [problem.line for problem in caught.value.problems] == [2, 3, 5, 6]


def rule(rule_id: str, source: RuleSource) -> Rule:
    text = f"rules:\n  - {{rule_id: {rule_id}, incident_pattern: {{a: 1}}, action: a:b}}\n"
    return read(text, source)[0][0]


def test_a_duplicate_within_one_source_is_set_aside_with_the_place_of_the_first() -> None:
    kept, aside = merge_rules([rule("x", RuleSource.LOCAL), rule("x", RuleSource.LOCAL)])
    assert len(kept) == 1
    assert aside[0].reason == "duplicate of r.yaml:2; give it an id of its own"


def test_across_sources_the_earlier_source_wins() -> None:
    kept, aside = merge_rules(
        [rule("x", RuleSource.SYNCED), rule("x", RuleSource.BUILTIN), rule("x", RuleSource.LOCAL)]
    )
    assert [one.source for one in kept] == [RuleSource.LOCAL]
    assert {(one.source, one.reason) for one in aside} == {
        (RuleSource.BUILTIN, "replaced by the local rule of the same id"),
        (RuleSource.SYNCED, "replaced by the local rule of the same id"),
    }


def test_a_rule_whose_replacement_is_quarantined_is_held_back_too() -> None:
    broken = QuarantinedRule("x", RuleSource.LOCAL, "bad", place="l.yaml:3")
    kept, aside = merge_rules([rule("x", RuleSource.BUILTIN)], [broken])
    assert kept == []
    assert "l.yaml:3" in aside[0].reason


def test_a_quarantined_rule_of_a_later_source_holds_nothing_back() -> None:
    broken = QuarantinedRule("x", RuleSource.SYNCED, "bad")
    kept, aside = merge_rules([rule("x", RuleSource.BUILTIN)], [broken])
    assert len(kept) == 1
    assert aside == []


def test_the_reason_of_a_rule_with_very_many_problems_names_some_and_counts_the_rest() -> None:
    entry: dict[str, JsonValue] = {
        "rule_id": "R",
        "incident_pattern": {"a": 1},
        "action": "alert:NAME",
        **{f"x{n}": 1 for n in range(50)},
    }
    _, aside = read_rules(Located({"rules": [entry]}, "rules.json"), source=RuleSource.LOCAL)
    assert aside[0].reason.count("unknown key") == 20
    assert aside[0].reason.endswith("; and 30 more")
