"""Patterns that can never match: found for certain, and said with the two clauses that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.constraints import OBJECT, PRESENT, Budget, BudgetError, Place
from compliance_agent.domain.pattern_nodes import (
    AllNode,
    AnyNode,
    ArrayNode,
    NotNode,
    ObjectNode,
    TestNode,
    join_path,
    show,
)
from compliance_agent.domain.proof import possible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_nodes import Node

STEPS_MAX: Final = 100_000
"""Steps for one pattern; one that needs more is taken as possible."""

BLAME_STEPS_MAX: Final = 500_000
"""Steps to find out which clauses of an impossible pattern exclude each other; beyond them it is said of all."""

_SHOWN_MAX: Final = 60
"""Most characters of one clause in a message."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Why a pattern can never match.

    Attributes:
        path: The clause, or what holds both, as in ``PatternError``.
        message: Names the clauses.
        hint: How to mend it.

    """

    path: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Literal:
    """One clause that must hold.

    Attributes:
        keys: The place in the document that it speaks of.
        parent: Path, in the pattern, of what it stands in.
        path: Its own path in the pattern.
        node: Its compiled form.
        source: As written.

    """

    keys: tuple[str, ...]
    parent: str
    path: str
    node: Node
    source: JsonValue

    def __str__(self) -> str:
        if isinstance(self.node, TestNode):
            return f"{self.node.name} {show(self.node.argument, _SHOWN_MAX)}"
        name = "$or " if isinstance(self.node, AnyNode) else "$not " if isinstance(self.node, NotNode) else ""
        return f"{name}{show(self.source, _SHOWN_MAX)}"


def find_contradiction(root: Node, source: JsonValue) -> Contradiction | None:
    """Return why no document matches, or ``None`` when one may.

    Args:
        root: The compiled pattern.
        source: The same as written, for the message.

    """
    budget = Budget(STEPS_MAX)
    try:
        place = _impossible(root, OBJECT, budget)
    except (BudgetError, RecursionError):
        return None
    if place is None:
        return None
    budget.left = BLAME_STEPS_MAX
    try:
        return _explain(place, root, source, "", OBJECT)
    except BudgetError:
        return Contradiction("", "its clauses can never hold together", "")


def _impossible(node: Node, base: int, budget: Budget) -> Place | None:
    """Return what is known of the value that the node asks for when there is no such value, else ``None``."""
    place = Place(base, budget)
    place.add(node)
    return None if possible(place) else place


def _explain(place: Place, node: Node, source: JsonValue, path: str, base: int) -> Contradiction:
    literals = _culprits(list(_literals(node, source, (), path, path)), _deepest(place), base, place.budget)
    return _blame(literals, base, place.budget)


def _culprits(literals: list[_Literal], keys: tuple[str, ...], base: int, budget: Budget) -> list[_Literal]:
    """Return the clauses below the innermost place that are contradictory by themselves."""
    for length in range(len(keys), 0, -1):
        below = [one for one in literals if one.keys[:length] == keys[:length]]
        if below and not _together(below, base, budget):
            return below
    return literals


def _deepest(place: Place) -> tuple[str, ...]:
    """Return the keys that lead to the innermost place where nothing can stand."""
    keys: tuple[str, ...] = ()
    while True:
        inner = ((key, field) for key, field in (place.fields or {}).items() if field.impossible)
        found = next(inner, None)
        if found is None:
            return keys
        keys, place = (*keys, found[0]), found[1]


def _blame(literals: Sequence[_Literal], base: int, budget: Budget) -> Contradiction:
    """Name the first clause that contradicts those before it, and one of them that it contradicts alone."""
    low, high = 0, len(literals) - 1
    while low < high:
        middle = (low + high) // 2
        if _together(literals[: middle + 1], base, budget):
            low = middle + 1
        else:
            high = middle
    late = literals[low]
    if not _together([late], base, budget):
        return _alone(late, budget)
    try:
        early = next((one for one in literals[:low] if not _together([one, late], base, budget)), None)
    except BudgetError:
        early = None
    if early is None:
        return Contradiction(late.path, f"{late} can never hold together with the clauses before it", _HINT)
    shown, other = _relative(early, late)
    if early.parent == late.parent:
        return Contradiction(late.parent, f"{shown} and {other} can never hold together", _HINT)
    return Contradiction(late.path, f"{other} here and {shown} at {early.path} can never hold together", _HINT)


_HINT: Final = "take one of them out, or join alternatives with $or"


def _relative(early: _Literal, late: _Literal) -> tuple[str, str]:
    """Return both clauses; one that speaks of a deeper field says which."""
    common = min(len(early.keys), len(late.keys))
    shown = []
    for one in (early, late):
        deeper = ".".join(one.keys[common:])
        shown.append(f"{deeper}: {one}" if deeper and early.keys != late.keys else str(one))
    return shown[0], shown[1]


def _alone(literal: _Literal, budget: Budget) -> Contradiction:
    node, source = literal.node, literal.source
    if isinstance(node, ArrayNode) and isinstance(source, Sequence):
        for index, (part, written) in enumerate(zip(node.elements, source, strict=False)):
            place = _impossible(part, PRESENT, budget)
            if place is not None:
                return _explain(place, part, written, f"{literal.path}[{index}]", PRESENT)
    if isinstance(node, AnyNode):
        return Contradiction(literal.path, "no alternative of this $or can ever hold", "take it out, or mend it")
    return Contradiction(literal.path, f"{literal} can never hold here", "take it out, or mend it")


def _together(literals: Sequence[_Literal], base: int, budget: Budget) -> bool:
    place = Place(base, budget)
    for one in literals:
        node = one.node
        for key in reversed(one.keys):
            node = ObjectNode(((key, node),))
        place.add(node)
    return possible(place)


def _literals(node: Node, source: JsonValue, keys: tuple[str, ...], parent: str, path: str) -> Iterator[_Literal]:
    """Yield the clauses that must all hold, with their places; ``source`` is walked beside the node."""
    if isinstance(node, ObjectNode) and node.items and isinstance(source, Mapping):
        for key, part in node.items:
            raw = f"${key}" if key.startswith("$") else key
            yield from _literals(part, source[raw], (*keys, key), path, join_path(path, raw))
    elif isinstance(source, Mapping) and not isinstance(node, ObjectNode):
        yield from _operators(node, source, keys, path)
    else:
        yield _Literal(keys, parent, path, node, source)


def _operators(node: Node, source: Mapping[str, JsonValue], keys: tuple[str, ...], path: str) -> Iterator[_Literal]:
    parts: Sequence[Node] = node.parts if isinstance(node, AllNode) and len(source) > 1 else (node,)
    for (name, argument), part in zip(source.items(), parts, strict=True):
        place = join_path(path, name)
        if isinstance(part, AllNode) and isinstance(argument, Sequence):  # $and
            for index, (inner, written) in enumerate(zip(part.parts, argument, strict=True)):
                yield from _literals(inner, written, keys, place, f"{place}[{index}]")
        else:
            yield _Literal(keys, path, place, part, argument)
