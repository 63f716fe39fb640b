"""An index over patterns: which of many match a document, at a cost that hardly grows with their number.

It answers as the reference nodes do, in the order in which the patterns were given. It is built once
and never changes, so threads may share it; whoever needs other patterns builds another one and swaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from compliance_agent.domain.pattern_index.build import Builder
from compliance_agent.domain.pattern_index.reading import Picked, form_of
from compliance_agent.domain.pattern_index.rows import may_look_inside, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern import Pattern
    from compliance_agent.domain.pattern_index.reading import Form
    from compliance_agent.domain.pattern_index.rows import Path
    from compliance_agent.domain.pattern_index.tree import Node, Run

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Picking(Generic[Item]):
    """How an index answers documents that hold just what it looks at: see ``reading``.

    Attributes:
        form: What such a document holds.
        bare: Places of which is only asked whether something is there: read as ``None`` where nothing is.
        inexact: Places at which a number may have been read as the ``float`` next to it.
        inexact_below: Objects of which this holds for every field.
        looks_inside: Whether more than a scalar may be looked at anywhere.
        run: Called with ``root``, such a document and an empty list, it puts the ranks of what matches into
            the list. Raises ``NearNumberError`` where a ``float`` is not exact enough.
        root: The node at which every match begins.
        answer: Turns ranks, at least one, into what ``PatternIndex.matching`` returns.

    """

    form: Form
    bare: frozenset[Path]
    inexact: frozenset[Path]
    inexact_below: frozenset[Path]
    looks_inside: bool
    run: Run
    root: Node
    answer: Callable[[list[int]], list[Item]]


class PatternIndex(Generic[Item]):
    """Finds the items whose patterns match a document.

    Attributes:
        paths: Every place of a document that is looked at; the rest may be left out of it.
        matching: Takes a document and returns the items whose patterns match, in the order in which they
            were given. Never raises.

    """

    matching: Callable[[Mapping[str, JsonValue]], list[Item]]

    def __init__(self, entries: Iterable[tuple[Pattern, Item]]) -> None:
        """Build the index over patterns, each with the item to be returned for it."""
        builder = Builder()
        rows = []
        items: list[Item] = []
        repeats = False
        entries = list(entries)
        ranks = list(range(len(entries)))  # made at once, they lie together in memory
        for rank, (pattern, item) in zip(ranks, entries, strict=True):
            of_pattern = rows_of(pattern, rank)
            repeats = repeats or len(of_pattern) > 1
            rows += of_pattern
            items.append(item)
        self._root = builder.root(rows)
        self._shapes = builder.shapes
        self._answer = _answering(items, repeats=repeats)
        self.matching = _matching(self._root[0].parsed, self._root, self._answer)
        self.paths: frozenset[Path] = frozenset(builder.paths)
        above = {path[:depth] for path in self.paths for depth in range(len(path))}
        self._bare = self.paths - builder.valued - above
        self._exact = frozenset(builder.exact)
        self._looks_inside = any(may_look_inside(test.node) for row in rows for test in row.tests)

    def picking(self) -> Picking[Item] | None:
        """Return how documents are answered that hold just what is looked at; ``None`` if all of them is.

        Costs some milliseconds. May be called by many threads.
        """
        form = form_of(self.paths)
        if form is None:
            return None
        self._shapes.pick(Picked(form, self._bare))
        below = frozenset(path[:-1] for path in self.paths) - self.paths
        return Picking(
            form,
            bare=self._bare,
            inexact=self.paths - self._exact,
            inexact_below=below - {path[:-1] for path in self._exact},
            looks_inside=self._looks_inside,
            run=self._root[0].picked,
            root=self._root,
            answer=self._answer,
        )


def _matching(
    run: Run, root: Node, answer: Callable[[list[int]], list[Item]]
) -> Callable[[Mapping[str, JsonValue]], list[Item]]:
    """Return what turns a document into items. A function of its own: no attribute is looked up for each document."""

    def matching(document: Mapping[str, JsonValue]) -> list[Item]:
        ranks: list[int] = []
        run(root, document, ranks)
        return answer(ranks) if ranks else []

    return matching


def _answering(items: Sequence[Item], *, repeats: bool) -> Callable[[list[int]], list[Item]]:
    """Return what turns ranks into items, in order and each once."""

    def answer(ranks: list[int]) -> list[Item]:
        if len(ranks) == 1:
            return [items[ranks[0]]]
        if repeats:
            ranks = list(set(ranks))
        ranks.sort()
        found = []
        for rank in ranks:  # a comprehension is a call, which costs as much as four ranks
            found.append(items[rank])  # noqa: PERF401
        return found

    return answer
