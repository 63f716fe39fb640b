"""The compiled parts of a pattern: what each judges, and how it explains itself.

``compliance_agent.domain.pattern`` compiles JSON into these nodes. They are the reference meaning of
the language: every other engine (``rule_index``) must answer as they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from compliance_agent.domain.json_value import Kind, canonical, equal, is_scalar, kind_of
from compliance_agent.domain.operators import Missing

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterator

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.operators import Test

MISSING: Final = Missing.MISSING
"""Stands for a field that is not there; it is not ``null``."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One judged clause of a pattern against one document.

    Attributes:
        path: Place in the document, e.g. ``facts.score``; empty for the document itself.
        expected: What the pattern asks, e.g. ``$lte 4``.
        actual: What stood there; ``(missing)`` when nothing did.
        holds: The verdict.

    """

    path: str
    expected: str
    actual: str
    holds: bool


_IN_WORDS: Final[Mapping[str, str]] = {
    "$eq": "",
    "$ne": "anything but ",
    "$in": "one of ",
    "$nin": "none of ",
    "$ieq": "(in any case) ",
    "$gt": "more than ",
    "$gte": "at least ",
    "$lt": "less than ",
    "$lte": "at most ",
    "$prefix": "beginning with ",
    "$suffix": "ending in ",
    "$contains": "with ",
    "$wildcard": "like ",
    "$regex": "matching ",
    "$cidr": "within ",
}


def in_words(clause: Clause) -> str:
    """Return a clause for people: ``number is 6, expected at most 4``."""
    name, _, argument = clause.expected.partition(" ")
    expected = f"{_IN_WORDS[name]}{argument}" if name in _IN_WORDS else clause.expected
    return f"{clause.path} is {clause.actual}, expected {expected}"


class Node(Protocol):
    """One compiled part of a pattern."""

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value at this place satisfies this part."""
        ...

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Judge each clause of this part, in the pattern's order."""
        ...


def show(value: JsonValue | Missing, limit: int = 80) -> str:
    """Return a value as JSON-like text for people, cut at ``limit`` characters; no more of it than that is read."""
    text = ""
    for piece in _pieces(value, limit):
        text += piece
        if len(text) > limit:
            return f"{text[: limit - 1]}…"
    return text


def _pieces(value: JsonValue | Missing, limit: int) -> Iterator[str]:
    if isinstance(value, Missing):
        yield "(missing)"
    elif value is None:
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, str):
        yield f'"{value[: limit + 1]}"'
    elif isinstance(value, Mapping):
        opener = "{"
        for key, item in value.items():
            yield f'{opener}"{key[: limit + 1]}": '
            yield from _pieces(item, limit)
            opener = ", "
        yield "}" if value else "{}"
    elif isinstance(value, Sequence):
        yield from _array_pieces(value, limit)
    else:
        yield str(Decimal(value) if isinstance(value, int) else value)


def _array_pieces(value: Sequence[JsonValue], limit: int) -> Iterator[str]:
    opener = "["
    for item in value:
        yield opener
        yield from _pieces(item, limit)
        opener = ", "
    yield "]" if value else "[]"


