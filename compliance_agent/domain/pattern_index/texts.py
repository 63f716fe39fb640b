"""Leaves that look at strings: beginnings, endings, parts, expressions, letter case."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import ahocorasick
import re2

from compliance_agent.domain.operators import REGEX_MEMORY_MAX, expression_of
from compliance_agent.domain.pattern_index.rows import key_of
from compliance_agent.domain.pattern_index.tree import reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.operators import Missing
    from compliance_agent.domain.pattern_index.rows import Row
    from compliance_agent.domain.pattern_index.tree import Boxes, Leaf, Place, Run, Target

    Build = Callable[[Sequence[Row]], Target]
    Entries = Sequence[tuple[Any, Row]]
    Bucket = tuple[Sequence[str], Sequence[Target], Sequence[int]]

FEW_TEXTS: Final = 4
"""Up to so many texts are searched one by one; more by one automaton in one pass."""

AUTOMATON_TEXT_MAX: Final = 100_000
"""Longest text for the automaton, in characters: beyond it every match would be a Python object."""

OCCURRENCES_MAX: Final = 10_000
"""Most occurrences taken from the automaton: in a text full of them, asking for each text is quicker."""

SET_SIZE_MAX: Final = 128
"""Most expressions in one RE2 set, which keeps its states few."""


def _by_text(entries: Iterable[tuple[str, Row]]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for text, row in entries:
        rows[text].append(row)
    return rows


def prefixes(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a lookup of all texts that a string begins with."""
    return _beginnings(run_prefixes, place, _by_text(entries), build)


def suffixes(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a lookup of all texts that a string ends in: the beginnings of its reverse."""
    return _beginnings(_run_suffixes, place, _by_text((text[::-1], row) for text, row in entries), build)


def _beginnings(run: Run, place: Place, rows: Mapping[str, Sequence[Row]], build: Build) -> Leaf:
    """Sort the texts into buckets by as many characters as the shortest of them has.

    In a bucket: the texts in order, the target of each, and for each the place of the longest other that
    it begins with, or -1. In sorted order, the last text that is not after a string begins with every
    known text that the string begins with. So a binary search and a walk up those links find all.
    """
    width = min(map(len, rows))
    sorted_in: dict[str, list[str]] = defaultdict(list)
    for text in sorted(rows):
        sorted_in[text[:width]].append(text)
    buckets = {
        start: (texts, [build(rows[text]) for text in texts], _shorter(texts)) for start, texts in sorted_in.items()
    }
    return (run, place, width, buckets)


def _shorter(texts: Sequence[str]) -> list[int]:
    shorter = [-1] * len(texts)
    for at in range(1, len(texts)):
        above = at - 1
        while above >= 0 and not texts[at].startswith(texts[above]):
            above = shorter[above]
        shorter[at] = above
    return shorter


def run_prefixes(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    """Take what the beginnings of a string lead to."""
    _, (box, key, open_box), width, buckets = leaf
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if isinstance(value, str):
        bucket = buckets.get(value[:width])
        if bucket is not None:
            find_beginnings(bucket, value, boxes, found)


def _run_suffixes(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    _, (box, key, open_box), width, buckets = leaf
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if isinstance(value, str):
        value = value[::-1]
        bucket = buckets.get(value[:width])
        if bucket is not None:
            find_beginnings(bucket, value, boxes, found)


def find_beginnings(bucket: Bucket, value: str, boxes: Boxes, found: list[int]) -> None:
    """Take what every text in a bucket leads to with which the string begins."""
    texts, targets, shorter = bucket
    at = bisect_right(texts, value) - 1
    while at >= 0 and not value.startswith(texts[at]):
        at = shorter[at]
    while at >= 0:
        reach(targets[at], boxes, found)
        at = shorter[at]


def folded(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a lookup after case folding."""
    rows = _by_text((text.casefold(), row) for text, row in entries)
    return (_run_folded, place, {text: build(below) for text, below in rows.items()})


def _run_folded(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    _, (box, key, open_box), table = leaf
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if isinstance(value, str):
        target = table.get(value.casefold())
        if target is not None:
            reach(target, boxes, found)


def contained(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a search for texts in a string, and for elements in an array."""
    texts: dict[str, list[Row]] = defaultdict(list)
    elements: dict[object, list[Row]] = defaultdict(list)
    for (text, element), row in entries:
        elements[element].append(row)
        if text is not None:
            texts[text].append(row)
    automaton = None
    if len(texts) > FEW_TEXTS:
        automaton = ahocorasick.Automaton()
        for text in texts:
            automaton.add_word(text, text)
        automaton.make_automaton()
    return (
        _run_contained,
        place,
        {text: build(rows) for text, rows in texts.items()},
        automaton,
        {element: build(rows) for element, rows in elements.items()},
    )


def _run_contained(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    _, (box, key, open_box), texts, automaton, elements = leaf
    value: Any = (boxes[box] or open_box(boxes, box)).get(key)
    if isinstance(value, str):
        if automaton is None or len(value) > AUTOMATON_TEXT_MAX:
            parts: Iterable[str] = [text for text in texts if text in value]
        else:
            occurrences = automaton.iter(value)
            parts = {text for _, text in islice(occurrences, OCCURRENCES_MAX)}
            if next(occurrences, None) is not None:
                parts = [text for text in texts if text in value]
        for part in parts:
            reach(texts[part], boxes, found)
    elif isinstance(value, list | tuple):
        # Looked up among ours one by one: a set of theirs could be made of values whose hashes collide.
        for element in {key for item in value if (key := key_of(item)) in elements}:
            reach(elements[element], boxes, found)


def expressions(place: Place, entries: Entries, build: Build) -> Leaf:
    """Return a search for many expressions in one pass over the string."""
    rows: dict[str, list[Row]] = defaultdict(list)
    tests: dict[str, Callable[[JsonValue | Missing], bool]] = {}
    for (name, argument, test), row in entries:
        expression = expression_of(name, argument)
        rows[expression].append(row)
        tests[expression] = test
    names = list(rows)
    sets = [
        _expression_set({name: (tests[name], build(rows[name])) for name in names[start : start + SET_SIZE_MAX]})
        for start in range(0, len(names), SET_SIZE_MAX)
    ]
    return (_run_expressions, place, tuple(sets))


def _expression_set(
    members: Mapping[str, tuple[Callable[[JsonValue | Missing], bool], Target]],
) -> tuple[re2.Set, int, tuple[tuple[Callable[[JsonValue | Missing], bool], Target], ...]]:
    """Compile expressions into one set.

    RE2 reports a search that ran out of memory as one that found nothing. So an expression that is
    found in every text stands last: when it is missing from an answer, there was no answer.
    """
    options = re2.Options()
    options.max_mem = REGEX_MEMORY_MAX * (1 + len(members))
    options.log_errors = False
    together = re2.Set.SearchSet(options)
    for name in members:
        together.Add(name)
    witness = together.Add("")
    together.Compile()
    return (together, witness, tuple(members.values()))


def _run_expressions(leaf: Leaf, boxes: Boxes, found: list[int]) -> None:
    _, (box, key, open_box), sets = leaf
    value = (boxes[box] or open_box(boxes, box)).get(key)
    if not isinstance(value, str):
        return
    for together, witness, members in sets:
        try:
            numbers = together.Match(value)
        except UnicodeEncodeError:  # a lone surrogate cannot be text for RE2
            return
        if witness in numbers:
            targets = [members[number][1] for number in numbers if number != witness]
        else:
            targets = [target for test, target in members if test(value)]
        for target in targets:
            reach(target, boxes, found)
