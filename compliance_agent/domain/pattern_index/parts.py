"""The functions of one index.

Its common shapes get a function each. A node of a rare shape is taken apart: it visits one small node for
each of its parts, and a candidate becomes a chain of conditions. Small nodes have few shapes, which get
functions of their own; beyond ``PART_SHAPES_MAX`` of them an interpreter does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.operators import Missing
from compliance_agent.domain.pattern_index import leaves, texts
from compliance_agent.domain.pattern_index.reading import Parsed, reader
from compliance_agent.domain.pattern_index.rows import ABSENT
from compliance_agent.domain.pattern_index.straight import function_for
from compliance_agent.domain.pattern_index.tree import NO_BOX, Part, Shape, is_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compliance_agent.domain.pattern_index.reading import Picked, Reading
    from compliance_agent.domain.pattern_index.rows import Path
    from compliance_agent.domain.pattern_index.tree import Lookup, Node, Run, Target

SHAPES_MAX: Final = 64
"""Most shapes of whole nodes for which functions are generated; each takes about a third of a millisecond."""

PART_SHAPES_MAX: Final = 256
"""The same for the shapes of small nodes."""

PARTS_MAX: Final = 24
"""Most parts of a node for which a function is generated."""

_LOOKUPS: Final[Mapping[str, Lookup]] = {
    "table": leaves.of_table,
    "delicate": leaves.of_delicate_table,
    "numbers": leaves.numbers_of_slots,
    "steps": leaves.numbers_of_steps,
    "prefixes": texts.of_prefixes,
}


class Shapes:
    """Makes nodes, and gives each the functions that visit it."""

    def __init__(self) -> None:
        """Start with what serves rare shapes."""
        self._shapes: dict[tuple[Any, ...], Shape] = {}
        self._small: dict[tuple[Any, ...], Shape] = {}
        self._each, self._any = Shape(), Shape()
        self._each.parsed = _visit_each_parsed
        self._each.picked = _visit_each_picked
        self._any.parsed = interpreter(Parsed())

    def node(self, hits: tuple[int, ...], parts: Sequence[Part], *, is_root: bool = False) -> Node:
        """Return a node."""
        key = (bool(hits), *(part.shape for part in parts))
        shape = self._shapes.get(key)
        if shape is None:
            if len(parts) > PARTS_MAX or (len(self._shapes) >= SHAPES_MAX and not is_root):
                small = tuple(self._small_node(part) for part in parts)
                return small[0] if len(small) == 1 and not hits else (self._each, hits, small)
            shape = self._shapes[key] = _shape_of(parts, with_hits=bool(hits))
        return (shape, hits, *(part.data for part in parts))

    def _small_node(self, part: Part) -> Node:
        """Return a node that does one thing."""
        kind, *about = part.shape
        if kind == "candidate":
            return self._chain(about[0], part.data)
        shape = self._small.get(part.shape)
        if shape is None:
            if len(self._small) >= PART_SHAPES_MAX:
                return (self._any, (), (*part.shape, part.data))
            shape = self._small[part.shape] = _shape_of((part,), with_hits=False)
        return (shape, (), part.data)

    def _chain(self, conditions: Sequence[tuple[str, Path]], data: Sequence[Any]) -> Node:
        """Return a node for each condition of a candidate, one below the other."""
        target: Target = data[0]
        for condition, wanted in zip(reversed(conditions), reversed(data[1:]), strict=True):
            target = self._small_node(Part(("when", condition), (wanted, target)))
        assert isinstance(target, tuple)  # noqa: S101 - a candidate has a condition; narrows the type for mypy
        return target

    def pick(self, reading: Picked) -> None:
        """Make the functions for documents of picked fields. Doing it again makes the same again."""
        for shape in (*self._shapes.values(), *self._small.values()):
            shape.picked = function_for(shape, reading)
        self._any.picked = interpreter(reading)


def _shape_of(parts: Sequence[Part], *, with_hits: bool) -> Shape:
    shape = Shape(tuple(part.shape for part in parts), with_hits=with_hits)
    shape.parsed = function_for(shape, Parsed())
    return shape


def _visit_each_parsed(node: Node, document: Any, found: list[int]) -> None:  # noqa: ANN401 - a mapping
    _, hits, small = node
    found += hits
    for one in small:
        run = one[0].parsed
        run(one, document, found)


def _visit_each_picked(node: Node, document: Any, found: list[int]) -> None:  # noqa: ANN401 - picked fields
    _, hits, small = node
    found += hits
    for one in small:
        run = one[0].picked
        run(one, document, found)


def interpreter(reading: Reading) -> Run:
    """Return a function that visits small nodes of any shape: their third item is the part's shape with its data."""
    read = _Readers(reading)
    name = reading.name

    def run(node: Node, document: Any, found: list[int]) -> None:  # noqa: ANN401 - a mapping or picked fields
        kind, *about, data = node[2]
        for target in _targets_of(kind, about, data, document, read):
            if isinstance(target, int):
                found.append(target)
            elif is_node(target):
                getattr(target[0], name)(target, document, found)
            else:
                found += target

    return run


def _targets_of(kind: str, about: list[Any], data: Any, document: object, read: _Readers) -> Iterable[Target]:  # noqa: ANN401 - each kind has its own
    """Return what one part of a node leads to."""
    if kind == "when":
        operation, path = about[0]
        return (data[1],) if _CONDITIONS[operation](read[path](document), data[0]) else ()
    if kind in {"present", "absent"}:
        path, names = about
        targets = (data[name] for name in names) if isinstance(data, dict) else data
        named = zip(names, targets, strict=True)
        return [target for name, target in named if _is(kind, read[*path, name](document))]
    value = read[about[0]](document)
    if kind == "one":
        target = data[0](data[1], value)
        return () if target is None else (target,)
    lookup, known = data if kind == "many" else (_LOOKUPS[kind], data)
    return lookup(known, value)


def _is(kind: str, value: object) -> bool:
    return value is not NO_BOX and (value is ABSENT) == (kind == "absent")


class _Readers(dict["Path", "Callable[[Any], object]"]):
    """What reads a place, made when it is first asked for."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading

    def __missing__(self, path: Path) -> Callable[[Any], object]:
        read = self[path] = reader(self._reading, path)
        return read


def _tests(value: object, test: Callable[[object], bool]) -> bool:
    return value is not NO_BOX and test(Missing.MISSING if value is ABSENT else value)


_CONDITIONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "equals": lambda value, wanted: bool(value == wanted),
    "in": lambda value, wanted: value in wanted,
    "prefix": lambda value, wanted: isinstance(value, str) and value.startswith(wanted),
    "test": _tests,
}
