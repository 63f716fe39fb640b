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
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.contradiction import find_contradiction
from compliance_agent.domain.json_value import kind_of
from compliance_agent.domain.operators import OPERATORS, OperatorRefusedError
from compliance_agent.domain.pattern_nodes import (
    AllNode,
    AnyNode,
    ArrayNode,
    NotNode,
    ObjectNode,
    ScalarNode,
    TestNode,
    join_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_nodes import Clause, Node

DEPTH_MAX: Final = 64
"""Deepest nesting of a pattern."""

NODES_MAX: Final = 10_000
"""Most clauses, keys and elements in one pattern."""

KEY_LENGTH_MAX: Final = 1_000
"""Longest key in a pattern, in characters; paths are built of them."""


class PatternError(ValueError):
    """A pattern that must not be loaded. ``path`` says where, ``hint`` how to mend it."""

    def __init__(self, path: str, message: str, *, hint: str = "") -> None:
        """Keep where and why, and how to mend it."""
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message
        self.hint = hint


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
    """Turns JSON into nodes, counting them against the documented bounds.

    Attributes:
        questionable: A clause was met that may exclude another, or every document, so it must be proven
            that the pattern is possible. Without one it certainly is.

    """

    def __init__(self) -> None:
        self._nodes = 0
        self.questionable = False

    def compile(self, value: JsonValue, path: str, depth: int) -> Node:
        self._nodes += 1
        if depth > DEPTH_MAX:
            raise PatternError(path, f"nested deeper than {DEPTH_MAX} levels")
        if self._nodes > NODES_MAX:
            raise PatternError(path, f"more than {NODES_MAX} clauses, keys and elements in one pattern")
        if type(value) is str or type(value) is int:  # nearly all leaves
            return ScalarNode(value)
        if isinstance(value, Mapping):
            return self._compile_object(value, path, depth)
        if not isinstance(value, str) and isinstance(value, Sequence):
            elements = tuple(self.compile(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value))
            return ArrayNode(value, elements)
        try:
            kind_of(value)
        except TypeError as error:
            raise PatternError(path, str(error)) from error
        if isinstance(value, Decimal) and not value.is_finite():
            raise PatternError(path, f"{value} is no JSON number")
        return ScalarNode(value)

    def _compile_object(self, value: Mapping[str, JsonValue], path: str, depth: int) -> Node:
        if value and max(map(len, value)) > KEY_LENGTH_MAX:
            raise PatternError(path, f"a key of more than {KEY_LENGTH_MAX} characters")
        dollars = [key for key in value if key.startswith("$")]
        if not dollars:
            keys = ((key, self.compile(part, join_path(path, key), depth + 1)) for key, part in value.items())
            return ObjectNode(tuple(keys))
        return self._compile_dollars(value, dollars, path, depth)

    def _compile_dollars(self, value: Mapping[str, JsonValue], dollars: list[str], path: str, depth: int) -> Node:
        """Compile an object with keys that start with ``$``: operators, or literal keys with one ``$`` more."""
        operators = [key for key in dollars if not key.startswith("$$")]
        if not operators:
            keys = ((key[1:] if key.startswith("$$") else key, key) for key in value)
            return ObjectNode(
                tuple((key, self.compile(value[raw], join_path(path, raw), depth + 1)) for key, raw in keys)
            )
        if len(operators) != len(value):
            plain = next(key for key in value if key not in operators)
            raise PatternError(
                path,
                f"operator {operators[0]} and field {plain!r} stand in one object",
                hint="join them with $and, or write $$ for a literal key that starts with $",
            )
        parts = tuple(self._compile_operator(name, value[name], path, depth) for name in operators)
        # A document is an object, so an operator at its root may be out of place.
        self.questionable |= depth == 0 or (len(operators) > 1 and not _is_range(value))
        return parts[0] if len(parts) == 1 else AllNode(parts)

    def _compile_operator(self, name: str, argument: JsonValue, path: str, depth: int) -> Node:
        place = join_path(path, name)
        self._nodes += 1
        combine = self._COMBINERS.get(name)
        if combine is not None:
            return combine(self, argument, place, depth)
        build = OPERATORS.get(name)
        if build is None:
            known = ", ".join(sorted((*OPERATORS, *self._COMBINERS)))
            raise PatternError(place, f"unknown operator {name}", hint=f"one of {known}")
        # Only a missing field satisfies $exists: false, which no element is; no text is less than the empty one.
        self.questionable |= (name == "$exists" and "[" in path) or argument == ""
        try:
            return TestNode(name, argument, build(argument))
        except OperatorRefusedError as refused:
            raise PatternError(place, refused.message, hint=refused.hint) from refused

    def _parts(self, argument: JsonValue, place: str, depth: int) -> tuple[Node, ...]:
        if isinstance(argument, str | Mapping) or not isinstance(argument, Sequence) or not argument:
            raise PatternError(place, "needs a list of at least one pattern")
        return tuple(self.compile(item, f"{place}[{i}]", depth + 1) for i, item in enumerate(argument))

    def _and(self, argument: JsonValue, place: str, depth: int) -> Node:
        self.questionable = True
        return AllNode(self._parts(argument, place, depth))

    def _or(self, argument: JsonValue, place: str, depth: int) -> Node:
        return AnyNode(argument, self._parts(argument, place, depth))

    def _not(self, argument: JsonValue, place: str, depth: int) -> Node:
        self.questionable = True
        return NotNode(argument, self.compile(argument, place, depth + 1))

    _COMBINERS: Final[Mapping[str, Callable[[_Compiler, JsonValue, str, int], Node]]] = {
        "$and": _and,
        "$or": _or,
        "$not": _not,
    }


def _is_range(operators: Mapping[str, JsonValue]) -> bool:
    """Tell whether this is a lower bound and an upper one above it, the two operators that often stand together."""
    low = operators.get("$gte", operators.get("$gt"))
    high = operators.get("$lt", operators.get("$lte"))
    if len(operators) != 2 or not isinstance(low, int | Decimal) or not isinstance(high, int | Decimal):  # noqa: PLR2004 - a pair
        return False
    return low < high


OPERATOR_NAMES: Final = frozenset(OPERATORS) | {"$and", "$or", "$not"}
"""Every operator of the language."""


def compile_pattern(source: JsonValue, *, contradictory_too: bool = False) -> Pattern:
    """Compile a pattern.

    Args:
        source: A JSON object as read by this product (exact numbers, no binary floats).
        contradictory_too: Take a pattern that can never match as it is; for studying patterns, never for loading.

    Returns:
        The compiled pattern; matching it is thread-safe.

    Raises:
        PatternError: The pattern is no object, empty, unknown, malformed, contradictory or over the bounds.

    """
    if not isinstance(source, Mapping):
        raise PatternError("", f"a pattern is an object, this is {kind_of(source)}")
    if not source:
        raise PatternError("", "an empty pattern would match everything", hint="name at least one field")
    compiler = _Compiler()
    try:
        root = compiler.compile(source, "", 0)
    except RecursionError:
        raise PatternError("", f"nested deeper than {DEPTH_MAX} levels") from None
    if compiler.questionable and not contradictory_too:
        found = find_contradiction(root, source)
        if found is not None:
            raise PatternError(found.path, found.message, hint=found.hint)
    return Pattern(source, root)
