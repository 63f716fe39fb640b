"""The engines that are measured and need nothing installed: naive scan, reference, our index, orjson alone.

An engine is made for one rule set and answers incidents in one of three forms: ``plain`` (what
``json.loads`` gives), ``exact`` (what our reader gives: no binary floats) and ``bytes``.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from benchmarks.matching_workloads import compiled_rules
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.wire.incident_matcher import IncidentMatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from compliance_agent.domain.rule import Rule

Form: TypeAlias = Literal["plain", "exact", "bytes"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule as the peers see it: ``operator`` is eq, in, gte, lt, prefix or exists."""

    path: tuple[str, ...]
    operator: str
    value: Any

    @property
    def dotted(self) -> str:
        """Return the path as most peers write it."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Rules:
    """A rule set in every form an engine may want, in order of precedence."""

    documents: list[dict[str, Any]]
    compiled: list[Rule]
    conditions: list[tuple[str, list[Condition]]] = field(default_factory=list)


def prepared(documents: Sequence[dict[str, Any]]) -> Rules:
    """Sort rule documents by precedence and compile them."""
    ordered = sorted(documents, key=lambda document: (document["priority"], document["rule_id"]))
    flat = [(document["rule_id"], list(conditions_of(document["incident_pattern"]))) for document in ordered]
    return Rules(ordered, compiled_rules(ordered), flat)


def conditions_of(pattern: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[Condition]:
    """Yield the conditions of a pattern that uses only what the workloads use."""
    for key, value in pattern.items():
        if isinstance(value, dict):
            yield from conditions_of(value, path if key.startswith("$") else (*path, key))
        else:
            yield Condition(path, key[1:], value) if key.startswith("$") else Condition((*path, key), "eq", value)


@dataclass(frozen=True, slots=True)
class Live:
    """An engine that is ready for incidents.

    Attributes:
        match: Takes an incident in the engine's form; this call is what is timed.
        ids: Turns what ``match`` returned into rule ids.
        clock: CPU seconds spent so far by whoever does the work.
        close: Gives back what the engine holds.
        note: A remark for the report.

    """

    match: Callable[[Any], Any]
    ids: Callable[[Any], list[str]] = list
    clock: Callable[[], float] = time.process_time
    close: Callable[[], None] = lambda: None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine of the benchmark.

    Attributes:
        key: Its name for ``--engines`` and in JSON.
        title: Its name for people.
        form: What its ``match`` takes.
        make: Builds it for a rule set.
        needs: The module that must be installed; empty for none.
        ours: One of ours; its answers must be right in their order, too.
        answers: False for what only decodes.

    """

    key: str
    title: str
    form: Form
    make: Callable[[Rules], Live]
    needs: str = ""
    ours: bool = False
    answers: bool = True

    def installed(self) -> bool:
        """Tell whether it can be measured here."""
        try:
            return not self.needs or importlib.util.find_spec(self.needs) is not None
        except ModuleNotFoundError:
            return False


# The naive scan: what a careful programmer writes first. Nothing here is slow on purpose.

_MISSING: Final = object()


def look_up(event: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value at a path, or the mark for a missing one."""
    for key in path:
        if not isinstance(event, dict) or key not in event:
            return _MISSING
        event = event[key]
    return event


_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": lambda actual, expected: bool(actual == expected),
    "in": lambda actual, expected: actual in expected,
    "gte": lambda actual, expected: isinstance(actual, int | float) and actual >= expected,
    "lt": lambda actual, expected: isinstance(actual, int | float) and actual < expected,
    "prefix": lambda actual, expected: isinstance(actual, str) and actual.startswith(expected),
    "exists": lambda actual, expected: (actual is not _MISSING) is expected,
}


def _naive(rules: Rules) -> Live:
    table = [
        (rule_id, [(one.path, one.operator, one.value) for one in conditions])
        for rule_id, conditions in rules.conditions
    ]

    def match(event: dict[str, Any]) -> list[str]:
        return [
            rule_id
            for rule_id, conditions in table
            if all(_OPERATORS[operator](look_up(event, path), value) for path, operator, value in conditions)
        ]

    return Live(match)


def _rule_ids(rules: Sequence[Rule]) -> list[str]:
    return [rule.rule_id for rule in rules]


def _reference(rules: Rules) -> Live:
    compiled = rules.compiled
    return Live(lambda event: [rule for rule in compiled if rule.pattern.matches(event)], _rule_ids)


def _index_parsed(rules: Rules) -> Live:
    return Live(RuleSet(rules.compiled).matching, _rule_ids)


def _index_bytes(rules: Rules) -> Live:
    return Live(IncidentMatcher(RuleSet(rules.compiled), source="incident").matching, _rule_ids)


def _orjson(_rules: Rules) -> Live:
    return Live(importlib.import_module("orjson").loads)


NAIVE: Final = Engine("naive", "naive Python scan", "plain", _naive)
REFERENCE: Final = Engine("reference", "ours, reference (linear)", "exact", _reference, ours=True)
PARSED: Final = Engine("parsed", "ours, index, parsed incidents", "exact", _index_parsed, ours=True)
BYTES: Final = Engine("bytes", "ours, index, from JSON bytes", "bytes", _index_bytes, ours=True)
ORJSON: Final = Engine("orjson", "orjson.loads alone", "bytes", _orjson, "orjson", answers=False)

OWN: Final = (PARSED, BYTES, ORJSON, NAIVE, REFERENCE)
