"""Leaves that look a value up in a table, by order, or by presence.

A leaf is built from rows and becomes a part: what it looks at, and the data that it looks into. Lookups
know nothing of documents: they take the value at their place, whatever it is, and return targets.
"""

from __future__ import annotations

import ipaddress
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.pattern_index.plan import Interval
from compliance_agent.domain.pattern_index.rows import key_of
from compliance_agent.domain.pattern_index.tree import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from compliance_agent.domain.pattern_index.rows import Path, Row
    from compliance_agent.domain.pattern_index.tree import Lookup, Target

    Build = Callable[[Sequence[Row]], Target]
    Entries = Sequence[tuple[Any, Row]]

FEW_NAMES: Final = 8
"""Up to so many names of fields a dict is asked for one by one; more are intersected with the dict's own."""

SLOTS_PER_ROW_MAX: Final = 24
"""Most elementary intervals that a row of a range index may fill on average; above it a segment tree is used."""


def any_of(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a lookup for long lists of values."""
    rows: dict[object, list[Row]] = defaultdict(list)
    for keys, row in entries:
        for one in keys:
            rows[one].append(row)
    return [Part(("delicate", path), _targets(rows, build))]


def existence(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a look at which fields an object has, and one at which it has not."""
    present: dict[str, list[Row]] = defaultdict(list)
    absent: dict[str, list[Row]] = defaultdict(list)
    for (name, wanted), row in entries:
        (present if wanted else absent)[name].append(row)
    parts = []
    for kind, rows in (("present", present), ("absent", absent)):
        if rows:
            names = tuple(sorted(rows))
            targets = {name: build(rows[name]) for name in names}
            parts.append(Part((kind, path, names), targets if len(names) > FEW_NAMES else tuple(targets.values())))
    return parts


def numbers(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a lookup of the intervals of numbers that hold a value."""
    is_elementary, data = _intervals(entries, build)
    points, rest = data[0], data[1:]
    near = array("d", map(_nearest, points))  # side by side in memory, where a search among objects fetches each
    if not is_elementary:
        return [Part(("many", path), (_numbers_of_tree, (points, near, *rest)))]
    (slots,) = rest
    if slots[1::2] == slots[2::2]:  # no bound parts a point from what is right above it: all are $gte and $lt
        return [Part(("steps", path), (points, near, slots[::2]))]
    return [Part(("numbers", path), (points, near, slots))]


def _nearest(point: int | Decimal) -> float:
    """Return the ``float`` next to a number; infinity, which none that is read equals, for one beyond them all."""
    return float(Decimal(point))  # of a long int, float() raises


def strings(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a lookup of the intervals of strings that hold a value."""
    is_elementary, data = _intervals(entries, build)
    return [Part(("many", path), (_strings_of_slots if is_elementary else _strings_of_tree, data))]


def _intervals(entries: Entries, build: Build) -> tuple[bool, tuple[Any, ...]]:
    """Return whether a value lies in one slot of few (else in a segment tree), and points with slots or nodes."""
    intervals = [entry[0] for entry in entries]
    points = tuple(sorted({bound for one in intervals for bound in (one.low, one.high) if bound is not None}))
    spans = [_span(points, one) for one in intervals]
    filled = sum(last - first + 1 for first, last in spans)
    rows = [entry[1] for entry in entries]
    if filled > SLOTS_PER_ROW_MAX * len(rows):
        size = 1 << (2 * len(points)).bit_length()
        return False, (points, size, _tree_nodes(size, spans, rows, build))
    return True, (points, _slots(2 * len(points) + 1, spans, rows, build))


def _span(points: Sequence[Any], interval: Interval) -> tuple[int, int]:
    """Return the first and last slot of an interval."""
    first = 0 if interval.low is None else 2 * bisect_left(points, interval.low) + 1 + interval.low_open
    last = 2 * len(points) if interval.high is None else 2 * bisect_left(points, interval.high) + 1 - interval.high_open
    return first, last


def _slots(
    count: int, spans: Sequence[tuple[int, int]], rows: Sequence[Row], build: Build
) -> tuple[Target | None, ...]:
    by_slot: list[list[Row]] = [[] for _ in range(count)]
    for (first, last), row in zip(spans, rows, strict=True):
        for slot in range(first, last + 1):
            by_slot[slot].append(row)
    shared: dict[tuple[int, ...], Target | None] = {(): None}
    targets: list[Target | None] = []
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
    return 2 * at + (at < len(points) and bool(points[at] == value))


def _of_slots(data: tuple[Any, ...], value: Any) -> Sequence[Target]:  # noqa: ANN401 - the same
    points, slots = data
    target = slots[_slot_of(points, value)]
    return () if target is None else (target,)


def _of_tree(data: tuple[Any, ...], value: Any) -> Iterator[Target]:  # noqa: ANN401 - the same
    points, size, nodes = data
    return _climb(nodes, size + _slot_of(points, value))


def _climb(nodes: Mapping[int, Target], node: int) -> Iterator[Target]:
    while node:
        target = nodes.get(node)
        if target is not None:
            yield target
        node >>= 1


class NearNumberError(ArithmeticError):
    """A number that was read as ``float`` lies so near a bound that only its exact value can tell the side."""


def number_slot(points: tuple[Any, ...], near: Sequence[float], value: object) -> int:
    """Return in which slot a number lies: ``2 * i`` below point ``i``, ``2 * i + 1`` on it; -1 for no number.

    A ``float`` stands for the number that it was rounded from. Rounding keeps order, so where it differs
    from the rounded point the exact numbers differ in the same way.

    Raises:
        NearNumberError: It does not differ; or it is zero, which a number beyond our bounds may have become.

    """
    if isinstance(value, Decimal) or value.__class__ is int:
        return _slot_of(points, value)
    if not isinstance(value, float):
        return -1
    at = bisect_right(near, value)
    if near[at - 1] == value or not value:
        raise NearNumberError
    return 2 * at


def numbers_of_slots(data: tuple[Any, ...], value: object) -> Sequence[Target]:
    """Return what the interval around a number leads to."""
    points, near, slots = data
    slot = number_slot(points, near, value)
    target = slots[slot] if slot >= 0 else None
    return () if target is None else (target,)


def numbers_of_steps(data: tuple[Any, ...], value: object) -> Sequence[Target]:
    """Return the same where what holds at a point holds right above it, too."""
    points, near, slots = data
    slot = number_slot(points, near, value)
    target = slots[(slot + 1) // 2] if slot >= 0 else None
    return () if target is None else (target,)


def _numbers_of_tree(data: tuple[Any, ...], value: object) -> Iterator[Target] | tuple[()]:
    points, near, size, nodes = data
    slot = number_slot(points, near, value)
    return _climb(nodes, size + slot) if slot >= 0 else ()


def _strings_of_slots(data: tuple[Any, ...], value: object) -> Sequence[Target]:
    return _of_slots(data, value) if isinstance(value, str) else ()


def _strings_of_tree(data: tuple[Any, ...], value: object) -> Iterator[Target] | tuple[()]:
    return _of_tree(data, value) if isinstance(value, str) else ()


def networks(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a lookup of the networks that hold an address, by address family."""
    by_version: dict[int, tuple[Lookup, Any]] = {}
    for version in (4, 6):
        spans: list[tuple[Interval, Row]] = []
        for spec, row in entries:
            parsed = [ipaddress.ip_network(one) for one in ([spec] if isinstance(spec, str) else spec)]
            same = [one for one in parsed if one.version == version]
            for network in ipaddress.collapse_addresses(same):  # type: ignore[type-var]  # all of one version
                low, high = int(network.network_address), int(network.broadcast_address)
                spans.append((Interval(low=low, high=high), row))
        is_elementary, data = _intervals(spans, build)
        by_version[version] = (_of_slots if is_elementary else _of_tree, data)
    return [Part(("many", path), (_of_networks, by_version))]


def _of_networks(by_version: Mapping[int, tuple[Lookup, Any]], value: object) -> Any:  # noqa: ANN401 - targets
    if not isinstance(value, str):
        return ()
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return ()
    lookup, data = by_version[address.version]
    return lookup(data, int(address))


def of_table(table: Mapping[object, Target], value: object) -> Sequence[Target]:
    """Return what a scalar leads to in a table without keys that Python takes for equal though JSON does not."""
    try:
        target = table.get(value)
    except TypeError:  # an array or object: it has no hash, and no place in a table
        return ()
    return () if target is None else (target,)


def of_delicate_table(table: Mapping[object, Target], value: object) -> Sequence[Target]:
    """Return the same where ``true`` must not be taken for 1, nor a missing field for ``null``."""
    target = table.get(key_of(value))
    return () if target is None else (target,)


def _targets(rows: Mapping[Any, Sequence[Row]], build: Build) -> dict[Any, Target]:
    return {key: build(below) for key, below in rows.items()}
