"""An index over patterns: which of many match a document, at a cost that hardly grows with their number.

It answers as the reference nodes do, in the order in which the patterns were given. It is built once
and never changes, so threads may share it; whoever needs other patterns builds another one and swaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from compliance_agent.domain.pattern_index.build import Builder
from compliance_agent.domain.pattern_index.rows import may_look_inside, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern import Pattern
    from compliance_agent.domain.pattern_index.rows import Path
    from compliance_agent.domain.pattern_index.tree import Thaw

Item = TypeVar("Item")


class PatternIndex(Generic[Item]):
    """Finds the items whose patterns match a document.

    Attributes:
        paths: Every place of a document that is looked at; the rest may be left out of it.
        paths_with_contents: Those of them at which more than a scalar may be looked at.
        paths_at_once: The objects that are opened for every document, whatever it is.

    """

    def __init__(self, entries: Iterable[tuple[Pattern, Item]]) -> None:
        """Build the index over patterns, each with the item to be returned for it."""
        builder = Builder()
        rows = []
        items: list[Item] = []
        self._repeats = False
        for rank, (pattern, item) in enumerate(entries):
            of_pattern = rows_of(pattern, rank)
            self._repeats = self._repeats or len(of_pattern) > 1
            rows += of_pattern
            items.append(item)
        self._root = builder.root(rows)
        self._items = items
        self._unopened = (None,) * len(builder.plan)
        self.paths: frozenset[Path] = frozenset(builder.paths)
        self.paths_with_contents: frozenset[Path] = frozenset(
            test.path for row in rows for test in row.tests if may_look_inside(test.node)
        )
        self.paths_at_once: frozenset[Path] = frozenset(builder.paths_at_once)

    def matching(self, document: Mapping[str, JsonValue], thaw: Thaw | None = None) -> list[Item]:
        """Return the items whose patterns match, in the order in which they were given. Never raises.

        Args:
            document: The document. Objects directly in it may have been left unread if ``paths_at_once``
                does not name them, and ``paths`` not as such; then ``thaw`` reads one.
            thaw: What it raises comes out of here.

        """
        boxes = [document, *self._unopened, thaw]
        found: list[int] = []
        root = self._root
        root[0](root, boxes, found)
        if not found:
            return []
        if self._repeats:
            found = list(set(found))
        found.sort()
        items = self._items
        return [items[rank] for rank in found]
