"""What a conjunction of clauses says about the value at one place of a document.

A ``Place`` takes in compiled nodes one by one and keeps what any value must satisfy that satisfies
them all: kinds, a finite list of values, bounds, needed fields and elements. All of it is
*necessary*, never more, so whatever ``proof`` derives from it holds for every document. What it
cannot express (a negated object, an alternative) is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.json_value import Kind, canonical, kind_of
from compliance_agent.domain.operators import Missing
from compliance_agent.domain.pattern_nodes import (
    MISSING,
    AllNode,
    AnyNode,
    ArrayNode,
    NotNode,
    ObjectNode,
    ScalarNode,
    TestNode,
)
from compliance_agent.domain.text_constraints import COMPLEMENT, Interval, TextNeeds

if TYPE_CHECKING:
    from collections.abc import Hashable
    from decimal import Decimal

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_nodes import Node

Value: TypeAlias = "JsonValue | Missing"

ABSENT: Final = 1
_BITS: Final = {kind: 2 << index for index, kind in enumerate(Kind)}
BOOLEAN: Final = _BITS[Kind.BOOLEAN]
NUMBER: Final = _BITS[Kind.NUMBER]
STRING: Final = _BITS[Kind.STRING]
ARRAY: Final = _BITS[Kind.ARRAY]
OBJECT: Final = _BITS[Kind.OBJECT]
NULL: Final = _BITS[Kind.NULL]
PRESENT: Final = NULL | BOOLEAN | NUMBER | STRING | ARRAY | OBJECT
ANYTHING: Final = PRESENT | ABSENT


class BudgetError(Exception):
    """The analysis took more steps than it may: nothing is known."""


@dataclass(slots=True)
class Budget:
    """Steps that one analysis may still take; a step is about a microsecond or two."""

    left: int
    _known: dict[int, tuple[Node, dict[Hashable, Value]]] = field(default_factory=dict, repr=False)

    def spend(self, steps: int = 1) -> None:
        """Take steps.

        Raises:
            BudgetError: None are left.

        """
        self.left -= steps
        if self.left < 0:
            raise BudgetError

    def renew(self, steps: int) -> None:
        """Begin a new analysis with so many steps."""
        self.left = steps
        self._known.clear()

    def keyed(self, node: ScalarNode | TestNode) -> dict[Hashable, Value]:
        """Return the values that a clause names, by their keys; of equal ones the first. Not to be changed.

        A clause is taken in once for each assumption, and its values may be long: their keys are kept.
        """
        known = self._known.get(id(node))
        if known is None:  # the node is kept too, so that no other one takes its id
            known = self._known[id(node)] = (node, _keyed(node))
        return known[1]


def bit_of(value: Value) -> int:
    """Return the bit of the value's kind, or ``ABSENT``."""
    return ABSENT if isinstance(value, Missing) else _BITS[kind_of(value)]


def key_of(value: Value) -> Hashable:
    """Return a key that two values share exactly when they are equal."""
    return value if isinstance(value, Missing) else canonical(value)


def listed(argument: JsonValue) -> Sequence[JsonValue]:
    """Return the list that ``$in`` or ``$nin`` was given."""
    assert isinstance(argument, Sequence)  # noqa: S101 - the operators' builders see to it
    return argument


def _keyed(node: ScalarNode | TestNode) -> dict[Hashable, Value]:
    if isinstance(node, ScalarNode):
        return {key_of(node.expected): node.expected}
    if node.name in {"$eq", "$ne"}:
        return {key_of(node.argument): node.argument}
    found: dict[Hashable, Value] = {}
    for value in listed(node.argument):
        found.setdefault(key_of(value), value)
    return found


_ELEMENTS_A_STEP: Final = 16
_CHARACTERS_A_STEP: Final = 1_024


def bulk(value: Value) -> int:
    """Return about how many steps reading the value takes, which each clause may have to do."""
    if isinstance(value, str):
        return 1 + len(value) // _CHARACTERS_A_STEP
    if not isinstance(value, Mapping | Sequence):
        return 1
    count, left = 0, [value]
    while left:
        inner = left.pop()
        count += len(inner) // _CHARACTERS_A_STEP if isinstance(inner, str) else len(inner)
        if not isinstance(inner, str):
            items = inner.values() if isinstance(inner, Mapping) else inner
            left += [item for item in items if isinstance(item, _LONG)]
    return 1 + count // _ELEMENTS_A_STEP


