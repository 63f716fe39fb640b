"""Leaves that look a value up in a table, by order, or by presence."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.pattern_index.plan import Interval
from compliance_agent.domain.pattern_index.rows import ABSENT, key_of
from compliance_agent.domain.pattern_index.tree import NO_BOX, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from compliance_agent.domain.pattern_index.rows import Row
    from compliance_agent.domain.pattern_index.tree import Boxes, Leaf, Place, Run, Target

    Build = Callable[[Sequence[Row]], Target]
    Entries = Sequence[tuple[Any, Row]]

SLOTS_PER_ROW_MAX: Final = 24
"""Most elementary intervals that a row of a range index may fill on average; above it a segment tree is used."""

FEW_KEYS: Final = 4
"""Up to so many keys are asked for one by one; more are intersected with the document's own."""


def delicate(place: Place, table: Mapping[object, Target]) -> Leaf:
    """Return a lookup in a table in which ``true`` must not be taken for 1, nor a missing field for ``null``."""
    return (_run_delicate, place, table)


def _run_delicate(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    _, (box, key, open_box), table = leaf
    target = table.get(key_of((boxes[box] or open_box(boxes, box)).get(key, ABSENT)))
    if target is not None:
        reach(target, boxes, found)


def any_of(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a lookup for long lists of values."""
    rows: dict[object, list[Row]] = defaultdict(list)
    for keys, row in entries:
        for one in keys:
            rows[one].append(row)
    return delicate(place, _targets(rows, build))


def existence(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a look at which fields an object has, and which not."""
    present: dict[str, list[Row]] = defaultdict(list)
    absent: dict[str, list[Row]] = defaultdict(list)
    for (name, wanted), row in entries:
        (present if wanted else absent)[name].append(row)
    if_there, if_not = _targets(present, build), tuple(_targets(absent, build).items())
    if len(if_there) <= FEW_KEYS:
        return (run_existence, place, tuple(if_there.items()), {}.keys(), {}, if_not)
    return (run_existence, place, (), if_there.keys(), if_there, if_not)


def run_existence(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    """Take what the presence and absence of fields leads to."""
    _, (box, _, open_box), few, many, targets, absent = leaf
    fields = boxes[box] or open_box(boxes, box)
    for name, target in few:
        if name in fields:
            reach(target, boxes, found)
    if not many.isdisjoint(fields):
        for name in many & fields.keys():
            reach(targets[name], boxes, found)
    if absent and fields is not NO_BOX:
        for name, target in absent:
            if name not in fields:
                reach(target, boxes, found)


def numbers(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a lookup of the intervals of numbers that hold a value."""
    return _intervals(place, entries, build, (run_elementary_numbers, _run_tree_numbers))


def strings(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a lookup of the intervals of strings that hold a value."""
    return _intervals(place, entries, build, (_run_elementary_strings, _run_tree_strings))


def _intervals(place: Place, entries: Entries, build: Build, runs: tuple[Run, Run]) -> Leaf:
    intervals = [entry[0] for entry in entries]
    points = sorted({bound for one in intervals for bound in (one.low, one.high) if bound is not None})
    spans = [_span(points, one) for one in intervals]
    filled = sum(last - first + 1 for first, last in spans)
    rows = [entry[1] for entry in entries]
    if filled > SLOTS_PER_ROW_MAX * len(rows):
        size = 1 << (2 * len(points)).bit_length()
        return (runs[1], place, tuple(points), size, _tree_nodes(size, spans, rows, build))
    return (runs[0], place, tuple(points), _slots(2 * len(points) + 1, spans, rows, build))


def _span(points: Sequence[Any], interval: Interval) -> tuple[int, int]:
    """Return the first and last slot of an interval."""
    first = 0 if interval.low is None else 2 * bisect_left(points, interval.low) + 1 + interval.low_open
    last = 2 * len(points) if interval.high is None else 2 * bisect_left(points, interval.high) + 1 - interval.high_open
    return first, last


def _slots(count: int, spans: Sequence[tuple[int, int]], rows: Sequence[Row], build: Build) -> tuple[Target, ...]:
    by_slot: list[list[Row]] = [[] for _ in range(count)]
    for (first, last), row in zip(spans, rows, strict=True):
        for slot in range(first, last + 1):
            by_slot[slot].append(row)
    shared: dict[tuple[int, ...], Target] = {(): []}
    targets: list[Target] = []
    for held in by_slot:
        same = tuple(id(row) for row in held)
        if same not in shared:
            shared[same] = build(held)
        targets.append(shared[same])
    return tuple(targets)


def _tree_nodes(size: int, spans: Sequence[tuple[int, int]], rows: Sequence[Row], build: Build) -> Mapping[int, Target]:
    held: dict[int, list[Row]] = defaultdict(list)
    for (first, last), row in zip(spans, rows, strict=True):
        left, right = first + size, last + size + 1
        while left < right:
            if left & 1:
                held[left].append(row)
                left += 1
            if right & 1:
                right -= 1
                held[right].append(row)
            left >>= 1
            right >>= 1
    return _targets(held, build)


def _slot_of(points: tuple[Any, ...], value: Any) -> int:  # noqa: ANN401 - numbers with numbers, or strings with strings
    at = bisect_left(points, value)
    return 2 * at + 1 if at < len(points) and points[at] == value else 2 * at


def _climb(leaf: Leaf, value: Any, boxes: Boxes, found: list[int]) -> None:  # noqa: ANN401 - the same
    _, _, points, size, nodes = leaf
    node = size + _slot_of(points, value)
    while node:
        target = nodes.get(node)
        if target is not None:
            reach(target, boxes, found)
        node >>= 1


def run_elementary_numbers(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    """Take what the interval around a number leads to."""
    _, (box, key, open_box), points, slots = leaf
    value: Any = (boxes[box] or open_box(boxes, box)).get(key)
    kind = value.__class__
    if kind is Decimal or kind is int:
        at = bisect_left(points, value)
        target = slots[2 * at + 1 if at < len(points) and points[at] == value else 2 * at]
        if target != []:
            reach(target, boxes, found)


def _run_elementary_strings(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    _, (box, key, open_box), points, slots = leaf
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if isinstance(value, str):
        reach(slots[_slot_of(points, value)], boxes, found)


def _run_tree_numbers(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    box, key, open_box = leaf[1]
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if value.__class__ is Decimal or value.__class__ is int:
        _climb(leaf, value, boxes, found)


def _run_tree_strings(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    box, key, open_box = leaf[1]
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if isinstance(value, str):
        _climb(leaf, value, boxes, found)


def networks(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a lookup of the networks that hold an address, by address family."""
    by_version: dict[int, Leaf] = {}
    for version in (4, 6):
        spans: list[tuple[Interval, Row]] = []
        for spec, row in entries:
            parsed = [ipaddress.ip_network(one) for one in ([spec] if isinstance(spec, str) else spec)]
            same = [one for one in parsed if one.version == version]
            for network in ipaddress.collapse_addresses(same):  # type: ignore[type-var]  # all of one version
                low, high = int(network.network_address), int(network.broadcast_address)
                spans.append((Interval(low=low, high=high), row))
        by_version[version] = _intervals(place, spans, build, (run_elementary_numbers, _run_tree_numbers))
    return (_run_networks, place, by_version)


def _run_networks(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    box, key, open_box = leaf[1]
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if not isinstance(value, str):
        return
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return
    known = leaf[2][address.version]
    if known[0] is _run_tree_numbers:
        _climb(known, int(address), boxes, found)
    else:
        reach(known[3][_slot_of(known[2], int(address))], boxes, found)


def _targets(rows: Mapping[Any, Sequence[Row]], build: Build) -> dict[Any, Target]:
    return {key: build(below) for key, below in rows.items()}
