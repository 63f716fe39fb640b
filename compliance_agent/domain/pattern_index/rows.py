"""Patterns taken apart into rows: conjunctions of keys (equalities) and tests.

A pattern becomes one row, or one row for each alternative of its small ``$or``. A row holds when all
its keys and all its tests hold. What cannot be taken apart stays whole, as a test that the reference
nodes judge, so that an index over rows answers exactly as they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.pattern_nodes import AllNode, AnyNode, ObjectNode, ScalarNode, TestNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern import Pattern
    from compliance_agent.domain.pattern_nodes import Node

Path: TypeAlias = tuple[str, ...]
"""Keys from the document down to a place; empty for the document itself."""

COPIES_MAX: Final = 64
"""Most rows that one pattern may become, and most places of one row in the index."""


class BooleanKey:
    """Stands for ``true`` or ``false`` in tables: Python holds ``True == 1``, JSON does not."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        """Keep the name for people who debug."""
        self.name = name

    def __repr__(self) -> str:
        """Return the name."""
        return self.name


TRUE_KEY: Final = BooleanKey("true")
FALSE_KEY: Final = BooleanKey("false")

Key: TypeAlias = str | int | Decimal | BooleanKey | None
"""A scalar as a key of a dict: equal keys are equal JSON values, and the reverse."""

ABSENT: Final = object()
"""What is looked up where there is no scalar: it is in no table."""


def key_of(value: object) -> Key | object:
    """Return the table key of a scalar; ``ABSENT`` for an array, an object or nothing at all."""
    if isinstance(value, bool):
        return TRUE_KEY if value else FALSE_KEY
    if value is None or isinstance(value, str | int | Decimal):
        return value
    return ABSENT


def is_delicate(key: Key | object) -> bool:
    """Tell whether a table with this key needs every value translated by ``key_of`` before it is looked up.

    Of ``true``, ``false``, 1 and 0 two are equal in Python; ``null`` looks like a field that is not there.
    """
    return key is None or isinstance(key, BooleanKey) or (isinstance(key, int | Decimal) and key in {0, 1})


def is_number(key: Key | object) -> bool:
    """Tell whether a key is a number."""
    return isinstance(key, int | Decimal)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part of a pattern at one place.

    ``node`` judges the value at ``path``; the place above it must be an object, whatever ``node`` says.
    """

    path: Path
    node: Node


