"""Cases of rules, judged: what differs, why, and the same as JUnit XML for CI servers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from compliance_agent.domain.counterfactual import counterfactual, unsuggested
from compliance_agent.domain.text import one_line
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from compliance_agent.cli.rule_input import LoadedRules
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule
    from compliance_agent.wire.rule_cases import RuleCase

DIFF_LINES_MAX: Final = 50
"""Most lines of a difference between two lists of rules that are shown."""

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Difference:
    """One expectation that was not met."""

    what: str
    expected: JsonValue
    actual: JsonValue


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case, judged.

    Attributes:
        case: The case.
        differences: What differs; empty when the case passes.
        reasons: Why, a sentence a line: the first failing clause of each missing rule, and what would mend it.
        duration_s: How long judging took.

    """

    case: RuleCase
    differences: tuple[Difference, ...]
    reasons: tuple[str, ...]
    duration_s: float = 0.0

    @property
    def passed(self) -> bool:
        """Tell whether everything is as expected."""
        return not self.differences

    def row(self) -> dict[str, JsonValue]:
        """Return the result for programs."""
        differences: list[JsonValue] = [
            {"what": one.what, "expected": one.expected, "actual": one.actual} for one in self.differences
        ]
        return {
            "case": self.case.name,
            "place": self.case.place,
            "passed": self.passed,
            "differences": differences,
            "reasons": list(self.reasons),
        }

    def lines(self) -> list[str]:
        """Return for people what differs, as a diff, and why. Safe to print."""
        lines = [line for one in self.differences for line in _difference_lines(one)]
        return [one_line(line) for line in (*lines, *self.reasons)]


def judge_case(case: RuleCase, loaded: LoadedRules) -> CaseResult:
    """Ask the rules about the case's incident and compare the answer with what is expected."""
    matching = loaded.rules.matching(case.incident)
    first = matching[0] if matching else None
    actual: dict[str, JsonValue] = {
        "rules": [rule.rule_id for rule in matching],
        "winner": first.rule_id if first else None,
        "action": str(first.action) if first else None,
    }
    differences = tuple(
        Difference(what, expected, actual[what]) for what, expected in case.expected.items() if expected != actual[what]
    )
    reasons = _reasons(case, loaded, matching) if differences else ()
    return CaseResult(case, differences, tuple(reasons))


def _reasons(case: RuleCase, loaded: LoadedRules, matching: Sequence[Rule]) -> Iterable[str]:
    expected = _expected_ids(case)
    matched = {rule.rule_id for rule in matching}
    for rule_id in expected:
        if rule_id not in matched:
            yield from _why_missing(rule_id, case.incident, loaded)
    winner = case.expected.get("winner")
    if isinstance(winner, str) and winner in matched and matching[0].rule_id != winner:
        first, meant = matching[0], next(rule for rule in matching if rule.rule_id == winner)
        yield (
            f"{winner} matches, but {first.rule_id} goes first: "
            f"priority {first.priority}, {first.source}, before priority {meant.priority}, {meant.source}"
        )
    if "rules" in case.expected:
        for rule in matching[:DIFF_LINES_MAX]:
            if rule.rule_id not in expected:
                yield f"{rule.rule_id} matches and is not expected ({rule.place})"


def _expected_ids(case: RuleCase) -> list[str]:
    rules, winner = case.expected.get("rules"), case.expected.get("winner")
    ids = [one for one in rules if isinstance(one, str)] if isinstance(rules, list) else []
    return ids if not isinstance(winner, str) or winner in ids else [winner, *ids]


def _why_missing(rule_id: str, incident: Mapping[str, JsonValue], loaded: LoadedRules) -> Iterable[str]:
    rule = loaded.find(rule_id)
    if rule is None:
        yield f"there is no rule {rule_id}; {loaded.why_not(rule_id)}"
        return
    clause = rule.pattern.first_failing(incident)
    if clause is None:
        yield f"{rule_id} is disabled; its pattern matches ({rule.place})"
        return
    where = clause.path or "the incident"
    yield f"{rule_id} does not match ({rule.place}):"
    yield f"  ✗ {where}  expected {clause.expected}  actual {clause.actual}"
    change = counterfactual(rule.pattern, incident)
    if change is not None:
        yield f"    would match if {change.in_words(incident)}"
    for one in [] if change else unsuggested(rule.pattern, incident):
        yield f"    no value can be suggested for {one.path or 'the incident'}: {one.expected}"


def _difference_lines(one: Difference) -> list[str]:
    if one.what != "rules":
        return [f"{one.what}: expected {_told(one.expected)}, got {_told(one.actual)}"]
    told = _list_diff(_texts(one.expected), _texts(one.actual))
    cut = [f"… {len(told) - DIFF_LINES_MAX} more"] if len(told) > DIFF_LINES_MAX else []
    return ["rules, in order (- expected, + got):", *told[:DIFF_LINES_MAX], *cut]


def _list_diff(expected: list[str], actual: list[str]) -> list[str]:
    """Return both lists as one: ``- `` only expected, ``+ `` only actual, two spaces where they agree."""
    lines = unified_diff(expected or ["(none)"], actual or ["(none)"], lineterm="", n=2)
    return [f"{line[:1]} {line[1:]}" for line in lines if not line.startswith(("---", "+++", "@@"))]


def _texts(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _told(value: JsonValue) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else write_json(value)


def junit_xml(results: Sequence[CaseResult], *, source: str) -> bytes:
    """Return the results as JUnit XML, in the shape that CI servers read."""
    failed = sum(not one.passed for one in results)
    counts = {
        "tests": str(len(results)),
        "failures": str(failed),
        "errors": "0",
        "time": f"{sum(one.duration_s for one in results):.3f}",
    }
    root = ET.Element("testsuites", {"name": "rules test", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": _xml(source), "skipped": "0", **counts})
    for one in results:
        attributes = {"classname": _xml(source), "name": _xml(one.case.name), "file": _xml(source)}
        if one.case.line:
            attributes["line"] = str(one.case.line)
        attributes["time"] = f"{one.duration_s:.3f}"
        element = ET.SubElement(suite, "testcase", attributes)
        if not one.passed:
            message = "; ".join(
                f"{each.what}: expected {_told(each.expected)}, got {_told(each.actual)}" for each in one.differences
            )
            failure = ET.SubElement(element, "failure", {"message": _xml(message), "type": "rules"})
            failure.text = _xml("\n".join([one.case.place, *one.lines()]))
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n".encode()


def _xml(text: str) -> str:
    """Return the text without the characters that no XML document may hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
