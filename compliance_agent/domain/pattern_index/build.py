"""Building the tree: rows are split by the field that parts them best, then by what their tests share.

The design follows what was measured beforehand: a table on the most telling field at the root, below
each value a small table for each further field (the tuple space with a root) for as long as rows
share them, which on rules of many shapes becomes a discrimination tree by itself; whatever is no
equality goes to a leaf of its kind (``leaves``, ``texts``), and a lone row is judged directly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import log2
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.pattern_index import leaves, texts
from compliance_agent.domain.pattern_index.plan import has_telling_test, plan_of
from compliance_agent.domain.pattern_index.rows import COPIES_MAX, is_delicate
from compliance_agent.domain.pattern_index.straight import Shapes
from compliance_agent.domain.pattern_index.tree import NO_BOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from compliance_agent.domain.pattern_index.plan import Group
    from compliance_agent.domain.pattern_index.rows import Key, Path, Row
    from compliance_agent.domain.pattern_index.tree import Box, Boxes, Branch, Candidate, Check, Leaf, Place, Target

DEPTH_MAX: Final = 24
"""Deepest chain of nodes; rows that would need more are judged one by one from there."""

DULL_KEYS: Final = 8
"""A field with no more different keys than this tells rows less apart than a telling test does."""

WHOLE: Final = -1
"""In place of a parent box: the box that holds the whole document under the empty key."""

_LEAVES: Final[dict[str, Callable[..., Leaf]]] = {
    "any": leaves.any_of,
    "exists": leaves.existence,
    "number": leaves.numbers,
    "string": leaves.strings,
    "cidr": leaves.networks,
    "prefix": texts.prefixes,
    "suffix": texts.suffixes,
    "fold": texts.folded,
    "contains": texts.contained,
    "expression": texts.expressions,
}


class Builder:
    """Builds the nodes of one index and numbers the boxes that they look into.

    Attributes:
        plan: For each box but the document itself (number 0): its parent box and its key there.
        paths: Every place of the document that the index looks at.
        paths_at_once: The objects that the root looks into, whatever the document is.

    """

    def __init__(self) -> None:
        """Start with the document as the only box."""
        self.plan: list[tuple[int, str]] = []
        self.paths: set[Path] = set()
        self._boxes: dict[Path | None, int] = {(): 0}
        self._places: dict[Path, Place] = {}
        self._keys: dict[Key, Key] = {}
        self.paths_at_once: set[Path] = set()
        self._open = _opener(self.plan)
        self._shapes = Shapes(self.plan, self._open)

    def place(self, path: Path) -> Place:
        """Return where a field is found."""
        self.paths.add(path)
        known = self._places.get(path)
        if known is None:
            box, key = (self._box(path[:-1]), path[-1]) if path else (self._number(None, WHOLE, ""), "")
            known = self._places[path] = (box, key, self._open)
        return known

    def _box(self, path: Path) -> int:
        known = self._boxes.get(path)
        return self._number(path, self._box(path[:-1]), path[-1]) if known is None else known

    def _number(self, path: Path | None, parent: int, key: str) -> int:
        known = self._boxes.get(path)
        if known is None:
            self.plan.append((parent, key))
            known = self._boxes[path] = len(self.plan)
        return known

    def target(self, rows: Sequence[Row], depth: int = 0) -> Target:
        """Return bare hits, or the node that tells these rows apart."""
        hits = sorted(row.rank for row in rows if not row.choices and not row.tests)
        if len(hits) == len(rows):
            return hits[0] if len(hits) == 1 else hits
        if depth >= DEPTH_MAX:
            candidates = [self._candidate(row) for row in rows if row.choices or row.tests]
            return self._shapes.branch(hits, (), (), tuple(candidates))
        keyed, loose = _by_what_tells_most(rows)
        alone: list[Row] = []
        tables: list[tuple[Place, dict[object, Target]]] = []
        further: list[Leaf] = []
        if len(keyed) == 1:
            alone, keyed = keyed, []
        while keyed:
            path = _best_path(keyed)
            split, keyed, blunt = _split(keyed, path)
            loose += [row for row in blunt if not row.choices]
            keyed += [row for row in blunt if row.choices]
            if not split:
                continue
            same = self._keys.setdefault  # equal keys of all tables are one object, which keeps memory small and near
            table: dict[object, Target] = {same(key, key): self.target(rows, depth + 1) for key, rows in split.items()}
            if any(is_delicate(key) for key in table):
                further.append(leaves.delicate(self.place(path), table))
            else:
                tables.append((self.place(path), table))
        groups, judged = plan_of(loose)
        further += [self._leaf(group, depth) for group in groups]
        if depth == 0:
            self._note_what_is_opened_at_once([place for place, *_ in (*tables, *(leaf[1:] for leaf in further))])
        candidates = [self._candidate(row) for row in alone + judged]
        return self._shapes.branch(hits, tuple(tables), tuple(further), tuple(candidates), is_root=depth == 0)

    def root(self, rows: Sequence[Row]) -> Branch:
        """Return the node at which every match begins."""
        target = self.target(rows)
        if isinstance(target, tuple):
            return target
        return self._shapes.branch([target] if isinstance(target, int) else target, (), (), (), is_root=True)

    def _note_what_is_opened_at_once(self, places: Iterable[Place]) -> None:
        boxes = {place[0] for place in places}
        for path, number in self._boxes.items():
            if path and number in boxes:
                self.paths_at_once.update(path[:length] for length in range(1, len(path) + 1))

    def _leaf(self, group: Group, depth: int) -> Leaf:
        if group.kind == "exists":
            self.paths.update((*group.path, name) for (name, _), _row in group.entries)
            place: Place = (self._box(group.path), "", self._open)
        else:
            place = self.place(group.path)
        return _LEAVES[group.kind](place, group.entries, lambda rows: self.target(rows, depth + 1))

    def _candidate(self, row: Row) -> Candidate:
        equals: list[tuple[Place, object]] = []
        checks: list[Check] = []
        for path, choice in row.choices.items():
            if len(choice.keys) == 1 and not is_delicate(choice.keys[0]):
                equals.append((self.place(path), choice.keys[0]))
            else:
                checks += [(self.place(path), node.matches) for node in choice.nodes]
        checks += [(self.place(test.path), getattr(test.node, "test", test.node.matches)) for test in row.tests]
        return (row.rank, tuple(equals), tuple(checks))


def _opener(plan: list[tuple[int, str]]) -> Callable[[Boxes, int], Box]:
    """Return what finds a box that was not looked into yet, and puts it into its place in the list."""

    def open_box(boxes: Boxes, number: int) -> Box:
        if number == 0:
            return boxes[0] or {}
        parent, key = plan[number - 1]
        if parent == WHOLE:
            found: Box = {key: boxes[0]}
        else:
            value = (boxes[parent] or open_box(boxes, parent)).get(key)
            if boxes[-1] is not None and value.__class__ is not dict and value is not None:
                value = boxes[-1](key, value)
            found = value if value.__class__ is dict or isinstance(value, Mapping) else NO_BOX
        boxes[number] = found
        return found

    return open_box


def _by_what_tells_most(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows to be split by a choice, and those to be split by a test.

    A row goes by a test when it has no choice, or when its choices are of fields that hardly tell rows
    apart (a platform, a severity) while its test does (a prefix, say).
    """
    keys: dict[Path, set[Key]] = defaultdict(set)
    for row in rows:
        for path, choice in row.choices.items():
            keys[path].update(choice.keys)
    telling = {path for path, held in keys.items() if len(held) > DULL_KEYS}
    keyed: list[Row] = []
    loose: list[Row] = []
    for row in rows:
        if row.choices and (not telling.isdisjoint(row.choices) or not has_telling_test(row)):
            keyed.append(row)
        elif row.choices or row.tests:
            loose.append(row)
    return keyed, loose