@dataclass(frozen=True, slots=True)
class Choice:
    """The scalars of which the value at a place must be one, and the nodes that say so."""

    keys: tuple[Key, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A conjunction.

    Attributes:
        rank: Position of the pattern in the index; lower goes first.
        choices: By path, the scalars that may stand there.
        tests: All else that must hold.
        copies: In how many places of the index the row stands already.

    """

    rank: int
    choices: Mapping[Path, Choice] = field(default_factory=dict)
    tests: tuple[Requirement, ...] = ()
    copies: int = 1

    def without(self, path: Path) -> Row:
        """Return what is left once one of the choices at ``path`` is known to hold."""
        rest = {place: choice for place, choice in self.choices.items() if place != path}
        return Row(self.rank, rest, self.tests, self.copies * len(self.choices[path].keys))

    def with_choice_as_test(self, path: Path) -> Row:
        """Return the same row with the choice at ``path`` left to the reference nodes."""
        rest = {place: choice for place, choice in self.choices.items() if place != path}
        tests = tuple(Requirement(path, node) for node in self.choices[path].nodes)
        return Row(self.rank, rest, self.tests + tests, self.copies)

    def without_tests(self, taken: Sequence[Requirement]) -> Row:
        """Return what is left once these tests are known to hold."""
        return replace(self, tests=tuple(test for test in self.tests if all(test is not one for one in taken)))


@dataclass(slots=True)
class _Draft:
    choices: dict[Path, Choice] = field(default_factory=dict)
    tests: list[Requirement] = field(default_factory=list)
    alternatives: list[tuple[Path, AnyNode]] = field(default_factory=list)
    impossible: bool = False

    def choose(self, path: Path, keys: Sequence[Key], nodes: tuple[Node, ...]) -> None:
        unique = dict.fromkeys(keys)
        held = self.choices.get(path)
        if held is not None:
            unique = {key: None for key in held.keys if key in unique}
            nodes = held.nodes + nodes
        self.impossible = self.impossible or not unique
        self.choices[path] = Choice(tuple(unique), nodes)

    def join(self, other: _Draft) -> _Draft:
        joined = _Draft(dict(self.choices), [*self.tests, *other.tests], [], self.impossible or other.impossible)
        for path, choice in other.choices.items():
            joined.choose(path, choice.keys, choice.nodes)
        return joined


_OF_SCALARS: Final = frozenset(
    {"$ieq", "$gt", "$gte", "$lt", "$lte", "$exists", "$prefix", "$suffix", "$wildcard", "$regex", "$cidr"}
)


def may_look_inside(node: Node) -> bool:
    """Tell whether a test may look at what an array or object holds, not only at a scalar."""
    return not (isinstance(node, TestNode) and node.name in _OF_SCALARS)


def rows_of(pattern: Pattern, rank: int) -> list[Row]:
    """Return the rows of a pattern; none when two of its keys exclude each other."""
    drafts = _drafts([Requirement((), pattern.root)])
    return [Row(rank, draft.choices, tuple(draft.tests)) for draft in drafts if not draft.impossible]


def _drafts(requirements: list[Requirement]) -> list[_Draft]:
    draft = _Draft()
    pending = requirements
    while pending:
        pending.extend(_take(draft, pending.pop()))
    drafts = [draft]
    for path, node in draft.alternatives:
        options = _options(path, node, COPIES_MAX // len(drafts))
        if options:
            drafts = [held.join(option) for held in drafts for option in options]
        else:
            for held in drafts:
                held.tests.append(Requirement(path, node))
    return drafts


def _options(path: Path, node: AnyNode, most: int) -> list[_Draft]:
    """Return the alternatives of an ``$or``; none when they are more than ``most``."""
    options: list[_Draft] = []
    for part in node.parts:
        options += _drafts([Requirement(path, part)])
        if len(options) > most:
            return []
    return options


def _take(draft: _Draft, requirement: Requirement) -> list[Requirement]:
    """Put one requirement into the draft, or return its parts."""
    path, node = requirement.path, requirement.node
    if isinstance(node, ObjectNode) and node.items:
        return [Requirement((*path, key), part) for key, part in node.items]
    if isinstance(node, AllNode):
        return [Requirement(path, part) for part in node.parts]
    keys = _keys(node)
    if keys is not None and path:
        draft.choose(path, keys, (node,))
    elif isinstance(node, AnyNode):
        _take_alternatives(draft, path, node)
    else:
        draft.tests.append(requirement)
    return []


def _take_alternatives(draft: _Draft, path: Path, node: AnyNode) -> None:
    keys = [_keys(part) for part in node.parts]
    if path and all(one is not None for one in keys):
        draft.choose(path, [key for one in keys if one is not None for key in one], (node,))
    else:
        draft.alternatives.append((path, node))


def _keys(node: Node) -> list[Key] | None:
    """Return the scalars of which the value must be one, if that is all that the node asks."""
    if isinstance(node, ScalarNode):
        wanted: Sequence[JsonValue] = [node.expected]
    elif isinstance(node, TestNode) and node.name == "$eq":
        wanted = [node.argument]
    elif isinstance(node, TestNode) and node.name == "$in" and isinstance(node.argument, Sequence):
        wanted = node.argument
    else:
        return None
    keys: list[Key] = []
    for value in wanted:
        key = key_of(value)
        if key is ABSENT or not (key is None or isinstance(key, str | int | Decimal | BooleanKey)):
            return None
        keys.append(key)
    return keys
