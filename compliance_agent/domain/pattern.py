"""Incident patterns: JSONB-style containment plus operators. The one language of all judgements.

Rules, ``applies_when``, ``pass_when`` and guards of runbooks are all patterns of this module.
``docs/PATTERNS.md`` is the specification. In short: without operators a pattern means exactly
PostgreSQL's ``document::jsonb @> pattern::jsonb``; an object whose keys all start with ``$`` is a
set of operators that must all hold for the value at that place; ``$$name`` writes a literal key
``$name``. Matching never raises: an operator that does not fit the value simply does not match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from compliance_agent.domain.json_value import Kind, equal, kind_of
from compliance_agent.domain.operators import OPERATORS, Missing, OperatorRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.operators import Test

MISSING: Final = Missing.MISSING
"""Stands for a field that is not there; it is not ``null``."""

DEPTH_MAX: Final = 64
"""Deepest nesting of a pattern."""

NODES_MAX: Final = 10_000
"""Most clauses, keys and elements in one pattern."""


class PatternError(ValueError):
    """A pattern that must not be loaded. ``path`` says where, ``hint`` how to mend it."""

    def __init__(self, path: str, message: str, *, hint: str = "") -> None:
        """Keep where and why, and how to mend it."""
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.hint = hint


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
    """Return a value as JSON-like text for people, cut at ``limit`` characters."""
    text = _render(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _render(value: JsonValue | Missing) -> str:
    if isinstance(value, Missing):
        return "(missing)"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_render(item)}' for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_render(item) for item in value) + "]"
    return str(value)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


@dataclass(frozen=True, slots=True)
class _Scalar:
    """A plain scalar: the value there is the same scalar."""

    expected: JsonValue

    def matches(self, value: JsonValue | Missing) -> bool:
        return not isinstance(value, Missing) and equal(self.expected, value)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        yield Clause(path, show(self.expected), show(value), self.matches(value))


@dataclass(frozen=True, slots=True)
class _Object:
    """A plain object: the value there is an object that holds every key, each value matching."""

    items: tuple[tuple[str, Node], ...]

    def matches(self, value: JsonValue | Missing) -> bool:
        if not isinstance(value, Mapping):
            return False
        return all(node.matches(value.get(key, MISSING)) for key, node in self.items)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        if not isinstance(value, Mapping):
            yield Clause(path, "an object", show(value), holds=False)
            return
        if not self.items:
            yield Clause(path, "an object", show(value), holds=True)
        for key, node in self.items:
            yield from node.explain(value.get(key, MISSING), _join(path, key))


@dataclass(frozen=True, slots=True)
class _Array:
    """A plain array: the value there is an array, and each element here matches one of its elements."""

    source: JsonValue
    elements: tuple[Node, ...]

    def matches(self, value: JsonValue | Missing) -> bool:
        if isinstance(value, Missing) or kind_of(value) is not Kind.ARRAY:
            return False
        assert isinstance(value, Sequence)  # noqa: S101 - narrows the type for mypy; kind_of said so
        return all(any(node.matches(item) for item in value) for node in self.elements)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        yield Clause(path, f"an array with all of {show(self.source)}", show(value), self.matches(value))


@dataclass(frozen=True, slots=True)
class _Test:
    """One operator applied to the value."""

    name: str
    argument: JsonValue
    test: Test

    def matches(self, value: JsonValue | Missing) -> bool:
        return self.test(value)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        yield Clause(path, f"{self.name} {show(self.argument)}", show(value), self.test(value))


@dataclass(frozen=True, slots=True)
class _All:
    """Every part holds for the same value (several operators at one place, or ``$and``)."""

    parts: tuple[Node, ...]

    def matches(self, value: JsonValue | Missing) -> bool:
        return all(part.matches(value) for part in self.parts)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        for part in self.parts:
            yield from part.explain(value, path)


@dataclass(frozen=True, slots=True)
class _Any:
    """At least one part holds for the same value (``$or``)."""

    source: JsonValue
    parts: tuple[Node, ...]

    def matches(self, value: JsonValue | Missing) -> bool:
        return any(part.matches(value) for part in self.parts)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        """Yield one clause when it holds; else those of the alternative that came nearest (the first of several)."""
        if self.matches(value):
            yield Clause(path, f"$or {show(self.source)}", show(value), holds=True)
            return
        alternatives = [list(part.explain(value, path)) for part in self.parts]
        yield from min(alternatives, key=lambda clauses: sum(not clause.holds for clause in clauses))


@dataclass(frozen=True, slots=True)
class _Not:
    """The part does not hold for the value (``$not``)."""

    source: JsonValue
    part: Node

    def matches(self, value: JsonValue | Missing) -> bool:
        return not self.part.matches(value)

    def explain(self, value: JsonValue | Missing, path: str) -> Iterator[Clause]:
        yield Clause(path, f"$not {show(self.source)}", show(value), self.matches(value))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern.

    Attributes:
        source: The pattern as written.
        root: Its compiled form.

    """

    source: Mapping[str, JsonValue]
    root: Node

    def matches(self, document: Mapping[str, JsonValue]) -> bool:
        """Tell whether the document matches. Never raises."""
        return self.root.matches(document)

    def explain(self, document: Mapping[str, JsonValue]) -> list[Clause]:
        """Judge each clause on its own, in the pattern's order; all hold exactly when it matches."""
        return list(self.root.explain(document, ""))

    def first_failing(self, document: Mapping[str, JsonValue]) -> Clause | None:
        """Return the first clause that does not hold, or ``None`` when the document matches."""
        return next((clause for clause in self.root.explain(document, "") if not clause.holds), None)


