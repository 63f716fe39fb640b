"""Proofs about patterns: that clauses can never hold together, and that one follows from others.

Both are sound and neither is complete: ``possible`` is ``False``, and ``entails`` is ``True``, only
when that holds for every document. Where the analysis does not see through, it says nothing. Its
cost is about linear in the size of the clauses; alternatives are tried one by one within a budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.constraints import (
    ABSENT,
    ANYTHING,
    ARRAY,
    BOOLEAN,
    NULL,
    NUMBER,
    OBJECT,
    PRESENT,
    STRING,
    Place,
    bit_of,
    bulk,
    key_of,
    listed,
    weight,
)
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
from compliance_agent.domain.text_constraints import COMPLEMENT, TextNeeds

if TYPE_CHECKING:
    from collections.abc import Hashable

    from compliance_agent.domain.constraints import Value
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_nodes import Node

ASSUMPTIONS_MAX: Final = 4
"""Most assumptions (one alternative of an ``$or``, the opposite of a ``$not``) that stand on each other."""

SPLIT_VALUES_MAX: Final = 16
"""Most values of a field of which each is tried as a case of its own."""


def possible(place: Place) -> bool:
    """Tell whether a value may satisfy all that the place has taken in; ``False`` is a proof that none does.

    To be asked when all clauses are in: the answer is kept.

    Raises:
        BudgetError: The analysis has become too long.

    """
    if place.impossible is None:
        place.impossible = not _judge(place)
    return not place.impossible


def _judge(place: Place) -> bool:
    place.budget.spend()
    if place.negatives and place.kinds == OBJECT:
        _push_down(place)
    _drop_kinds(place)
    if place.finite is None:
        place.finite = _enumerated(place)
    if place.finite is not None:
        place.finite = {key: value for key, value in place.finite.items() if _stays(place, key, value)}
        place.kinds = reduce(or_, (bit_of(value) for value in place.finite.values()), 0)
        return bool(place.finite)
    if not place.kinds or any(_follows(place, node) for node in place.negatives):
        return False
    return all(_some_part_possible(place, choice) for choice in place.choices)


def _push_down(place: Place) -> None:
    """On what is an object for certain, "not {k: x}" means that k is not x."""
    kept = []
    for node in place.negatives:
        if isinstance(node, ObjectNode) and len(node.items) == 1:
            key, part = node.items[0]
            place.field(key).add(NotNode(None, part))
        else:
            kept.append(node)
    place.negatives = kept


def _drop_kinds(place: Place) -> None:
    """Take away the kinds of which no value satisfies what was taken in."""
    if place.number is not None and place.number.empty:
        place.kinds &= ~NUMBER
    if place.text is not None and place.text.impossible:
        place.kinds &= ~STRING
    if place.fields and place.kinds & OBJECT and not all(possible(field) for field in place.fields.values()):
        place.kinds &= ~OBJECT
    if place.element_nodes and place.kinds & ARRAY:
        place.elements = [_element(place, node) for node in place.element_nodes]
        if not all(possible(element) for element in place.elements):
            place.kinds &= ~ARRAY


def _element(place: Place, node: Node) -> Place:
    element = Place(PRESENT, place.budget, place.generation)
    element.add(node)
    return element


def _enumerated(place: Place) -> dict[Hashable, Value] | None:
    """Return the only values that the kinds and bounds leave, where they are few."""
    if place.kinds & (ARRAY | OBJECT) or not place.kinds:
        return None
    values: list[Value] = []
    if place.kinds & NUMBER:
        number = place.number.point if place.number is not None else None
        if number is None:
            return None
        values.append(number)
    if place.kinds & STRING:
        text = place.text.bounds.point if place.text is not None else None
        if text is None:
            return None
        values.append(text)
    values += [MISSING] if place.kinds & ABSENT else []
    values += [None] if place.kinds & NULL else []
    values += [False, True] if place.kinds & BOOLEAN else []
    return {key_of(value): value for value in values}


def _stays(place: Place, key: Hashable, value: Value) -> bool:
    if not place.kinds & bit_of(value) or (place.forbidden is not None and key in place.forbidden):
        return False
    place.budget.spend(bulk(value) * sum(weight(node) for node, _ in place.tests))
    return all(node.matches(value) is positive for node, positive in place.tests)


def _some_part_possible(place: Place, choice: AnyNode) -> bool:
    """Tell whether a part of the ``$or`` may hold beside the clauses that are certain."""
    if place.generation >= ASSUMPTIONS_MAX:
        return True
    return any(possible(place.assuming(part, without=place.choices)) for part in choice.parts)


def entails(place: Place, node: Node) -> bool:
    """Tell whether every value that satisfies the place certainly satisfies the node too.

    Raises:
        BudgetError: The analysis has become too long.

    """
    return not possible(place) or _follows(place, node)


def _follows(place: Place, node: Node) -> bool:
    place.budget.spend()
    if place.finite is not None:
        return _all_satisfy(place, place.finite, node)
    if _follows_directly(place, node):
        return True
    if place.generation >= ASSUMPTIONS_MAX:
        return False
    return any(
        all(entails(place.assuming(part, without=[choice]), node) for part in choice.parts) for choice in place.choices
    ) or (isinstance(node, AnyNode) and _follows_by_values(place, node))


def _all_satisfy(place: Place, finite: Mapping[Hashable, Value], node: Node) -> bool:
    if isinstance(node, TestNode) and node.name == "$in":
        keys = place.budget.keyed(node)
        place.budget.spend(len(keys))
        return all(key in keys for key in finite)
    place.budget.spend(sum(map(bulk, finite.values())) * weight(node))
    return all(node.matches(value) for value in finite.values())


def _follows_by_values(place: Place, node: AnyNode) -> bool:
    """Try each value of a field that has few: ``{$in: [a, b]}`` implies "a or b"."""
    for key, field in (place.fields or {}).items():
        values = list((field.finite or {}).values())
        known = [value for value in values if not isinstance(value, Missing)]
        if len(known) == len(values) and 1 < len(values) <= SPLIT_VALUES_MAX:
            cases = (ObjectNode(((key, ScalarNode(value)),)) for value in known)
            if all(entails(place.assuming(case), node) for case in cases):
                return True
    return False


def _follows_directly(place: Place, node: Node) -> bool:
    if isinstance(node, TestNode):
        return _test_follows(place, node)
    if isinstance(node, ObjectNode):
        return place.kinds == OBJECT and all(entails(_field(place, key), part) for key, part in node.items)
    if isinstance(node, ArrayNode):
        return place.kinds == ARRAY and all(_has_element(place, part) for part in node.elements)
    if isinstance(node, AllNode):
        return all(_follows(place, part) for part in node.parts)
    if isinstance(node, AnyNode):
        return any(_follows(place, part) for part in node.parts)
    if isinstance(node, NotNode):
        return place.generation < ASSUMPTIONS_MAX and not possible(place.assuming(node.part))
    return False  # one value follows only where one is left, and then the list of values is finite


def _field(place: Place, key: str) -> Place:
    found = (place.fields or {}).get(key)
    return found if found is not None else Place(ANYTHING, place.budget, place.generation)


def _has_element(place: Place, node: Node) -> bool:
    return any(entails(element, node) for element in place.elements)


def _test_follows(place: Place, node: TestNode) -> bool:
    name, argument = node.name, node.argument
    if name in {"$eq", "$in"}:
        return False
    if name == "$exists":
        return argument is True and not place.kinds & ABSENT
    if name in {"$ne", "$nin"}:
        values = [argument] if name == "$ne" else listed(argument)
        return not place.kinds & ABSENT and all(_excluded(place, value) for value in values)
    if name == "$contains":
        return _contains_follows(place, argument)
    if name in COMPLEMENT and not isinstance(argument, str):
        assert not isinstance(argument, Sequence | Mapping) and argument is not None  # noqa: S101, PT018 - builder
        return place.kinds == NUMBER and place.number is not None and place.number.within(name, argument)
    return place.kinds == STRING and (place.text or TextNeeds()).satisfies(name, argument)


def _excluded(place: Place, value: JsonValue) -> bool:
    if not place.kinds & bit_of(value) or (place.forbidden is not None and key_of(value) in place.forbidden):
        return True
    return not place.accepts(value)


def _contains_follows(place: Place, argument: JsonValue) -> bool:
    if place.kinds & ~(STRING | ARRAY):
        return False
    if place.kinds & STRING and not (place.text or TextNeeds()).satisfies("$contains", argument):
        return False
    return not place.kinds & ARRAY or _has_element(place, ScalarNode(argument))
