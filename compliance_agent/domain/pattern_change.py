"""The smallest change of a pattern with which it would match a document: failing clauses widened or dropped.

A clause is widened where that can be said in one operator (``$lte 4`` -> ``$lte 6``, another value in
``$in``), else dropped. The changed pattern is compiled and matched before it is offered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

from compliance_agent.domain.counterfactual import failing_count
from compliance_agent.domain.json_value import Kind, equal, kind_of
from compliance_agent.domain.operators import Missing
from compliance_agent.domain.pattern import Pattern, PatternError, compile_pattern
from compliance_agent.domain.pattern_nodes import (
    MISSING,
    AllNode,
    AnyNode,
    ArrayNode,
    ObjectNode,
    ScalarNode,
    TestNode,
    join_path,
    show,
)

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonScalar, JsonValue
    from compliance_agent.domain.pattern_nodes import (
        Node,
    )

WIDENED_MAX: Final = 16
"""Most clauses of one offered change; another rule is simpler than that many."""


PAIRS_MAX: Final = 100_000
"""Most pairs of elements that are compared to keep some of a list; beyond, the whole list is left out."""


class _Dropped(Enum):
    DROPPED = "dropped"


DROPPED: Final = _Dropped.DROPPED
"""Stands for a clause that is left out."""

_Part: TypeAlias = "JsonValue | _Dropped"


@dataclass(frozen=True, slots=True)
class ClauseChange:
    """One clause of a pattern, changed.

    Attributes:
        path: Place in the pattern, e.g. ``facts.score``.
        before: What stood there.
        after: What stands there instead; ``None`` when the clause is left out (see ``dropped``).
        dropped: True when the clause is left out.

    """

    path: str
    before: JsonValue
    after: JsonValue = None
    dropped: bool = False

    def in_words(self) -> str:
        """Return ``facts.score: $lte 4 -> $lte 6``."""
        return f"{self.path}: {_clause(self.before)} -> {'(left out)' if self.dropped else _clause(self.after)}"


@dataclass(frozen=True, slots=True)
class PatternChange:
    """A changed pattern that matches the document.

    Attributes:
        pattern: The changed pattern as it would be written.
        changes: Its clauses that differ, in their order.

    """

    pattern: Mapping[str, JsonValue]
    changes: tuple[ClauseChange, ...]

    def in_words(self) -> str:
        """Return every change, joined."""
        return "; ".join(change.in_words() for change in self.changes)


def pattern_change(pattern: Pattern, document: Mapping[str, JsonValue]) -> PatternChange | None:
    """Return the smallest change of the pattern with which it matches the document.

    Returns:
        The change; without changes when the pattern matches as it is; ``None`` when nothing would be
        left of the pattern, or more than ``WIDENED_MAX`` clauses would have to change.

    """
    if pattern.matches(document):
        return PatternChange(pattern.source, ())
    changes: list[ClauseChange] = []
    changed = _relaxed(pattern.root, pattern.source, document, "", changes)
    if not isinstance(changed, Mapping) or not changed or len(changes) > WIDENED_MAX:
        return None
    try:
        fits = compile_pattern(changed).matches(document)
    except PatternError:
        return None
    return PatternChange(changed, tuple(changes)) if fits else None


def _relaxed(
    node: Node, source: JsonValue, value: JsonValue | Missing, path: str, changes: list[ClauseChange]
) -> _Part:
    """Return the source of a part so that it holds for the value, noting each change."""
    if node.matches(value):
        return source
    if isinstance(source, Mapping):
        if isinstance(node, ObjectNode) and isinstance(value, Mapping):
            return _relaxed_object(node, source, value, path, changes)
        if not isinstance(node, ObjectNode):
            return _relaxed_operators(node, source, value, path, changes)
    if isinstance(node, ArrayNode) and isinstance(source, Sequence) and _is_array(value):
        kept = _kept_elements(node, source, value)
        return _note(changes, path, source, kept or DROPPED)
    if isinstance(node, ScalarNode) and _is_scalar(value):
        return _note(changes, path, source, _one_more(source, value))
    return _note(changes, path, source, DROPPED)


def _relaxed_object(
    node: ObjectNode,
    source: Mapping[str, JsonValue],
    value: Mapping[str, JsonValue],
    path: str,
    changes: list[ClauseChange],
) -> _Part:
    kept: dict[str, JsonValue] = {}
    for (raw, part), (key, child) in zip(source.items(), node.items, strict=True):
        relaxed = _relaxed(child, part, value.get(key, MISSING), join_path(path, key), changes)
        if not isinstance(relaxed, _Dropped):
            kept[raw] = relaxed
    return kept or DROPPED


def _relaxed_operators(
    node: Node, source: Mapping[str, JsonValue], value: JsonValue | Missing, path: str, changes: list[ClauseChange]
) -> _Part:
    """Relax a set of operators at one place; one that is no single test is relaxed within, or left out."""
    parts = node.parts if isinstance(node, AllNode) and len(source) > 1 else (node,)
    kept: dict[str, JsonValue] = {}
    for (name, argument), part in zip(source.items(), parts, strict=True):
        if part.matches(value):
            kept[name] = argument
            continue
        if isinstance(part, AllNode | AnyNode) and isinstance(argument, Sequence):
            relaxed = _relaxed_list(part, argument, value, path, changes)
            if relaxed:
                kept[name] = relaxed
            continue
        wider = _wider(part, argument, value) if isinstance(part, TestNode) else {}
        if any(key in source and key != name for key in wider):
            wider = {}  # the place of the wider operator is taken
        kept.update(wider)
        _note(changes, path, {name: argument}, wider or DROPPED)
    return kept or DROPPED


def _relaxed_list(
    node: AllNode | AnyNode, source: Sequence[Any], value: JsonValue | Missing, path: str, changes: list[ClauseChange]
) -> list[JsonValue]:
    """Relax what fails of ``$and``; of ``$or`` the alternative that is nearest."""
    indexes = range(len(node.parts))
    if isinstance(node, AnyNode):
        counts = [_failing(part, value) for part in node.parts]
        indexes = range(counts.index(min(counts)), counts.index(min(counts)) + 1)
    kept: list[JsonValue] = []
    for index, part in enumerate(node.parts):
        relaxed = _relaxed(part, source[index], value, path, changes) if index in indexes else source[index]
        if isinstance(relaxed, _Dropped) and isinstance(node, AnyNode):
            return []  # an alternative that always holds leaves nothing of the $or
        if not isinstance(relaxed, _Dropped):
            kept.append(relaxed)
    return kept


def _failing(node: Node, value: JsonValue | Missing) -> int:
    return failing_count(Pattern({}, node), value) if isinstance(value, Mapping) else 1


def _wider(node: TestNode, argument: JsonValue, value: JsonValue | Missing) -> dict[str, JsonValue]:
    """Return the operator widened so that it takes the value; empty when it cannot be said in one."""
    if isinstance(value, Missing):
        return {}
    if node.name in _BOUND and kind_of(value) is kind_of(argument):
        return {_BOUND[node.name]: value}
    if node.name in {"$eq", "$in"} and _is_scalar(value):
        return _one_more(argument, value) if node.name == "$eq" else {"$in": [*_listed(argument), value]}
    if node.name == "$nin":
        rest = [one for one in _listed(argument) if not equal(one, value)]
        return {"$nin": rest} if rest else {}
    if node.name == "$cidr" and isinstance(value, str) and _is_address(value):
        return {"$cidr": [*_listed(argument), value]}
    return {}


def _one_more(argument: JsonValue, value: JsonValue) -> dict[str, JsonValue]:
    """Return what takes both values: ``$ieq`` where only the case differs, else ``$in``."""
    if isinstance(argument, str) and isinstance(value, str) and argument.casefold() == value.casefold():
        return {"$ieq": argument}
    return {"$in": [argument, value]}


def _note(changes: list[ClauseChange], path: str, before: JsonValue, after: _Part) -> _Part:
    dropped = isinstance(after, _Dropped)
    changes.append(ClauseChange(path, before, None if isinstance(after, _Dropped) else after, dropped=dropped))
    return after


def _listed(argument: JsonValue) -> list[JsonValue]:
    return list(argument) if isinstance(argument, Sequence) and not isinstance(argument, str) else [argument]


def _is_array(value: JsonValue | Missing) -> bool:
    return not isinstance(value, Missing) and kind_of(value) is Kind.ARRAY


def _kept_elements(node: ArrayNode, source: Sequence[Any], value: JsonValue | Missing) -> list[JsonValue]:
    """Return the pattern's elements that the array has; none when there are too many to compare."""
    if not isinstance(value, Sequence) or len(source) * len(value) > PAIRS_MAX:
        return []
    pairs = zip(source, node.elements, strict=True)
    return [one for one, part in pairs if any(part.matches(item) for item in value)]


def _is_scalar(value: JsonValue | Missing) -> TypeGuard[JsonScalar]:
    return value is None or isinstance(value, bool | int | Decimal | str)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _clause(source: JsonValue) -> str:
    """Return a clause of a pattern for people: ``$lte 4``, or the value as it is written."""
    if isinstance(source, Mapping) and len(source) == 1:
        name, argument = next(iter(source.items()))
        if name.startswith("$"):
            return f"{name} {show(argument)}"
    return show(source)


_BOUND: Final[Mapping[str, str]] = {"$gt": "$gte", "$gte": "$gte", "$lt": "$lte", "$lte": "$lte"}