_LONG: Final = (str, list, tuple, Mapping)


def weight(node: Node) -> int:
    """Return about how many steps judging one value by this node takes."""
    if isinstance(node, TestNode):
        return 1 + (len(node.argument) if isinstance(node.argument, list | tuple) else 0)
    if isinstance(node, ObjectNode):
        return 1 + sum(weight(part) for _key, part in node.items)
    if isinstance(node, AllNode | AnyNode):
        return 1 + sum(weight(part) for part in node.parts)
    if isinstance(node, ArrayNode):
        return 1 + sum(weight(part) for part in node.elements)
    return 1 + weight(node.part) if isinstance(node, NotNode) else 1


class Place:
    """What is known of the value at one place.

    Attributes:
        base: Kinds that could stand here before any clause.
        kinds: Kinds that still can.
        nodes: Every clause taken in, with whether it must hold (``False``: must not).
        finite: The only values, by key, or ``None`` when there is no such list.
        forbidden: Keys of values that are out.
        number: Bounds, should it be a number.
        text: What it must satisfy, should it be a string.
        fields: What is known of each field, should it be an object.
        elements: What some element each must satisfy, should it be an array.
        tests: Those of ``nodes`` that ``finite`` and ``forbidden`` do not express.
        negatives: Nodes that must not hold and that nothing above expresses.
        choices: ``$or`` nodes, of each of which one part must hold.
        impossible: Whether no value fits; ``None`` until ``proof.possible`` has asked.
        generation: How many assumptions were added, one upon the other, to come here.

    """

    __slots__ = (
        "base",
        "budget",
        "choices",
        "element_nodes",
        "elements",
        "fields",
        "finite",
        "forbidden",
        "generation",
        "impossible",
        "kinds",
        "negatives",
        "nodes",
        "number",
        "tests",
        "text",
    )

    def __init__(self, base: int, budget: Budget, generation: int = 0) -> None:
        """Know nothing yet but which kinds can stand here."""
        self.base = self.kinds = base
        self.budget = budget
        self.generation = generation
        self.nodes: list[tuple[Node, bool]] = []
        self.tests: list[tuple[Node, bool]] = []
        self.finite: dict[Hashable, Value] | None = None
        self.forbidden: dict[Hashable, Value] | None = None
        self.number: Interval[int | Decimal] | None = None
        self.text: TextNeeds | None = None
        self.fields: dict[str, Place] | None = None
        self.element_nodes: list[Node] = []
        self.elements: list[Place] = []
        self.negatives: list[Node] = []
        self.choices: list[AnyNode] = []
        self.impossible: bool | None = None

    def add(self, node: Node, *, positive: bool = True) -> None:
        """Take in one clause: the node must hold, or must not.

        Raises:
            BudgetError: The analysis has become too long.

        """
        self.budget.spend()
        if isinstance(node, NotNode):
            self.add(node.part, positive=not positive)
        elif isinstance(node, AllNode | AnyNode) and (
            len(node.parts) == 1 or positive is isinstance(node, AllNode)
        ):  # De Morgan: "not any" is "all not"
            for part in node.parts:
                self.add(part, positive=positive)
        else:
            self.nodes.append((node, positive))
            (self._add_holding if positive else self._add_failing)(node)

    def _add_holding(self, node: Node) -> None:
        if isinstance(node, TestNode):
            self._hold_test(node)
        elif isinstance(node, ScalarNode):
            self._allow(self.budget.keyed(node))
        elif isinstance(node, ObjectNode):
            self.kinds &= OBJECT
            self.tests.append((node, True))
            for key, part in node.items:
                self.field(key).add(part)
        elif isinstance(node, ArrayNode):
            self.kinds &= ARRAY
            self.tests.append((node, True))
            self.element_nodes += node.elements
        else:
            assert isinstance(node, AnyNode)  # noqa: S101 - the others were taken apart
            self.tests.append((node, True))
            self.choices.append(node)

    def _add_failing(self, node: Node) -> None:
        if isinstance(node, ScalarNode):
            self._forbid(self.budget.keyed(node))
        elif isinstance(node, TestNode):
            self._fail_test(node)
        else:
            self._keep_failing(node)

    def field(self, key: str) -> Place:
        """Return what is known of a field of the object here."""
        if self.fields is None:
            self.fields = {}
        found = self.fields.get(key)
        if found is None:
            found = self.fields[key] = Place(ANYTHING, self.budget, self.generation)
        return found

    def accepts(self, value: Value) -> bool:
        """Tell whether every clause taken in holds for the value, by the reference meaning."""
        self.budget.spend(bulk(value) * sum(weight(node) for node, _ in self.nodes))
        return bool(self.base & bit_of(value)) and all(node.matches(value) is positive for node, positive in self.nodes)

    def assuming(self, node: Node, *, without: Sequence[AnyNode] = ()) -> Place:
        """Return a place that knows the same and one clause more; ``without`` is left out."""
        place = Place(self.base, self.budget, self.generation + 1)
        left_out = {id(one) for one in without}
        self.budget.spend(len(self.nodes) // 8)
        for known, positive in self.nodes:
            if id(known) not in left_out:
                place.add(known, positive=positive)
        place.add(node)
        return place

    def _allow(self, found: Mapping[Hashable, Value]) -> None:
        self.budget.spend(len(found))
        self.finite = dict(found) if self.finite is None else {key: found[key] for key in self.finite if key in found}

    def _forbid(self, found: Mapping[Hashable, Value]) -> None:
        self.budget.spend(len(found))
        self.forbidden = {**(self.forbidden or {}), **found}

    def _hold_test(self, node: TestNode) -> None:
        name, argument = node.name, node.argument
        if name in {"$eq", "$in"}:
            self._allow(self.budget.keyed(node))
        elif name in {"$ne", "$nin"}:
            self.kinds &= PRESENT
            self._forbid(self.budget.keyed(node))
        elif name == "$exists":
            self.kinds &= PRESENT if argument is True else ABSENT
        elif name in COMPLEMENT:
            self.kinds &= STRING if isinstance(argument, str) else NUMBER
            self._bound(name, node)
        else:
            self.tests.append((node, True))
            self.kinds &= STRING if name != "$contains" else ARRAY | STRING if isinstance(argument, str) else ARRAY
            if self.kinds & STRING:
                self.budget.spend(8 * (weight(node) - 1))  # networks take longer than other values of a list
                self.budget.spend(bulk(argument) - 1 if isinstance(argument, str) else 0)
                self._text().add(name, argument)
            if name == "$contains":
                self.element_nodes.append(ScalarNode(argument))  # equality, whatever its kind

    def _fail_test(self, node: TestNode) -> None:
        if node.name in {"$eq", "$in"}:
            self._forbid(self.budget.keyed(node))
        elif node.name in {"$ne", "$nin"}:
            self._allow({MISSING: MISSING, **self.budget.keyed(node)})
        elif node.name == "$exists":
            self.kinds &= ABSENT if node.argument is True else PRESENT
        elif node.name in COMPLEMENT:
            self._bound(COMPLEMENT[node.name], node)
        else:
            self._keep_failing(node)

    def _keep_failing(self, node: Node) -> None:
        self.tests.append((node, False))
        self.negatives.append(node)

    def _bound(self, operator: str, node: TestNode) -> None:
        """Take in a bound for values of the argument's kind; others are not touched."""
        self.tests.append((node, operator == node.name))
        limit = node.argument
        if isinstance(limit, str):
            self.budget.spend(bulk(limit) - 1)
            self._text().add(operator, limit)
        else:
            assert not isinstance(limit, Sequence | Mapping) and limit is not None  # noqa: S101, PT018 - builder
            if self.number is None:
                self.number = Interval()
            self.number.narrow(operator, limit)

    def _text(self) -> TextNeeds:
        if self.text is None:
            self.text = TextNeeds()
        return self.text
