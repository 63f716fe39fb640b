"""Functions that visit nodes of one shape, written out straight: no loop, no dispatch, every box fetched once.

Nodes come in few shapes: which fields they look up, and which leaves they have. For each shape one function
is generated, as ``dataclasses`` does for classes, and serves all nodes of that shape. The source holds
numbers and our own names only; keys of fields, tables and tests are handed over as values, so nothing that
a rule says ever becomes code. ``tree.run_branch`` does the same for nodes of any shape, more slowly, and
is what rare shapes get.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.pattern_index.leaves import run_elementary_numbers, run_existence
from compliance_agent.domain.pattern_index.texts import find_beginnings, run_prefixes
from compliance_agent.domain.pattern_index.tree import NO_BOX, holds, reach, run_branch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from compliance_agent.domain.pattern_index.tree import Box, Boxes, Branch, Candidate, Leaf, Place, Run, Table

SHAPES_MAX: Final = 64
"""Most functions that one index has generated; each takes about a third of a millisecond."""

PARTS_MAX: Final = 24
"""Most tables and leaves of a node for which a function is generated."""

_REACH: Final = """\
if target is not None:
    kind = type(target)
    if kind is int:
        found.append(target)
    elif kind is tuple:
        target[0](target, boxes, found)
    else:
        found += target
"""

_TABLE: Final = (
    """\
try:
    target = {data}.get({box}.get({key}))
except TypeError:
    target = None
"""
    + _REACH
)

_NUMBERS: Final = """\
value = {box}.get({key})
kind = type(value)
if kind is Decimal or kind is int:
    _, _, points, slots = {data}
    at = bisect_left(points, value)
    target = slots[2 * at + 1 if at < len(points) and points[at] == value else 2 * at]
""" + indent(_REACH, "    ")

_PREFIXES: Final = """\
value = {box}.get({key})
if isinstance(value, str):
    _, _, width, buckets = {data}
    bucket = buckets.get(value[:width])
    if bucket is not None:
        find_beginnings(bucket, value, boxes, found)
"""

_EXISTENCE: Final = """\
_, _, few, many, targets, absent = {data}
for name, target in few:
    if name in {box}:
        reach(target, boxes, found)
if many and not many.isdisjoint({box}):
    for name in many & {box}.keys():
        reach(targets[name], boxes, found)
if absent and {box} is not NO_BOX:
    for name, target in absent:
        if name not in {box}:
            reach(target, boxes, found)
"""

_LEAF: Final = """\
{data}[0]({data}, boxes, found)
"""

_CANDIDATE: Final = """\
if holds({data}, boxes):
    found.append({data}[0])
"""

_INLINE: Final[Mapping[Any, str]] = {
    run_elementary_numbers: _NUMBERS,
    run_prefixes: _PREFIXES,
    run_existence: _EXISTENCE,
}
"""Leaves whose work stands in the generated function itself."""


class Shapes:
    """The functions of one index, by shape."""

    def __init__(self, plan: Sequence[tuple[int, str]], open_box: Callable[[Boxes, int], Box]) -> None:
        """Start with none.

        Args:
            plan: For each box but the document: its parent box, or less than 0, and its key there.
            open_box: What opens a box that is no ``dict`` lying in its parent.

        """
        self._plan = plan
        self._open_box = open_box
        self._functions: dict[tuple[Any, ...], Run] = {}

    def branch(
        self,
        hits: list[int],
        tables: tuple[tuple[Place, Table], ...],
        leaves: tuple[Leaf, ...],
        candidates: tuple[Candidate, ...],
        *,
        is_root: bool = False,
    ) -> Branch:
        """Return a node with the function that visits it."""
        parts: list[tuple[str, Place | None, object]] = [(_TABLE, place, table) for place, table in tables]
        parts += [(_INLINE.get(leaf[0], _LEAF), leaf[1] if leaf[0] in _INLINE else None, leaf) for leaf in leaves]
        parts += [(_CANDIDATE, None, candidate) for candidate in candidates]
        shape = (bool(hits), is_root, *((template, place) for template, place, _ in parts))
        function = self._functions.get(shape)
        if function is None:
            if len(parts) > PARTS_MAX or (len(self._functions) >= SHAPES_MAX and not is_root):
                return (run_branch, hits, tables, leaves, candidates)
            function = self._functions[shape] = self._function(shape)
        return (function, hits, *(data for _, _, data in parts))

    def _function(self, shape: tuple[Any, ...]) -> Run:
        """Generate the function for a shape: whether there are hits, whether it is the root, and its parts."""
        with_hits, is_root, *parts = shape
        known = {**_KNOWN, "open_box": self._open_box}
        lines = [f"_, hits{''.join(f', d{number}' for number in range(len(parts)))} = branch"]
        if with_hits:
            lines.append("found += hits")
        fetched: set[int] = set()
        for number, (template, place) in enumerate(parts):
            fields = {"data": f"d{number}"}
            if place is not None:
                lines += self._fetch(place[0], fetched, known, at_first=is_root)
                known[f"k{number}"] = place[1]
                fields |= {"box": f"b{place[0]}", "key": f"k{number}"}
            lines += template.format(**fields).splitlines()
        source = "def run(branch, boxes, found):\n" + "".join(f"    {line}\n" for line in lines)
        exec(compile(source, "<index node>", "exec"), known)  # noqa: S102 - see the module's first lines
        run: Run = known["run"]
        return run

    def _fetch(self, box: int, fetched: set[int], known: dict[str, Any], *, at_first: bool) -> list[str]:
        """Return the lines that bring a box, unless it was brought before; ``at_first`` none is open yet."""
        if box in fetched:
            return []
        fetched.add(box)
        if box == 0:
            return ["b0 = boxes[0]"]
        parent, key = self._plan[box - 1]
        if not at_first or parent < 0:
            return [f"b{box} = boxes[{box}]", f"if b{box} is None:", f"    b{box} = open_box(boxes, {box})"]
        known[f"p{box}"] = key
        return [
            *self._fetch(parent, fetched, known, at_first=True),
            f"b{box} = b{parent}.get(p{box})",
            f"if type(b{box}) is dict:",
            f"    boxes[{box}] = b{box}",
            "else:",
            f"    b{box} = open_box(boxes, {box})",
        ]


_KNOWN: Final[Mapping[str, Any]] = {
    "Decimal": Decimal,
    "NO_BOX": NO_BOX,
    "bisect_left": bisect_left,
    "find_beginnings": find_beginnings,
    "holds": holds,
    "reach": reach,
}
"""What the templates use."""