def join_path(path: str, key: str) -> str:
    """Return the place of ``key`` below ``path``, for people."""
    return f"{path}.{key}" if path else key


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A plain scalar: the value there is the same scalar."""

    expected: JsonValue

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value satisfies this part."""
        return not isinstance(value, Missing) and equal(self.expected, value)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Judge each clause of this part."""
        yield Clause(path, show(self.expected), show(value), self.matches(value))


@dataclass(frozen=True, slots=True)
class ObjectNode:
    """A plain object: the value there is an object that holds every key, each value matching."""

    items: tuple[tuple[str, Node], ...]

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value satisfies this part."""
        if not isinstance(value, Mapping):
            return False
        return all(node.matches(value.get(key, MISSING)) for key, node in self.items)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Judge each clause of this part."""
        if not isinstance(value, Mapping):
            yield Clause(path, "an object", show(value), holds=False)
            return
        if not self.items:
            yield Clause(path, "an object", show(value), holds=True)
        for key, node in self.items:
            yield from node.explain(value.get(key, MISSING), join_path(path, key))


PAIRS_FEW: Final = 64
"""Up to so many pairs of elements are compared one by one; more are looked up."""


@dataclass(frozen=True, slots=True)
class ArrayNode:
    """A plain array: the value there is an array, and each element here matches one of its elements."""

    source: JsonValue
    elements: tuple[Node, ...]
    _scalars: frozenset[Hashable] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep the keys of the plain scalars, for long arrays."""
        keys = (canonical(node.expected) for node in self.elements if isinstance(node, ScalarNode))
        object.__setattr__(self, "_scalars", frozenset(keys))

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value satisfies this part."""
        if isinstance(value, Missing) or kind_of(value) is not Kind.ARRAY:
            return False
        assert isinstance(value, Sequence)  # noqa: S101 - narrows the type for mypy; kind_of said so
        if len(self.elements) * len(value) <= PAIRS_FEW:
            return all(any(node.matches(item) for item in value) for node in self.elements)
        return self._matches_long(value)

    def _matches_long(self, value: Sequence[JsonValue]) -> bool:
        """Answer the same for long arrays: plain scalars, and objects with a plain field, are looked up."""
        if self._scalars and not self._scalars <= {canonical(item) for item in value if is_scalar(item)}:
            return False
        others = [node for node in self.elements if not isinstance(node, ScalarNode)]
        holders = _holders({key for node in others for key, _ in _plain_fields(node)}, value)
        for node in others:
            found = [holders.get(pair, ()) for pair in _plain_fields(node)]
            if not any(node.matches(item) for item in min(found, key=len, default=value)):
                return False
        return True

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Judge each clause of this part."""
        yield Clause(path, f"an array with all of {show(self.source)}", show(value), self.matches(value))


def _plain_fields(node: Node) -> list[tuple[str, Hashable]]:
    """Return the fields of which this part asks one plain scalar, with its key."""
    if not isinstance(node, ObjectNode):
        return []
    return [(key, canonical(part.expected)) for key, part in node.items if isinstance(part, ScalarNode)]


def _holders(fields: Container[str], value: Sequence[JsonValue]) -> Mapping[tuple[str, Hashable], Sequence[JsonValue]]:
    """Return which elements hold which scalar in which of these fields."""
    found: dict[tuple[str, Hashable], list[JsonValue]] = {}
    for item in value:
        if isinstance(item, Mapping):
            for key, inner in item.items():
                if key in fields and is_scalar(inner):
                    found.setdefault((key, canonical(inner)), []).append(item)
    return found


@dataclass(frozen=True, slots=True)
class TestNode:
    """One operator applied to the value."""

    name: str
    argument: JsonValue
    test: Test

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value satisfies this part."""
        return self.test(value)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Judge each clause of this part."""
        yield Clause(path, f"{self.name} {show(self.argument)}", show(value), self.test(value))


@dataclass(frozen=True, slots=True)
class AllNode:
    """Every part holds for the same value (several operators at one place, or ``$and``)."""

    parts: tuple[Node, ...]

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value satisfies this part."""
        return all(part.matches(value) for part in self.parts)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Judge each clause of this part."""
        for part in self.parts:
            yield from part.explain(value, path)


@dataclass(frozen=True, slots=True)
class AnyNode:
    """At least one part holds for the same value (``$or``)."""

    source: JsonValue
    parts: tuple[Node, ...]

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value satisfies this part."""
        return any(part.matches(value) for part in self.parts)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Yield one clause when it holds; else those of the alternative that came nearest (the first of several)."""
        if self.matches(value):
            yield Clause(path, f"$or {show(self.source)}", show(value), holds=True)
            return
        alternatives = [list(part.explain(value, path)) for part in self.parts]
        yield from min(alternatives, key=lambda clauses: sum(not clause.holds for clause in clauses))


@dataclass(frozen=True, slots=True)
class NotNode:
    """The part does not hold for the value (``$not``)."""

    source: JsonValue
    part: Node

    def matches(self, value: JsonValue | Missing) -> bool:
        """Tell whether the value satisfies this part."""
        return not self.part.matches(value)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Judge each clause of this part."""
        yield Clause(path, f"$not {show(self.source)}", show(value), self.matches(value))
