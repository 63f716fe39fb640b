"""Building the tree: rows are split by the field that parts them best, then by what their tests share.

The design follows what was measured beforehand: a table on the most telling field at the root, below
each value a small table for each further field (the tuple space with a root) for as long as rows
share them, which on rules of many shapes becomes a discrimination tree by itself; whatever is no
equality goes to a leaf of its kind (``leaves``, ``texts``), and a lone row is judged directly.
"""

from __future__ import annotations

from collections import defaultdict
from math import log2
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.pattern_index import leaves, texts
from compliance_agent.domain.pattern_index.parts import Shapes
from compliance_agent.domain.pattern_index.plan import has_telling_test, plan_of
from compliance_agent.domain.pattern_index.rows import COPIES_MAX, Requirement, is_delicate, is_number
from compliance_agent.domain.pattern_index.tree import Part, is_node
from compliance_agent.domain.pattern_nodes import TestNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from compliance_agent.domain.pattern_index.plan import Group
    from compliance_agent.domain.pattern_index.rows import Key, Path, Row
    from compliance_agent.domain.pattern_index.tree import Node, Target

DEPTH_MAX: Final = 24
"""Deepest chain of nodes; rows that would need more are judged one by one from there."""

DULL_KEYS: Final = 8
"""A field with no more different keys than this tells rows less apart than a telling test does."""

FEW_CHOICES: Final = 8
"""Up to so many scalars a row that stands alone is compared with one by one."""

_LEAVES: Final[dict[str, Callable[..., list[Part]]]] = {
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
    """Builds the nodes of one index.

    Attributes:
        paths: Every place of the document that the index looks at.
        valued: Those of which more is asked than whether something is there.
        exact: Those whose numbers are looked at otherwise than by order.
        shapes: What the nodes are made by.

    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.paths: set[Path] = set()
        self.valued: set[Path] = set()
        self.exact: set[Path] = set()
        self.shapes = Shapes()
        self._keys: dict[Key, Key] = {}

    def target(self, rows: Sequence[Row], depth: int = 0) -> Target:
        """Return bare hits, or the node that tells these rows apart."""
        hits = tuple(sorted(row.rank for row in rows if not row.choices and not row.tests))
        if len(hits) == len(rows):
            return hits[0] if len(hits) == 1 else hits
        if depth >= DEPTH_MAX:
            candidates = [self._candidate(row) for row in rows if row.choices or row.tests]
            return self.shapes.node(hits, candidates)
        keyed, loose = _by_what_tells_most(rows)
        alone: list[Row] = []
        tables: list[Part] = []
        further: list[Part] = []
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
            self._look_at(path, exactly=any(is_number(key) for key in table))
            if any(is_delicate(key) for key in table):
                further.append(Part(("delicate", path), table))
            else:
                tables.append(Part(("table", path), table))
        groups, judged = plan_of(loose)
        for group in groups:
            further += self._leaf(group, depth)
        candidates = [self._candidate(row) for row in alone + judged]
        parts = [*tables, *further, *candidates]
        return self.shapes.node(hits, parts, is_root=depth == 0)

    def root(self, rows: Sequence[Row]) -> Node:
        """Return the node at which every match begins."""
        target = self.target(rows)
        if isinstance(target, int):
            target = (target,)
        return target if is_node(target) else self.shapes.node(target, (), is_root=True)

    def _look_at(self, path: Path, *, exactly: bool) -> None:
        """Take note of a place; ``exactly`` when another number near the one that stands there may be told from it."""
        self.paths.add(path)
        self.valued.add(path)
        if exactly:
            self.exact.add(path)

    def _leaf(self, group: Group, depth: int) -> list[Part]:
        if group.kind == "exists":
            self.paths.update((*group.path, name) for (name, _), _row in group.entries)
        else:
            self._look_at(group.path, exactly=group.kind in {"any", "contains"})
        return _LEAVES[group.kind](group.path, group.entries, lambda rows: self.target(rows, depth + 1))

    def _candidate(self, row: Row) -> Part:
        """Return what judges one row: what takes least time comes first."""
        conditions: list[tuple[str, Path, object]] = []
        tests = []
        for path, choice in sorted(row.choices.items(), key=lambda item: len(item[1].keys)):
            if len(choice.keys) > FEW_CHOICES or any(is_delicate(key) for key in choice.keys):
                tests += [Requirement(path, node) for node in choice.nodes]
            elif len(choice.keys) == 1:
                conditions.append(("equals", path, choice.keys[0]))
            else:
                conditions.append(("in", path, choice.keys))
        for path, node in ((test.path, test.node) for test in (*tests, *row.tests)):
            if isinstance(node, TestNode) and node.name == "$prefix":
                conditions.append(("prefix", path, node.argument))
            else:
                conditions.append(("test", path, getattr(node, "test", node.matches)))
        for operation, path, data in conditions:
            is_text = operation == "prefix" or (operation == "equals" and not is_number(data))
            self._look_at(path, exactly=not is_text)
        shape = tuple((operation, path) for operation, path, _ in conditions)
        return Part(("candidate", shape), (row.rank, *(data for *_, data in conditions)))


def _by_what_tells_most(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows to be split by a choice, and those to be split by a test.

    A row goes by a test when it has no choice, or when its choices are of fields that hardly tell rows
    apart (a platform, a severity) while its test does (a prefix, say).
    """
    if not any(row.tests for row in rows):
        return [row for row in rows if row.choices], []
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
            if len(choice.keys) == 1:
                weights[path] += 1
                keys[path].add(choice.keys[0])
            else:
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
