"""Lint of rules: every finding is certain, the obvious ones are found, and good rules are left in peace."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.domain import rule_vocabulary
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.rule import Action, QuarantinedRule, Rule, RuleSource
from compliance_agent.domain.rule_lint import FindingKind, Severity, lint
from compliance_agent.domain.rule_overlap import Relation, related_rules
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.domain.rule_vocabulary import FIELDS
from compliance_agent.domain.suggestion import did_you_mean
from tests.support.content import shipped
from tests.support.pattern_strategies import random_incident, random_pattern, seeded

if TYPE_CHECKING:
    from compliance_agent.domain.rule_lint import Finding


def rule(rule_id: str, pattern: dict[str, Any], action: str = "x", **more: Any) -> Rule:
    return Rule(rule_id, compile_pattern(pattern), Action("alert", action), **{"origin": "rules.yaml:1", **more})


@pytest.fixture(scope="module")
def catalogue():
    return shipped()


@pytest.fixture
def findings(catalogue):
    def run(*rules: Rule, aside: tuple[QuarantinedRule, ...] = ()) -> list[Finding]:
        return list(lint(RuleSet(rules), aside, catalogue).findings)

    return run


SSH = {"incident_type": "ssh_config"}
SSH_1 = {"incident_type": "ssh_config", "check_id": "LIN-SSH-001"}


def test_a_rule_below_a_more_general_one_is_never_dispatched(findings) -> None:
    [found] = findings(rule("A", SSH, priority=1), rule("B", SSH_1, "y", priority=2))
    assert (found.kind, found.severity, found.rule_id) == (FindingKind.SHADOWED, Severity.ERROR, "B")
    assert found.other_rule_id == "A"
    assert found.message == (
        "is never dispatched: A goes first and matches every incident of it; its action is alert:x"
    )
    assert found.hint == "give it a lower priority number than 1, or remove it"


def test_a_hidden_rule_that_does_the_same_is_only_superfluous(findings) -> None:
    [found] = findings(rule("A", SSH, priority=1), rule("B", SSH_1, priority=2))
    assert (found.kind, found.severity) == (FindingKind.SHADOWED, Severity.WARNING)


def test_a_special_rule_above_a_general_one_is_how_it_should_be(findings) -> None:
    assert findings(rule("A", SSH_1, priority=1), rule("B", SSH, "y", priority=2)) == []


def test_a_disabled_rule_hides_nothing_and_is_not_judged(findings) -> None:
    assert findings(rule("A", SSH, priority=1, enabled=False), rule("B", SSH_1, "y", priority=2)) == []
    assert findings(rule("A", {"nothing": 1}, enabled=False)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"facts": {"max_auth_tries": 1}}, {"facts": {"max_auth_tries": {"$eq": 1}}}),
        ({"check_id": "LIN-SSH-001"}, {"check_id": {"$in": ["LIN-SSH-001"]}}),
        (SSH_1, dict(reversed(SSH_1.items()))),
        (
            {"$or": [{"check_id": "LIN-SSH-001"}, {"check_id": "LIN-SSH-003"}]},
            {"check_id": {"$in": ["LIN-SSH-003", "LIN-SSH-001"]}},
        ),
    ],
)
@pytest.mark.parametrize(("action", "severity"), [("x", Severity.WARNING), ("y", Severity.ERROR)])
def test_a_duplicate_is_found_once_however_it_is_written(catalogue, first, second, action, severity) -> None:
    report = lint(RuleSet([rule("A", first), rule("B", second, action)]), (), catalogue)
    found = [
        one for one in report.findings if one.kind in {FindingKind.DUPLICATE, FindingKind.TIE, FindingKind.SHADOWED}
    ]
    assert [(one.kind, one.severity, one.rule_id, one.other_rule_id) for one in found] == [
        (FindingKind.DUPLICATE, severity, "B", "A")
    ]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"action": "y"}, [FindingKind.TIE]),
        ({"action": "x"}, []),
        ({"action": "y", "priority": 101}, []),
        ({"action": "y", "source": RuleSource.BUILTIN}, []),
    ],
)
def test_an_order_by_id_alone_matters_when_the_actions_differ(findings, other, expected) -> None:
    found = findings(rule("A", SSH_1), rule("B", SSH, **other))
    assert [one.kind for one in found] == expected
    for one in found:
        assert (one.rule_id, one.other_rule_id, one.severity) == ("A", "B", Severity.WARNING)


HIGH, LINUX = {"severity": "high"}, {"platform": "linux"}


def test_rules_of_one_priority_that_overlap_are_told_with_an_incident_that_both_match(findings) -> None:
    [found] = findings(rule("A", HIGH), rule("B", LINUX, "y"))
    assert (found.kind, found.severity, found.rule_id, found.other_rule_id) == (
        FindingKind.OVERLAP,
        Severity.INFO,
        "A",
        "B",
    )
    assert '"severity": "high"' in found.message
    assert '"platform": "linux"' in found.message


@pytest.mark.parametrize(
    "others",
    [
        [rule("B", LINUX, "x")],
        [rule("B", LINUX, "y", priority=101)],
        [rule("B", LINUX, "y", source=RuleSource.BUILTIN)],
        [rule("B", LINUX, "y", enabled=False)],
        [rule("B", {"severity": "low"}, "y")],
        [rule("B", {"severity": {"$in": ["low", "medium"]}}, "y")],
        [rule("B", LINUX, "y"), rule("C", LINUX | HIGH, "y", priority=1)],
    ],
    ids=["same action", "priority", "source", "disabled", "other value", "other values", "an earlier rule takes it"],
)
def test_rules_that_overlap_without_a_tie_are_left_in_peace(findings, others) -> None:
    assert findings(rule("A", HIGH), *others) == []


def test_rules_that_only_an_incident_of_no_check_would_match_are_left_in_peace(findings) -> None:
    assert findings(rule("A", {"check_id": "LIN-SSH-001"}), rule("B", {"incident_type": "firewall"}, "y")) == []


def test_a_rule_that_was_set_aside_is_an_error(findings) -> None:
    [found] = findings(aside=(QuarantinedRule("A", RuleSource.LOCAL, "no runbook X", place="a.yaml:7"),))
    assert (found.kind, found.severity, found.message) == (
        FindingKind.REFUSED,
        Severity.ERROR,
        "set aside: no runbook X",
    )


def test_findings_stand_in_the_order_of_the_files_lines(findings) -> None:
    found = findings(
        rule("A", {"bogus": 1}, origin="b.yaml:2", priority=1),
        rule("B", {"bogus": 2}, origin="a.yaml:10", priority=2),
        rule("C", {"bogus": 3}, origin="a.yaml:9", priority=3),
        rule("D", {"bogus": 4}, origin="a.json:1:100", priority=4),
        rule("E", {"bogus": 5}, origin="a.json:1:20", priority=5),
    )
    assert [one.rule_id for one in found] == ["E", "D", "C", "B", "A"]


DOUBTFUL = [
    ({"hostnam": "x"}, FindingKind.UNKNOWN_FIELD, "no incident has a field hostnam", "did you mean hostname?"),
    (
        {"accounts": 3},
        FindingKind.UNKNOWN_FIELD,
        "no incident has a field accounts",
        "did you mean facts: {accounts: ...}?",
    ),
    (
        {"$not": {"hostnam": "x"}},
        FindingKind.UNKNOWN_FIELD,
        "no incident has a field hostnam",
        "did you mean hostname?",
    ),
    (
        {"check_id": "LIN-ACCT-001", "facts": {"extras": ["x"]}},
        FindingKind.UNKNOWN_FIELD,
        "no check that this rule is for reports facts.extras",
        "did you mean extra?",
    ),
    (
        {"$or": [{"check_id": "LIN-SSH-001"}, {"check_id": "LIN-ACCT-001", "facts": {"extras": ["x"]}}]},
        FindingKind.UNKNOWN_FIELD,
        "no check that this rule is for reports facts.extras",
        "did you mean extra?",
    ),
    (
        {"incident_type": "ssh_confg"},
        FindingKind.UNKNOWN_VALUE,
        'no check has the incident_type "ssh_confg"',
        "did you mean ssh_config?",
    ),
    (
        {"check_id": {"$in": ["LIN-SSH-001", "LIN-SSH-01"]}},
        FindingKind.UNKNOWN_VALUE,
        'no check has the check_id "LIN-SSH-01"',
        "did you mean LIN-SSH-001?",
    ),
    ({"platform": "linus"}, FindingKind.UNKNOWN_VALUE, 'no incident has the platform "linus"', "did you mean linux?"),
    ({"status": "pass"}, FindingKind.UNKNOWN_VALUE, 'no incident has the status "pass"', "known: fail"),
    (
        {"check_id": "LIN-FW-001", "incident_type": "accounts"},
        FindingKind.UNKNOWN_VALUE,
        "no check of this appliance raises an incident with this check_id, incident_type",
        "",
    ),
    (
        {"check_id": "LIN-ACCT-001", "facts": {"accounts": {"$prefix": "3"}}},
        FindingKind.WRONG_TYPE,
        "facts.accounts is reported as integer; the pattern asks for another kind of value",
        "",
    ),
    (
        {"check_id": "LIN-ACCT-001", "facts": {"accounts": {"$in": ["3", None]}}},
        FindingKind.WRONG_TYPE,
        "facts.accounts is reported as integer; the pattern asks for another kind of value",
        "",
    ),
    (
        {"$and": [SSH_1, {"$or": [{"check_id": "LIN-SSH-003"}, {"hostname": "x"}]}]},
        FindingKind.DEAD_ALTERNATIVE,
        "alternative 0 of $or can never hold together with the rest of the pattern",
        "take it out, or mend it",
    ),
]


@pytest.mark.parametrize(("pattern", "kind", "message", "hint"), DOUBTFUL, ids=[str(one[0]) for one in DOUBTFUL])
def test_what_no_incident_holds_is_a_warning_with_what_was_meant(findings, pattern, kind, message, hint) -> None:
    [found] = findings(rule("A", pattern))
    assert (found.kind, found.severity, found.message, found.hint) == (kind, Severity.WARNING, message, hint)


@pytest.mark.parametrize(
    "pattern",
    [
        SSH_1,
        {"platform": {"$in": ["linux", "nixos", "windows"]}},
        {"check_id": "LIN-ACCT-001", "facts": {"accounts": {"$gt": 3}, "extra": ["x"]}},
        {"facts": {"accounts": {"$gt": 3}}},
        {"facts": {"extra": {"$exists": False}}},
        {"check_id": "LIN-AUDIT-001", "facts": {"enabled": {"$exists": False}}},
        {"incident_type": {"$prefix": "ssh"}, "hostname": {"$regex": "^web"}},
        {"$or": [{"check_id": "LIN-SSH-001"}, {"check_id": "LIN-ACCT-001", "facts": {"extra": ["x"]}}]},
        {"$not": {"check_id": "LIN-SSH-001"}},
        {"schema": "incident/v1", "status": "fail", "severity": "low", "distro": "debian"},
    ],
    ids=str,
)
def test_what_incidents_do_hold_is_left_in_peace(findings, pattern) -> None:
    assert findings(rule("A", pattern)) == []


def test_every_fact_of_every_check_may_be_named(findings, catalogue) -> None:
    rules = []
    for compiled in catalogue:
        for step in compiled.runbook.detect.steps:
            for name in compiled.fact_schema(step):
                facts = {step.as_: {name: {"$exists": True}}} if step.as_ else {name: {"$exists": True}}
                rules.append(rule(f"{compiled.id}/{step.as_}/{name}", {"check_id": compiled.id, "facts": facts}))
    assert len(rules) > 20
    assert findings(*rules) == []


def test_the_fields_of_an_incident_are_known() -> None:
    assert {"hostname", "facts", "severity", "detected_at"} <= FIELDS
    assert "fingerprint" not in FIELDS


@pytest.mark.parametrize(
    ("general", "special"),
    [
        ({"n": {"$gte": 0, "$lt": 20}}, {"n": {"$gt": 3, "$lt": 4}}),
        ({"n": {"$gte": -5, "$lt": 2000}}, {"n": 1999}),
        ({"n": {"$gt": 3}}, {"n": {"$gt": 3, "$lt": 4}}),
        ({"p": {"$prefix": "/opt/"}}, {"p": {"$prefix": "/opt/x/"}}),
        ({"p": {"$prefix": "/opt/"}}, {"p": "/opt/x"}),
        ({"p": {"$exists": True}}, {"p": {"$in": list(range(100))}}),
        ({"p": {"$in": list(range(100))}}, {"p": {"$in": [1, 2]}}),
        ({"p": {"$exists": False}}, {"p": {"$exists": False}, "q": 1}),
        ({"$not": {"p": 1}}, {"p": 2}),
        ({"$or": [{"p": 1}, {"q": 1}]}, {"q": 1, "r": 2}),
        ({"p": {"$regex": "x"}}, {"p": {"$regex": "x", "$suffix": "y"}}),
        ({"p": {"$exists": True}}, {"$or": [{"p": "x"}, {"p": "y"}]}),
        ({"n": {"$gte": 0, "$lt": 20}}, {"$or": [{"n": 3}, {"n": 4}]}),
        ({"p": {"$ne": "z"}}, {"$or": [{"p": {"$prefix": "a"}, "q": 1}, {"p": {"$gt": 3}}]}),
        ({"f": {"p": {"$ne": "z"}}}, {"f": {"$or": [{"p": {"$prefix": "a"}}, {"p": {"$gt": 3}}]}}),
        ({"p": {"q": {"$contains": 1}}}, {"p": {"q": {"$eq": [1]}}}),
    ],
    ids=str,
)
def test_a_general_rule_is_found_among_many_others(general, special) -> None:
    others = [rule(f"O{n}", {"n": {"$gte": n + 5000, "$lt": n + 5020}, "p": f"o{n}"}, priority=1) for n in range(50)]
    rules = RuleSet([*others, rule("G", general, priority=2), rule("S", special, priority=3)]).rules
    found, complete = related_rules(rules)
    assert [(one.rule.rule_id, one.other.rule_id, one.relation) for one in found] == [("S", "G", Relation.HIDDEN)]
    assert complete


def test_no_hidden_rule_ever_wins() -> None:
    """What lint calls hidden, no incident may be dispatched to."""
    hidden = 0
    for seed in range(60):
        rng = seeded(seed)
        incidents = [random_incident(rng) for _ in range(3)]
        rules = []
        for number in range(12):
            with suppress(PatternError):  # a contradictory one
                pattern = random_pattern(rng, incidents[number % 3])
                rules.append(rule(f"R{number}", pattern, priority=rng.randrange(5)))
        rule_set = RuleSet(rules)
        found = {
            one.rule.rule_id for one in related_rules(rule_set.rules)[0] if one.relation is not Relation.BEFORE_BY_ID
        }
        hidden += len(found)
        for incident in incidents:
            first = rule_set.first(incident)
            assert first is None or first.rule_id not in found
    assert hidden > 20


def test_of_many_known_words_a_hint_lists_the_first() -> None:
    assert did_you_mean("zzz", [f"LIN-{number:03}" for number in range(400)]).endswith("LIN-019 and 380 more")


def test_an_unknown_word_is_looked_up_once(catalogue, monkeypatch) -> None:
    asked: list[str] = []

    def hint(word: str, _known: object) -> str:
        asked.append(word)
        return "a hint"

    monkeypatch.setattr(rule_vocabulary, "did_you_mean", hint)
    monkeypatch.setattr(rule_vocabulary, "HINTS_MAX", 2)
    rules = [rule(f"R{number}", {"incident_type": name}) for number, name in enumerate(("x", "x", "y", "z"))]
    found = lint(RuleSet(rules), [], catalogue).findings
    hints = {one.rule_id: one.hint for one in found if one.kind is FindingKind.UNKNOWN_VALUE}
    assert (asked, hints) == (["x", "y"], {"R0": "a hint", "R1": "a hint", "R2": "a hint", "R3": ""})
