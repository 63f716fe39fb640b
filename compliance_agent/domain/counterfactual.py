"""Counterfactuals: the smallest change of a document with which a pattern would match it.

What is reported is certain: the edited document was really matched, and each edit is needed (without
it the pattern would not match). Where the clauses are independent of each other it is also the
cheapest change; where several must agree (``$and``, ``$not``, several operators at one place) it is
the cheapest of those that a bounded search found. Cost is counted in edits; fields that say which
incident this is cost more (``compliance_agent.domain.edits``). Where nothing certain can be made, as
for most regular expressions, nothing is guessed: ``unsuggested`` names those clauses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.counterfactual_search import BUDGET, BudgetSpentError, Search, children
from compliance_agent.domain.edits import SUBJECT_COST, EditKind, apply, difference, is_subject
from compliance_agent.domain.pattern_nodes import MISSING, AllNode, AnyNode, ObjectNode, join_path, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.edits import Edit
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern import Pattern
    from compliance_agent.domain.pattern_nodes import Clause, Node
    from compliance_agent.domain.suggested_values import Value

EDITS_MAX: Final = 16
"""Most edits of one counterfactual; more would tell nobody anything."""

_FAR: Final = 10**9 + 7
_UNLIKELY: Final = ("\u2e2e", "0-qz-\u2e2e")


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Edits of a document with which the pattern matches it.

    Attributes:
        edits: At least one needed edit, none inside another; empty when the document matches as it is.
        cost: Sum of the edits' costs.

    """

    edits: tuple[Edit, ...]
    cost: int

    def in_words(self, document: Mapping[str, JsonValue]) -> str:
        """Return ``facts.score were 4 and facts.users also held "a" and "b"``."""
        said: list[str] = []
        before: Edit | None = None
        for edit in self.edits:
            again = before is not None and edit.kind is EditKind.ADD is before.kind and edit.path == before.path
            said.append(show(edit.value) if again else edit.in_words(document))
            before = edit
        return " and ".join(said)


def counterfactual(
    pattern: Pattern, document: Mapping[str, JsonValue], *, budget: int = BUDGET
) -> Counterfactual | None:
    """Return the smallest change of the document that makes the pattern match it.

    Args:
        pattern: What shall match.
        document: What does not match yet; it is not changed.
        budget: Most steps of the search; a step is about one clause judged once.

    Returns:
        The change; ``None`` when no certain one was found within ``EDITS_MAX`` edits and the budget.

    """
    if pattern.matches(document):
        return Counterfactual((), 0)
    search = Search(budget)
    best: Counterfactual | None = None
    try:
        for edited in search.solve((pattern.root, True), document, ()):
            assert isinstance(edited, Mapping)  # noqa: S101 - narrows the type for mypy; a document stays an object
            edits = _needed(search, pattern, document, list(difference(document, edited)))
            cost = sum(edit.cost for edit in edits)
            if edits and (best is None or cost < best.cost):
                best = Counterfactual(edits, cost)
    except BudgetSpentError:
        pass  # what was found so far is certain
    if best is None:
        return None
    return replace(best, edits=tuple(_marked(pattern, document, _in_order(pattern, document, best.edits))))


def unsuggested(pattern: Pattern, document: Mapping[str, JsonValue], *, budget: int = BUDGET) -> list[Clause]:
    """Return the failing clauses that no value could be made for, each judged by itself.

    Empty where every clause alone could be satisfied: then the clauses contradict each other, or the
    change is too large to be told.
    """
    search = Search(budget)
    found: list[Clause] = []
    try:
        for node, value, path in _failing(pattern.root, document, ()):
            if not search.solve((node, True), value, path):
                found += [clause for clause in node.explain(value, _place(path)) if not clause.holds]
    except BudgetSpentError:
        pass  # those named are certain
    return found


def failing_count(pattern: Pattern, document: Mapping[str, JsonValue]) -> int:
    """Return how many clauses of an explanation fail (of ``$or`` the nearest alternative), without writing it."""
    return _count(pattern.root, document)


def distance(pattern: Pattern, document: Mapping[str, JsonValue]) -> tuple[int, bool]:
    """Return how far the document is from matching, quickly and roughly: for ranking thousands of patterns.

    Returns:
        The failing clauses, one that says what an incident is about (``check_id`` and its like) counted
        ``SUBJECT_COST`` times and of ``$or`` the nearest alternative only; and whether no clause holds at all.

    """
    weight, holds = _tally(pattern.root, document, 1)
    return weight, not holds


