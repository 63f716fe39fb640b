"""The tree that an index is: plain nested tuples, lists and dicts.

Plain ones on purpose: what is walked for every document must be small, lie together, and be unpacked by
the interpreter's own fast path, which subclasses of ``tuple`` do not take. Of a large index little is in the
processor's cache when a document asks for it, so each object on the way costs more than what is done with it:
a tuple is one, a list two (itself and its items), a tuple of numbers one more for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from compliance_agent.domain.json_value import JsonValue

Box: TypeAlias = Mapping[str, JsonValue]
"""An object of the document from which fields are taken."""

NO_BOX: Final[Box] = {}
"""Stands, by identity, for a place that is no object: nothing holds there, not even ``$exists: false``."""

Run: TypeAlias = Callable[[tuple[Any, ...], Any, list[int]], None]
"""Visits a node: takes the node, the document and the list that ranks are put into."""


class Shape:
    """What nodes of one shape have in common: the functions that visit them.

    Attributes:
        parsed: Visits a node with a document made of dicts.
        picked: The same with a document of picked fields; set when an index is first asked for that.
        parts: What the functions are generated from.
        with_hits: Whether nodes of this shape have hits of their own.

    """

    __slots__ = ("parsed", "parts", "picked", "with_hits")

    def __init__(self, parts: tuple[tuple[Any, ...], ...] = (), *, with_hits: bool = False) -> None:
        """Start without functions."""
        self.parts = parts
        self.with_hits = with_hits
        self.parsed: Run
        self.picked: Run


Node: TypeAlias = tuple[Any, ...]
"""Its shape, a tuple of the ranks of patterns that match there, and the data of each part.

It is visited by ``node[0].parsed(node, document, found)``, which puts ranks into ``found``.
"""

Target: TypeAlias = int | tuple[int, ...] | Node
"""What a lookup leads to: one hit, several, or a node to visit; of two tuples the first item tells which it is."""


def is_node(target: Target) -> bool:
    """Tell whether a target is a node to visit."""
    return isinstance(target, tuple) and bool(target) and isinstance(target[0], Shape)


Lookup: TypeAlias = Callable[[Any, Any], Iterable[Target]]
"""Takes a leaf's data and the value at its place."""


class Part(NamedTuple):
    """One thing that a node does with a document; only what an index is built with, not what it is made of.

    Attributes:
        shape: Its kind, the places that it looks at, and whatever else the generated function knows.
        data: What differs from node to node.

    """

    shape: tuple[Any, ...]
    data: Any
