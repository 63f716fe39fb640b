"""Rows without equalities, sorted into groups: each group shares one kind of test at one place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from compliance_agent.domain.pattern_index.rows import ABSENT, key_of
from compliance_agent.domain.pattern_nodes import ArrayNode, TestNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from compliance_agent.domain.pattern_index.rows import Path, Requirement, Row

Spec = Any
"""What a leaf indexes of one row; each kind has its own shape, named in ``_READERS``."""


class Interval(NamedTuple):
    """What may stand at a place by order; ``None`` is no bound on that side."""

    low: Any = None
    low_open: bool = False
    high: Any = None
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that one leaf tells apart.

    Attributes:
        kind: The leaf's kind.
        path: The place that it looks at; for ``exists`` the object that the fields are in.
        entries: What it indexes of each row, and what is then left of the row.

    """

    kind: str
    path: Path
    entries: tuple[tuple[Spec, Row], ...]


class _Offer(NamedTuple):
    kind: str
    path: Path
    spec: Spec
    taken: tuple[Requirement, ...]


_ORDER: Final = {"$gt": (0, True), "$gte": (0, False), "$lt": (1, True), "$lte": (1, False)}

_TELLING: Final = frozenset({"$in", "$ieq", "$prefix", "$suffix"})

_LEAST: Final = {"prefix": 2, "suffix": 2, "contains": 2, "expression": 2}
"""Smallest group that is worth a leaf; fewer rows are judged one by one."""


def has_telling_test(row: Row) -> bool:
    """Tell whether one of the row's tests usually holds for few documents only."""
    return any(isinstance(test.node, TestNode) and test.node.name in _TELLING and test.path for test in row.tests)


def plan_of(rows: Iterable[Row]) -> tuple[list[Group], list[Row]]:
    """Return the groups, and the rows that are to be judged one by one."""
    sorted_in: dict[tuple[str, Path], list[tuple[Spec, Row, Row]]] = defaultdict(list)
    alone: list[Row] = []
    for row in rows:
        offer = _best_offer(row)
        if offer is None:
            alone.append(row)
        else:
            sorted_in[offer.kind, offer.path].append((offer.spec, row.without_tests(offer.taken), row))
    groups: list[Group] = []
    for (kind, path), entries in sorted_in.items():
        if len(entries) < _LEAST.get(kind, 1):
            alone += [row for _, _, row in entries]
        else:
            groups.append(Group(kind, path, tuple((spec, rest) for spec, rest, _ in entries)))
    return groups, alone


def _best_offer(row: Row) -> _Offer | None:
    """Return the test of a row by which an index finds it best: the most selective kinds come first."""
    best: tuple[int, _Offer] | None = None
    for test in row.tests:
        name = test.node.name if isinstance(test.node, TestNode) else "[]" if isinstance(test.node, ArrayNode) else ""
        if not test.path or name not in _READERS:
            continue
        worth, read = _READERS[name]
        if best is not None and best[0] <= worth:
            continue
        offer = read(row, test)
        if offer is not None:
            best = (worth, offer)
    return best[1] if best else None


def _any_of(_row: Row, test: Requirement) -> _Offer | None:
    """Spec: the keys of which the value must be one."""
    assert isinstance(test.node, TestNode)  # noqa: S101 - narrows the type for mypy
    values = test.node.argument
    keys = tuple(dict.fromkeys(key_of(value) for value in values)) if isinstance(values, Sequence) else (ABSENT,)
    return None if ABSENT in keys else _Offer("any", test.path, keys, (test,))


def _ordered(row: Row, test: Requirement) -> _Offer | None:
    """Spec: the interval of all bounds of the argument's kind at this place."""
    assert isinstance(test.node, TestNode)  # noqa: S101 - narrows the type for mypy
    kind = str if isinstance(test.node.argument, str) else (int, Decimal)
    interval = Interval()
    taken: list[Requirement] = []
    for other in row.tests:
        node = other.node
        if not isinstance(node, TestNode) or node.name not in _ORDER or other.path != test.path:
            continue
        if isinstance(node.argument, kind):
            interval = _narrowed(interval, node)
            taken.append(other)
    return _Offer("string" if kind is str else "number", test.path, interval, tuple(taken))


def _narrowed(interval: Interval, node: TestNode) -> Interval:
    side, is_open = _ORDER[node.name]
    bound: Any = node.argument
    low, low_open, high, high_open = interval
    if side == 0:
        if low is None or bound > low or (bound == low and is_open):
            return Interval(bound, is_open, high, high_open)
    elif high is None or bound < high or (bound == high and is_open):
        return Interval(low, low_open, bound, is_open)
    return interval


def _text(kind: str) -> Callable[[Row, Requirement], _Offer | None]:
    """Spec: the operator's text."""

    def read(_row: Row, test: Requirement) -> _Offer | None:
        assert isinstance(test.node, TestNode)  # noqa: S101 - narrows the type for mypy
        return _Offer(kind, test.path, test.node.argument, (test,))

    return read


def _contains(_row: Row, test: Requirement) -> _Offer | None:
    """Spec: the text to be found in a string or ``None``, and the key to be found in an array."""
    assert isinstance(test.node, TestNode)  # noqa: S101 - narrows the type for mypy
    key = key_of(test.node.argument)
    text = key if isinstance(key, str) else None
    return None if key is ABSENT else _Offer("contains", test.path, (text, key), (test,))


def _array(_row: Row, test: Requirement) -> _Offer | None:
    """Spec as of ``$contains``: the first scalar that the array must hold; the test itself stays."""
    assert isinstance(test.node, ArrayNode)  # noqa: S101 - narrows the type for mypy
    source = test.node.source
    keys = [key_of(value) for value in source] if isinstance(source, Sequence) else []
    key = next((key for key in keys if key is not ABSENT), ABSENT)
    return None if key is ABSENT else _Offer("contains", test.path, (None, key), () if len(keys) > 1 else (test,))


def _expression(_row: Row, test: Requirement) -> _Offer | None:
    """Spec: the operator's name and its argument."""
    assert isinstance(test.node, TestNode)  # noqa: S101 - narrows the type for mypy
    return _Offer("expression", test.path, (test.node.name, test.node.argument, test.node.test), (test,))


def _exists(_row: Row, test: Requirement) -> _Offer | None:
    """Spec: the key, and whether it must be there. The place is that of the object around it."""
    assert isinstance(test.node, TestNode)  # noqa: S101 - narrows the type for mypy
    return _Offer("exists", test.path[:-1], (test.path[-1], test.node.argument is True), (test,))


_READERS: Final[dict[str, tuple[int, Callable[[Row, Requirement], _Offer | None]]]] = {
    "$in": (0, _any_of),
    "$ieq": (1, _text("fold")),
    "[]": (2, _array),
    "$prefix": (3, _text("prefix")),
    "$suffix": (3, _text("suffix")),
    "$cidr": (4, _text("cidr")),
    "$gt": (5, _ordered),
    "$gte": (5, _ordered),
    "$lt": (5, _ordered),
    "$lte": (5, _ordered),
    "$contains": (6, _contains),
    "$regex": (7, _expression),
    "$wildcard": (7, _expression),
    "$exists": (8, _exists),
}
"""By operator: how well it usually tells rows apart (low is better), and how its spec is read."""