def _best_path(rows: Iterable[Row]) -> Path:
    """Return the path that parts the rows best: many rows have it, with many different keys.

    A row that may have any of several keys there counts for less, since it goes below each.
    """
    weights: dict[Path, float] = defaultdict(float)
    keys: dict[Path, set[Key]] = defaultdict(set)
    for row in rows:
        for path, choice in row.choices.items():
            weights[path] += 1 / len(choice.keys)
            keys[path].update(choice.keys)
    return min(weights, key=lambda path: (-weights[path] * log2(1 + len(keys[path])), path))


def _split(rows: Sequence[Row], path: Path) -> tuple[dict[Key, list[Row]], list[Row], list[Row]]:
    """Return the rows by their keys at ``path``, those without one, and those with too many.

    The last have been rewritten: their choice at ``path`` is a test now.
    """
    split: dict[Key, list[Row]] = defaultdict(list)
    others: list[Row] = []
    blunt: list[Row] = []
    for row in rows:
        choice = row.choices.get(path)
        if choice is None:
            others.append(row)
        elif len(choice.keys) > 1 and row.copies * len(choice.keys) > COPIES_MAX:
            blunt.append(row.with_choice_as_test(path))
        else:
            below = row.without(path)
            for key in choice.keys:
                split[key].append(below)
    return split, others, blunt