def _tally(node: Node, value: Value, weight: int, *, top: bool = True) -> tuple[int, bool]:
    """Return the weight of what fails, and whether anything holds."""
    if isinstance(node, ObjectNode) and isinstance(value, Mapping) and node.items:
        parts = [
            _tally(child, value.get(key, MISSING), SUBJECT_COST if top and is_subject(key) else weight, top=False)
            for key, child in node.items
        ]
    elif isinstance(node, AllNode):
        parts = [_tally(part, value, weight, top=top) for part in node.parts]
    elif isinstance(node, AnyNode):
        return min((_tally(part, value, weight, top=top) for part in node.parts), key=lambda one: (one[0], not one[1]))
    else:
        holds = node.matches(value)
        return (0 if holds else weight), holds
    return sum(failing for failing, _ in parts), any(holds for _, holds in parts)


def _count(node: Node, value: Value) -> int:
    if isinstance(node, ObjectNode) and isinstance(value, Mapping):
        return sum(_count(child, value.get(key, MISSING)) for key, child in node.items)
    if isinstance(node, AllNode):
        return sum(_count(part, value) for part in node.parts)
    if isinstance(node, AnyNode):
        return min(_count(part, value) for part in node.parts)
    return 0 if node.matches(value) else 1


def _needed(search: Search, pattern: Pattern, document: Mapping[str, JsonValue], edits: list[Edit]) -> tuple[Edit, ...]:
    """Return the edits without those that are not needed; empty when they are too many or do not do."""
    goal = (pattern.root, True)
    if len(edits) > EDITS_MAX or not search.holds(goal, apply(document, edits)):
        return ()
    index = 0
    while index < len(edits):
        fewer = edits[:index] + edits[index + 1 :]
        if search.holds(goal, apply(document, fewer)):
            edits, index = fewer, 0  # one that was needed before may not be any more
        else:
            index += 1
    return tuple(edits)


def _in_order(pattern: Pattern, document: Mapping[str, JsonValue], edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Return the edits in the order of the failing clauses that they mend."""
    order = {path[:length]: rank for rank, path in _failing_paths(pattern, document) for length in range(len(path) + 1)}
    return tuple(sorted(edits, key=lambda edit: order.get(edit.path, len(order))))


def _failing_paths(pattern: Pattern, document: Mapping[str, JsonValue]) -> list[tuple[int, tuple[str, ...]]]:
    """Return the failing clauses' places with their rank, the last first, so that the first one counts."""
    return [*enumerate(path for _, _, path in _failing(pattern.root, document, ()))][::-1]


def _marked(pattern: Pattern, document: Mapping[str, JsonValue], edits: tuple[Edit, ...]) -> Iterator[Edit]:
    """Yield the edits; one whose value could as well be an unlikely one is marked as an example."""
    for index, edit in enumerate(edits):
        unlikely = _unlikely(edit.value) if edit.kind is EditKind.SET else ()
        variants = ([*edits[:index], replace(edit, value=one), *edits[index + 1 :]] for one in unlikely)
        example = bool(unlikely) and all(pattern.matches(apply(document, variant)) for variant in variants)
        yield replace(edit, example=example)


def _unlikely(value: JsonValue) -> tuple[JsonValue, ...]:
    if isinstance(value, bool):
        return (not value, *_UNLIKELY)
    if isinstance(value, int):
        return (value + _FAR, value - _FAR)
    if isinstance(value, Decimal):
        return (_FAR, -_FAR)
    return _UNLIKELY if isinstance(value, str) else ()


def _failing(node: Node, value: Value, path: tuple[str, ...]) -> Iterator[tuple[Node, Value, tuple[str, ...]]]:
    if isinstance(node, ObjectNode) and isinstance(value, Mapping):
        for key, child in node.items:
            yield from _failing(child, value.get(key, MISSING), (*path, key))
    elif isinstance(node, AllNode):
        for part in children(node):
            yield from _failing(part, value, path)
    elif not node.matches(value):
        yield node, value, path


def _place(path: tuple[str, ...]) -> str:
    text = ""
    for key in path:
        text = join_path(text, key)
    return text
