"""The functions of one index: generated ones for its common shapes, an interpreter for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.operators import Missing
from compliance_agent.domain.pattern_index import leaves, texts
from compliance_agent.domain.pattern_index.reading import Parsed, Picked, reader
from compliance_agent.domain.pattern_index.rows import ABSENT
from compliance_agent.domain.pattern_index.straight import function_for
from compliance_agent.domain.pattern_index.tree import NO_BOX, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compliance_agent.domain.pattern_index.reading import Form, Reading
    from compliance_agent.domain.pattern_index.rows import Path
    from compliance_agent.domain.pattern_index.tree import Lookup, Node, Part, Run, Target

SHAPES_MAX: Final = 64
"""Most functions that one index has generated; each takes about a third of a millisecond."""

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
        """Start with the interpreter alone."""
        self._shapes: dict[tuple[Any, ...], Shape] = {}
        self._any = Shape()
        self._any.parsed = interpreter(Parsed())

    def node(self, hits: list[int], parts: Sequence[Part], *, is_root: bool = False) -> Node:
        """Return a node."""
        key = (bool(hits), *(part.shape for part in parts))
        shape = self._shapes.get(key)
        if shape is None:
            if len(parts) > PARTS_MAX or (len(self._shapes) >= SHAPES_MAX and not is_root):
                return (self._any, hits, tuple((*part.shape, part.data) for part in parts))
            shape = self._shapes[key] = Shape(tuple(part.shape for part in parts), with_hits=bool(hits))
            shape.parsed = function_for(shape, Parsed())
        return (shape, hits, *(part.data for part in parts))

    def pick(self, form: Form) -> None:
        """Make the functions for documents of picked fields. Doing it again makes the same again."""
        reading = Picked(form)
        for shape in self._shapes.values():
            shape.picked = function_for(shape, reading)
        self._any.picked = interpreter(reading)


def interpreter(reading: Reading) -> Run:
    """Return a function that visits nodes of any shape: their third item is each part's shape with its data."""
    read = _Readers(reading)
    name = reading.name

    def run(node: Node, document: Any, found: list[int]) -> None:  # noqa: ANN401 - a dict or picked fields
        _, hits, parts = node
        found += hits
        for kind, *about, data in parts:
            for target in _targets_of(kind, about, data, document, read):
                if isinstance(target, int):
                    found.append(target)
                elif isinstance(target, tuple):
                    getattr(target[0], name)(target, document, found)
                else:
                    found += target

    return run


def _targets_of(kind: str, about: list[Any], data: Any, document: object, read: _Readers) -> Iterable[Target]:  # noqa: ANN401 - each kind has its own
    """Return what one part of a node leads to."""
    if kind == "candidate":
        return (data[0],) if _holds(about[0], data, document, read) else ()
    if kind in {"present", "absent"}:
        return [target for name, target in data[1].items() if _is(kind, read[*about[0], name](document))]
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


_CONDITIONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "equals": lambda value, wanted: bool(value == wanted),
    "in": lambda value, wanted: value in wanted,
    "prefix": lambda value, wanted: isinstance(value, str) and value.startswith(wanted),
}


def _holds(conditions: tuple[tuple[str, Path], ...], data: Sequence[Any], document: object, read: _Readers) -> bool:
    for (operation, path), expected in zip(conditions, data[1:], strict=True):
        value = read[path](document)
        if operation == "test":
            if value is NO_BOX or not expected(Missing.MISSING if value is ABSENT else value):
                return False
        elif not _CONDITIONS[operation](value, expected):
            return False
    return True
