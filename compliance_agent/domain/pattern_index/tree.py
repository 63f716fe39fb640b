"""The tree that an index is: plain nested tuples, lists and dicts.

Plain ones on purpose: what is walked for every document must be small, lie together, and be unpacked by
the interpreter's own fast path, which subclasses of ``tuple`` do not take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from compliance_agent.domain.json_value import JsonValue
from compliance_agent.domain.operators import Missing

Box: TypeAlias = Mapping[str, JsonValue]
"""An object of the document from which fields are taken."""

Thaw: TypeAlias = Callable[[str, object], object]
"""Reads, by its key, an object of the document that was left unread until something looks into it."""

Boxes: TypeAlias = list[Any]
"""The boxes of one document by number; the document itself is the first, ``None`` was not opened yet.

The last item is no box: it is the ``Thaw`` of this document, or ``None``.
"""

NO_BOX: Final[Box] = {}
"""Stands, by identity, for a place that is no object: nothing holds there, not even ``$exists: false``."""


Place: TypeAlias = tuple[int, str, Callable[[Boxes, int], Box]]
"""A field: the number of the box that it is in, its key there, and what opens a box.

Boxes are opened when they are first looked into. An empty one is opened each time, which costs little
and spares a comparison everywhere else.
"""

Check: TypeAlias = tuple[Place, Callable[[JsonValue | Missing], bool]]
"""A test that the reference nodes judge, of the value at a place."""

Candidate: TypeAlias = tuple[int, tuple[tuple[Place, object], ...], tuple[Check, ...]]
"""Rank, fields with the scalars that they must equal, and checks: a pattern that matches here if all hold."""

Branch: TypeAlias = tuple[Any, ...]
"""A node: the function that visits it, the ranks of patterns that match there, and what the function needs.

It is visited by ``branch[0](branch, boxes, found)``, which puts ranks into ``found``.
"""

Target: TypeAlias = int | list[int] | Branch
"""What a lookup leads to: one hit, several, or a node to visit."""

Table: TypeAlias = Mapping[object, Target]

Leaf: TypeAlias = tuple[Any, ...]
"""An index of another kind: a function, the place that it looks at, and what it needs; used like a branch."""

Run: TypeAlias = Callable[[tuple[Any, ...], Boxes, list[int]], None]


def reach(target: Target, boxes: Boxes, found: list[int]) -> None:
    """Take the hits of a target, or visit it."""
    if isinstance(target, int):
        found.append(target)
    elif isinstance(target, tuple):
        target[0](target, boxes, found)
    else:
        found += target


def holds(candidate: Candidate, boxes: Boxes) -> bool:
    """Tell whether a candidate matches."""
    _, equals, checks = candidate
    for (box, key, open_box), value in equals:
        if (boxes[box] or open_box(boxes, box)).get(key) != value:
            return False
    for (box, key, open_box), test in checks:
        fields = boxes[box] or open_box(boxes, box)
        if fields is NO_BOX or not test(fields.get(key, Missing.MISSING)):
            return False
    return True


def run_branch(branch: Branch, boxes: Boxes, found: list[int]) -> None:
    """Visit a node of any shape; it goes on with tables, leaves and candidates."""
    _, hits, tables, leaves, candidates = branch
    if hits:
        found += hits
    for (box, key, open_box), table in tables:
        try:
            target = table.get((boxes[box] or open_box(boxes, box)).get(key))
        except TypeError:  # an array or object stands there: it has no hash, and no place in a table
            continue
        if target is not None:
            reach(target, boxes, found)
    for leaf in leaves:
        leaf[0](leaf, boxes, found)
    for candidate in candidates:
        if holds(candidate, boxes):
            found.append(candidate[0])
