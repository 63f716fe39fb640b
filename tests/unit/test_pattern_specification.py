"""docs/PATTERNS.md: every numbered sentence is held by its examples, and every table by the code."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.rule import Action, Rule, RuleSource
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.errors import InputError
from compliance_agent.wire.json_document import read_json
from compliance_agent.wire.located import Located
from compliance_agent.wire.older_rules import OLDER_FIELDS, OLDER_OPERATORS
from compliance_agent.wire.rule_document import read_offline_rules, read_rules
from scripts.pattern_tables import BOUNDS, PAGE, ROWS, VALUES, renewed, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from compliance_agent.domain.json_value import JsonValue

TEXT: Final = PAGE.read_text(encoding="utf-8")


class Sentence(NamedTuple):
    """One numbered sentence: its number, its prose, and its examples as they stand."""

    number: int
    prose: str
    examples: list[tuple[str, str, str]]


_EXAMPLE: Final = re.compile(
    r"`([^`]+)`\s+(matches|does not match|is refused:|is no document:|goes before|does not answer|answers"
    r"|is an older rule refused:)(?:\s+`([^`]+)`)?\."
)


def sentences() -> list[Sentence]:
    """Return the numbered sentences of the page, in order."""
    found = re.findall(r"^(\d+)\. (.*\n(?: {3,}\S.*\n)*)", TEXT, re.MULTILINE)
    return [Sentence(int(number), body, _EXAMPLE.findall(body)) for number, body in found]


SENTENCES: Final = sentences()
EXAMPLES: Final = [
    pytest.param(*example, id=f"{sentence.number}-{place}")
    for sentence in SENTENCES
    for place, example in enumerate(sentence.examples, start=1)
]


def document(text: str) -> dict[str, JsonValue]:
    value = read_json(text, source="example")
    assert isinstance(value, dict)
    return value


def matches(pattern: str, incident: str) -> bool:
    return compile_pattern(read_json(pattern, source="example")).matches(document(incident))


def problem_of(pattern: str) -> str:
    with pytest.raises(PatternError) as caught:
        compile_pattern(read_json(pattern, source="example"))
    return str(caught.value)


def reading_problem_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_json(text, source="example")
    (problem,) = caught.value.problems
    assert problem.line >= 1
    assert problem.column >= 1
    return problem.message


def rule(text: str) -> Rule:
    """Return the rule that ``priority 5, local, a, disabled`` writes."""
    priority, source, rule_id, *rest = text.split(", ")
    return Rule(
        rule_id=rule_id,
        pattern=compile_pattern({"a": 1}),
        action=Action("alert", "x"),
        priority=int(priority.removeprefix("priority ")),
        source=RuleSource(source),
        enabled=rest != ["disabled"],
    )


def answers(*texts: str) -> list[str]:
    return [one.rule_id for one in RuleSet([rule(text) for text in texts]).matching({"a": 1})]


def older_problem_of(text: str) -> str:
    entry = {"id": "r", **document(text)}
    if "actions" not in entry and "action" not in entry:
        entry["actions"] = ["alert:x"]
    rules, (quarantined,) = read_rules(Located({"rules": [entry]}, "r.json"), source=RuleSource.SYNCED)
    assert rules == []
    return quarantined.reason


VERDICTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "matches": matches,
    "does not match": lambda pattern, incident: not matches(pattern, incident),
    "is refused:": lambda pattern, message: message in problem_of(pattern),
    "is no document:": lambda text, message: message in reading_problem_of(text),
    "goes before": lambda first, second: answers(second, first)[0] == rule(first).rule_id,
    "answers": lambda one, _: answers(one) == [rule(one).rule_id],
    "does not answer": lambda one, _: answers(one) == [],
    "is an older rule refused:": lambda text, message: message in older_problem_of(text),
}


@pytest.mark.parametrize(("left", "word", "right"), EXAMPLES)
def test_an_example_is_true(left: str, word: str, right: str) -> None:
    assert VERDICTS[word](left, right)


def test_the_sentences_are_numbered_without_a_gap() -> None:
    assert [sentence.number for sentence in SENTENCES] == list(range(1, len(SENTENCES) + 1))
    assert len(SENTENCES) > 40


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: str(sentence.number))
def test_a_sentence_obliges_and_has_an_example(sentence: Sentence) -> None:
    assert re.search(r"\b(MUST|MUST NOT|MAY)\b", sentence.prose)
    assert sentence.examples


def test_no_example_escapes_the_test() -> None:
    """Whatever stands in braces within a sentence belongs to an example that is run."""
    run = {part for sentence in SENTENCES for left, _, right in sentence.examples for part in (left, right)}
    braces = {part for sentence in SENTENCES for part in re.findall(r"`(\{[^`]*)`", sentence.prose)}
    assert braces <= run


# --- tables -----------------------------------------------------------------------------------------


def test_the_generated_tables_are_fresh() -> None:
    assert renewed(TEXT) == TEXT, "run: python -m scripts.pattern_tables"


def test_each_kind_of_value_that_depends_is_shown_to_depend() -> None:
    verdicts = {verdict(patterns, documents) for patterns in ROWS.values() for documents in VALUES.values()}
    assert verdicts == {"match", "no match", "depends"}


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def pattern_is_taken(text: str) -> bool:
    try:
        compile_pattern(read_json(text, source="example"))
    except (PatternError, InputError):
        return False
    return True


def document_is_taken(text: str) -> bool:
    try:
        read_json(text, source="example")
    except InputError:
        return False
    return True


PROBES: Final[dict[str, Callable[[int], bool]]] = {
    "levels of nesting in a pattern": lambda size: pattern_is_taken(nested(size)),
    "levels of nesting in an operator's argument": lambda size: pattern_is_taken(
        '{"a":{"$eq":' + "[" * size + "1" + "]" * size + "}}"
    ),
    "clauses, keys and elements in a pattern": lambda size: pattern_is_taken(
        json.dumps({"a": [str(number) for number in range(size - 2)]})
    ),
    "a key of a pattern": lambda size: pattern_is_taken(json.dumps({"k" * size: 1})),
    "values of `$in`, `$nin` and `$cidr`": lambda size: pattern_is_taken(json.dumps({"a": {"$in": list(range(size))}})),
    "the text of `$regex` and `$wildcard`": lambda size: pattern_is_taken(json.dumps({"a": {"$regex": "x" * size}})),
    "levels of nesting in a JSON document": lambda size: document_is_taken("[" * size + "]" * size),
    "digits of a whole number, or before the point": lambda size: document_is_taken("9" * size),
    "digits behind the point, as written without an exponent": lambda size: document_is_taken("0." + "9" * size),
    "size of an exponent, either way": lambda size: document_is_taken(f"1e{size}"),
}


@pytest.mark.parametrize(("what", "most"), [(what, most) for what, most, _ in BOUNDS if what in PROBES])
def test_a_bound_is_taken_and_one_more_is_refused(what: str, most: int) -> None:
    assert PROBES[what](most)
    assert not PROBES[what](most + 1)


def test_every_bound_is_probed_but_the_memory_of_an_expression() -> None:
    assert {what for what, _, _ in BOUNDS} - set(PROBES) == {"memory of a compiled `$regex` or `$wildcard`"}
    assert not pattern_is_taken('{"a": {"$regex": "\\\\pL{1000}"}}')


# --- the older form ---------------------------------------------------------------------------------

OLDER_ROWS: Final = re.findall(r'^\| `(\{"field".*?\})` \| `(\{.*?\})` \| ', TEXT, re.MULTILINE)


def pattern_of(condition: str) -> JsonValue:
    severity: JsonValue = {"field": "severity", "operator": "eq", "value": "high"}  # one alone may ask too little
    entry: JsonValue = {"id": "r", "conditions": [document(condition), severity], "actions": ["alert:x"]}
    (read,), _ = read_rules(Located({"rules": [entry]}, "r.json"), source=RuleSource.SYNCED)
    return read.pattern.source


@pytest.mark.parametrize(("condition", "pattern"), OLDER_ROWS)
def test_an_older_condition_becomes_the_pattern_of_its_row(condition: str, pattern: str) -> None:
    expected = document(pattern)
    severity: JsonValue = {"severity": "high"}
    both = {"$and": [expected, severity]} if "$not" in expected else {**expected, "severity": "high"}
    assert pattern_of(condition) == both


def test_the_table_has_every_older_operator_and_renamed_field() -> None:
    conditions = [document(condition) for condition, _ in OLDER_ROWS]
    assert {condition["operator"] for condition in conditions} == set(OLDER_OPERATORS)
    fields = [condition["field"] for condition in conditions]
    assert set(OLDER_FIELDS) <= {str(field).partition(".")[0] for field in fields}


@pytest.mark.parametrize(
    ("condition", "incident", "verdict"),
    [
        ({"field": "check_type", "operator": "eq", "value": 1}, {"incident_type": True}, False),
        ({"field": "details.mode", "operator": "ne", "value": "on"}, {"facts": {}}, False),
        ({"field": "details.mode", "operator": "ne", "value": "on"}, {"facts": {"mode": None}}, True),
        ({"field": "details.mode", "operator": "not_in", "value": ["on"]}, {"facts": {}}, False),
        ({"field": "details.score", "operator": "gt", "value": 4}, {"facts": {"score": "high"}}, False),
        ({"field": "details.score", "operator": "lt", "value": 4}, {"facts": {"score": None}}, False),
        ({"field": "details.score", "operator": "gt", "value": 4}, {"facts": {"score": 5}}, True),
        ({"field": "distro", "operator": "exists", "value": True}, {"distro": None}, True),
        ({"field": "distro", "operator": "exists"}, {"distro": "debian"}, True),
        ({"field": "details.a.b", "operator": "exists", "value": False}, {"facts": {}}, True),
        ({"field": "details.a.b", "operator": "exists", "value": False}, {"facts": {"a": {"b": None}}}, False),
        ({"field": "details.users", "operator": "contains", "value": "root"}, {"facts": {"users": ["root"]}}, True),
        ({"field": "details.users", "operator": "contains", "value": "root"}, {"facts": {"users": "chroot"}}, True),
        ({"field": "host", "operator": "regex", "value": "^(a+)+$"}, {"hostname": "a" * 10_000 + "b"}, False),
    ],
)
def test_an_older_condition_answers_as_the_table_says(condition, incident, verdict) -> None:
    (read,) = read_offline_rules(Located({"rules": [{"id": "r", "conditions": [condition]}]}, "r.json"))
    assert read.pattern.matches(incident) is verdict


@pytest.mark.parametrize("expression", ["(?=x)", r"(x)\\1", "(?<!a)b"])
def test_an_older_expression_that_re2_cannot_read_is_set_aside(expression: str) -> None:
    text = f'{{"conditions": [{{"field": "a", "operator": "regex", "value": "{expression}"}}]}}'
    assert "RE2" in older_problem_of(text)


@pytest.mark.parametrize("operator", ["in", "not_in"])
def test_an_older_empty_list_is_refused(operator: str) -> None:
    text = f'{{"conditions": [{{"field": "a", "operator": "{operator}", "value": []}}]}}'
    assert "at least one" in older_problem_of(text)