class _Compiler:
    """Turns JSON into nodes, counting them against the documented bounds."""

    def __init__(self) -> None:
        self._nodes = 0

    def compile(self, value: JsonValue, path: str, depth: int) -> Node:
        self._nodes += 1
        if depth > DEPTH_MAX:
            raise PatternError(path, f"nested deeper than {DEPTH_MAX} levels")
        if self._nodes > NODES_MAX:
            raise PatternError(path, f"more than {NODES_MAX} clauses, keys and elements in one pattern")
        if isinstance(value, Mapping):
            return self._compile_object(value, path, depth)
        if not isinstance(value, str) and isinstance(value, Sequence):
            elements = tuple(self.compile(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value))
            return _Array(value, elements)
        try:
            kind_of(value)
        except TypeError as error:
            raise PatternError(path, str(error)) from error
        return _Scalar(value)

    def _compile_object(self, value: Mapping[str, JsonValue], path: str, depth: int) -> Node:
        operators = [key for key in value if key.startswith("$") and not key.startswith("$$")]
        if not operators:
            keys = ((key[1:] if key.startswith("$$") else key, key) for key in value)
            return _Object(tuple((key, self.compile(value[raw], _join(path, raw), depth + 1)) for key, raw in keys))
        if len(operators) != len(value):
            plain = next(key for key in value if key not in operators)
            raise PatternError(
                path,
                f"operator {operators[0]} and field {plain!r} stand in one object",
                hint="join them with $and, or write $$ for a literal key that starts with $",
            )
        parts = tuple(self._compile_operator(name, value[name], path, depth) for name in operators)
        return parts[0] if len(parts) == 1 else _All(parts)

    def _compile_operator(self, name: str, argument: JsonValue, path: str, depth: int) -> Node:
        place = _join(path, name)
        self._nodes += 1
        combine = self._COMBINERS.get(name)
        if combine is not None:
            return combine(self, argument, place, depth)
        build = OPERATORS.get(name)
        if build is None:
            known = ", ".join(sorted((*OPERATORS, *self._COMBINERS)))
            raise PatternError(place, f"unknown operator {name}", hint=f"one of {known}")
        try:
            return _Test(name, argument, build(argument))
        except OperatorRefusedError as refused:
            raise PatternError(place, refused.message, hint=refused.hint) from refused

    def _parts(self, argument: JsonValue, place: str, depth: int) -> tuple[Node, ...]:
        if isinstance(argument, str | Mapping) or not isinstance(argument, Sequence) or not argument:
            raise PatternError(place, "needs a list of at least one pattern")
        return tuple(self.compile(item, f"{place}[{i}]", depth + 1) for i, item in enumerate(argument))

    def _and(self, argument: JsonValue, place: str, depth: int) -> Node:
        return _All(self._parts(argument, place, depth))

    def _or(self, argument: JsonValue, place: str, depth: int) -> Node:
        return _Any(argument, self._parts(argument, place, depth))

    def _not(self, argument: JsonValue, place: str, depth: int) -> Node:
        return _Not(argument, self.compile(argument, place, depth + 1))

    _COMBINERS: Final[Mapping[str, Callable[[_Compiler, JsonValue, str, int], Node]]] = {
        "$and": _and,
        "$or": _or,
        "$not": _not,
    }


OPERATOR_NAMES: Final = frozenset(OPERATORS) | {"$and", "$or", "$not"}
"""Every operator of the language."""


def compile_pattern(source: JsonValue) -> Pattern:
    """Compile a pattern.

    Args:
        source: A JSON object as read by this product (exact numbers, no binary floats).

    Returns:
        The compiled pattern; matching it is thread-safe.

    Raises:
        PatternError: The pattern is no object, empty, unknown, malformed or over the bounds.

    """
    if not isinstance(source, Mapping):
        raise PatternError("", f"a pattern is an object, this is {kind_of(source)}")
    if not source:
        raise PatternError("", "an empty pattern would match everything", hint="name at least one field")
    try:
        root = _Compiler().compile(source, "", 0)
    except RecursionError:
        raise PatternError("", f"nested deeper than {DEPTH_MAX} levels") from None
    return Pattern(source, root)
