"""The search behind counterfactuals: which nearby values would satisfy, or break, part of a pattern.

For each part of a pattern a few candidate values are made, cheapest first. Parts of an object are
independent, so the best of each makes the best object. Operators at one place, and ``$and``, must
agree: a value that satisfies all is looked for among their proposals, then by mending one part
after the other. Every step is charged against a budget, so hostile input costs a bounded time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.edits import COST_OF_FIELD, EditKind, difference
from compliance_agent.domain.json_value import Kind, kind_of
from compliance_agent.domain.operators import Missing
from compliance_agent.domain.pattern_nodes import (
    MISSING,
    AllNode,
    AnyNode,
    ArrayNode,
    Node,
    NotNode,
    ObjectNode,
    ScalarNode,
    TestNode,
)
from compliance_agent.domain.suggested_values import beside, merged, others, values_against, values_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.suggested_values import Value

Path: TypeAlias = tuple[str, ...]
Goal: TypeAlias = tuple[Node, bool]
"""A part of a pattern, and whether it shall hold."""

BUDGET: Final = 300_000
"""Most steps of one search; a step is about one clause judged once."""

CANDIDATES_MAX: Final = 6
"""Most values that are followed for one part."""

_POOLED_GOALS_MAX: Final = 32
_ELEMENTS: Final[tuple[JsonValue, ...]] = (True, "other", 0, None)
"""What an element can be of which is only said what it is not."""

_PASSES_MAX: Final = 3

_REMOVAL_SIZE: Final = 2
"""At equal cost another value is told before a removal, and a removal before a whole object."""


class BudgetSpentError(Exception):
    """The search was ended because it would take too long."""


class Search:
    """One search, with its budget."""

    def __init__(self, budget: int = BUDGET) -> None:
        """Start with the whole budget."""
        self._left = budget
        self._sizes: dict[int, int] = {}

    def charge(self, steps: int) -> None:
        """Take steps off the budget.

        Raises:
            BudgetSpentError: Nothing is left.

        """
        self._left -= steps
        if self._left < 0:
            raise BudgetSpentError

    def holds(self, goal: Goal, value: Value) -> bool:
        """Judge one part, at its price."""
        node, wanted = goal
        self.charge(self.size(node) * self._breadth(node, value))
        return node.matches(value) is wanted

    def size(self, node: Node) -> int:
        """Return how many nodes a part has, itself included."""
        known = self._sizes.get(id(node))
        if known is None:
            known = 1 + sum(self.size(child) for child in children(node))
            self._sizes[id(node)] = known
        return known

    @staticmethod
    def _breadth(node: Node, value: Value) -> int:
        """Return how many elements of the document each element of the pattern is compared with."""
        if not isinstance(value, Sequence) or isinstance(value, str):
            return 1
        if isinstance(node, ArrayNode):
            return len(value) + 1
        return 1 + len(value) // 4 if isinstance(node, TestNode) and node.name == "$contains" else 1

    def solve(self, goal: Goal, value: Value, path: Path) -> list[Value]:
        """Return up to ``CANDIDATES_MAX`` values that reach the goal, cheapest change first.

        Raises:
            BudgetSpentError: It would take too long.

        """
        if self.holds(goal, value):
            return [value]
        priced: list[tuple[tuple[int, int], int, Value]] = []
        for candidate in self._propose(goal, value, path):
            if path or isinstance(candidate, Mapping):  # a document stays an object
                priced.append((self._cost(value, candidate, path), len(priced), candidate))
        priced.sort(key=lambda one: one[:2])
        return [candidate for _, _, candidate in priced[:CANDIDATES_MAX]]

    def _cost(self, value: Value, candidate: Value, path: Path) -> tuple[int, int]:
        """Return the cost of the edits, then how much has to be made up."""
        if isinstance(value, Missing) or isinstance(candidate, Missing):
            size = _REMOVAL_SIZE if isinstance(candidate, Missing) else _leaves(candidate)
            self.charge(size)
            return COST_OF_FIELD.get(path[0], 1) if path else 1, size
        self.charge(_width(candidate) // 8)
        edits = list(difference(value, candidate, path))
        sizes = (_REMOVAL_SIZE if edit.kind is EditKind.REMOVE else _leaves(edit.value) for edit in edits)
        return sum(edit.cost for edit in edits), sum(sizes)

    def _propose(self, goal: Goal, value: Value, path: Path) -> Iterable[Value]:
        node, wanted = goal
        self.charge(1)
        if isinstance(node, NotNode):
            return self._propose((node.part, not wanted), value, path)
        if isinstance(node, ScalarNode):
            return [node.expected] if wanted else others(value)
        if isinstance(node, TestNode):
            values = (values_for if wanted else values_against)(node.name, node.argument, value)
            return [one for one in values if node.test(one) is wanted]
        if isinstance(node, ObjectNode):
            return self._complete_object(node, value, path) if wanted else self._break_object(node, value, path)
        if isinstance(node, ArrayNode):
            return self._complete_array(node, value, path) if wanted else self._break_array(node, value)
        if isinstance(node, AllNode | AnyNode):
            goals = [(part, wanted) for part in node.parts]
            joint = isinstance(node, AllNode) is wanted
            return self._reach_all(goals, value, path) if joint else self._reach_one(goals, value, path)
        return []

    def _complete_object(self, node: ObjectNode, value: Value, path: Path) -> list[Value]:
        base = dict(value) if isinstance(value, Mapping) else {}
        self.charge(len(base) // 16)
        variants: list[tuple[str, Value]] = []
        for key, child in node.items:
            found = self.solve((child, True), base.get(key, MISSING), (*path, key))
            if not found:
                return []
            _put(base, key, found[0])
            variants += [(key, one) for one in found[1:]]
        return [base, *(_with(base, key, one) for key, one in variants[: CANDIDATES_MAX - 1])]

    def _break_object(self, node: ObjectNode, value: Value, path: Path) -> list[Value]:
        if not isinstance(value, Mapping):
            return []
        broken: list[Value] = []
        for key, child in node.items:
            self.charge(len(value) // 16)
            broken += [
                _with(value, key, one)
                for one in self.solve((child, False), value.get(key, MISSING), (*path, key))[:CANDIDATES_MAX]
            ]
        return [*broken, MISSING, None]

    def _complete_array(self, node: ArrayNode, value: Value, path: Path) -> list[Value]:
        there = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
        whole: list[JsonValue] = list(there)
        for element in node.elements:
            if any(self.holds((element, True), item) for item in whole):
                continue
            made = [one for one in self.solve((element, True), MISSING, (*path, "")) if not isinstance(one, Missing)]
            made += [one for one in _ELEMENTS if not made and self.holds((element, True), one)]
            if not made:
                return []
            whole.append(made[0])
        return [whole]

    def _break_array(self, node: ArrayNode, value: Value) -> list[Value]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return []
        broken: list[Value] = [
            [item for item in value if not self.holds((element, True), item)] for element in node.elements
        ]
        return [*broken, MISSING, None]

    def _reach_one(self, goals: Sequence[Goal], value: Value, path: Path) -> list[Value]:
        """Return the candidates of every alternative."""
        return [candidate for goal in goals for candidate in self.solve(goal, value, path)]

    def _reach_all(self, goals: Sequence[Goal], value: Value, path: Path) -> list[Value]:
        """Return values that reach all goals at one place at once."""
        pool: list[Value] = []
        if len(goals) <= _POOLED_GOALS_MAX:
            pool = [one for goal in goals if not self.holds(goal, value) for one in self.solve(goal, value, path)]
            pool += merged(_operators(goals), value)
        found = [one for one in pool if all(self.holds(goal, one) for goal in goals)]
        if not found and len(pool) <= _POOLED_GOALS_MAX:
            near = [other for one in pool for other in beside(one)]
            found = [one for one in near if all(self.holds(goal, one) for goal in goals)]
        for start in [value, *pool] if not found else []:
            found += self._mend(goals, start, path)
            if len(found) >= CANDIDATES_MAX:
                break
        return found

    def _mend(self, goals: Sequence[Goal], value: Value, path: Path) -> list[Value]:
        """Mend one goal after the other until all are reached; empty when they keep breaking each other."""
        for _ in range(_PASSES_MAX):
            for goal in goals:
                candidates = self.solve(goal, value, path)
                if not candidates:
                    return []
                value = self._least_broken(goals, candidates)
            if all(self.holds(goal, value) for goal in goals):
                return [value]
        return []

    def _least_broken(self, goals: Sequence[Goal], candidates: Sequence[Value]) -> Value:
        """Return the candidate with which most goals are reached; of equals the cheapest."""
        if len(candidates) == 1 or len(goals) > _POOLED_GOALS_MAX:
            return candidates[0]
        return max(candidates, key=lambda one: sum(self.holds(goal, one) for goal in goals))


def children(node: Node) -> Sequence[Node]:
    """Return the parts directly below a part of a pattern."""
    if isinstance(node, ObjectNode):
        return [child for _, child in node.items]
    if isinstance(node, ArrayNode):
        return node.elements
    if isinstance(node, AllNode | AnyNode):
        return node.parts
    return [node.part] if isinstance(node, NotNode) else []


def _operators(goals: Iterable[Goal]) -> list[TestNode]:
    """Return the operators that shall hold, those of ``$and`` lists included."""
    found: list[TestNode] = []
    waiting = [node for node, wanted in goals if wanted]
    while waiting:
        node = waiting.pop()
        if isinstance(node, TestNode):
            found.append(node)
        elif isinstance(node, AllNode):
            waiting += node.parts
    return found[::-1]


def _put(base: dict[str, JsonValue], key: str, value: Value) -> None:
    if isinstance(value, Missing):
        base.pop(key, None)
    else:
        base[key] = value


def _with(base: Mapping[str, JsonValue], key: str, value: Value) -> dict[str, JsonValue]:
    changed = dict(base)
    _put(changed, key, value)
    return changed


def _width(value: JsonValue) -> int:
    return len(value) if isinstance(value, Mapping) or kind_of(value) is Kind.ARRAY else 1  # type: ignore[arg-type]  # kind_of said so


def _leaves(value: JsonValue) -> int:
    if isinstance(value, Mapping):
        return 1 + sum(map(_leaves, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return 1 + sum(map(_leaves, value))
    return 1 if value is not None else _REMOVAL_SIZE + 1
