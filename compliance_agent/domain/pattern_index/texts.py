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
from compliance_agent.domain.pattern_index.tree import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.operators import Missing
    from compliance_agent.domain.pattern_index.rows import Path, Row
    from compliance_agent.domain.pattern_index.tree import Target

    Build = Callable[[Sequence[Row]], Target]
    Entries = Sequence[tuple[Any, Row]]
    Bucket = tuple[Sequence[str], Sequence[Target], Sequence[int]]
    Level = tuple[int, Mapping[str, tuple[Target | None, Any, Bucket | None]]]

FEW_TEXTS: Final = 4
"""Up to so many texts are searched one by one; more by one automaton in one pass."""

AUTOMATON_TEXT_MAX: Final = 100_000
"""Longest text for the automaton, in characters: beyond it every match would be a Python object."""

OCCURRENCES_MAX: Final = 10_000
"""Most occurrences taken from the automaton: in a text full of them, asking for each text is quicker."""

LEVELS_MAX: Final = 3
"""Most tables of beginnings one below the other; texts that would need more are sorted."""

SET_SIZE_MAX: Final = 128
"""Most expressions in one RE2 set, which keeps its states few."""


def _by_text(entries: Iterable[tuple[str, Row]]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for text, row in entries:
        rows[text].append(row)
    return rows


def prefixes(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a lookup of all texts that a string begins with."""
    return [Part(("prefixes", path), _level(_by_text(entries), build, 1))]


def suffixes(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a lookup of all texts that a string ends in: the beginnings of its reverse."""
    rows = _by_text((text[::-1], row) for text, row in entries)
    return [Part(("many", path), (_of_suffixes, _level(rows, build, 1)))]


def _level(rows: Mapping[str, Sequence[Row]], build: Build, depth: int) -> Level:
    """Sort texts into a table by as many characters as the shortest of them has.

    An entry has the target of the text that ends there, and what goes on: a further level, or (the last
    levels) a bucket of sorted texts.
    """
    width = min(map(len, rows))
    sorted_in: dict[str, dict[str, Sequence[Row]]] = defaultdict(dict)
    for text in sorted(rows):
        sorted_in[text[:width]][text] = rows[text]
    table: dict[str, tuple[Target | None, Any, Bucket | None]] = {}
    for start, held in sorted_in.items():
        ended = held.pop(start, None)
        target = build(ended) if ended else None
        if not held:
            table[start] = (target, None, None)
        elif depth < LEVELS_MAX:
            table[start] = (target, _level(held, build, depth + 1), None)
        else:
            table[start] = (target, None, _bucket(held, build))
    return width, table


def _bucket(rows: Mapping[str, Sequence[Row]], build: Build) -> Bucket:
    """Return sorted texts, the target of each, and for each the place of the longest other that it begins with, or -1.

    In sorted order, the last text that is not after a string begins with every known text that the string
    begins with. So a binary search and a walk up those links find all.
    """
    texts = sorted(rows)
    return texts, [build(rows[text]) for text in texts], _shorter(texts)


def _shorter(texts: Sequence[str]) -> list[int]:
    shorter = [-1] * len(texts)
    for at in range(1, len(texts)):
        above = at - 1
        while above >= 0 and not texts[at].startswith(texts[above]):
            above = shorter[above]
        shorter[at] = above
    return shorter


def beginnings_in(bucket: Bucket, value: str) -> list[Target]:
    """Return what every text in a bucket leads to with which the string begins."""
    texts, targets, shorter = bucket
    at = bisect_right(texts, value) - 1
    while at >= 0 and not value.startswith(texts[at]):
        at = shorter[at]
    found = []
    while at >= 0:
        found.append(targets[at])
        at = shorter[at]
    return found


def of_prefixes(level: Level | None, value: object) -> list[Target]:
    """Return what every text leads to with which a string begins."""
    found: list[Target] = []
    if not isinstance(value, str):
        return found
    while level is not None:
        width, table = level
        entry = table.get(value[:width])
        if entry is None:
            break
        target, level, bucket = entry
        if target is not None:
            found.append(target)
        if bucket is not None:
            found += beginnings_in(bucket, value)
    return found


def _of_suffixes(level: Level, value: object) -> list[Target]:
    return of_prefixes(level, value[::-1]) if isinstance(value, str) else []


def folded(path: Path, entries: Entries, build: Build) -> list[Part]:
    """Return a lookup after case folding."""
    rows = _by_text((text.casefold(), row) for text, row in entries)
    return [Part(("one", path), (_of_folded, {text: build(below) for text, below in rows.items()}))]


def _of_folded(table: Mapping[str, Target], value: object) -> Target | None:
    return table.get(value.casefold()) if isinstance(value, str) else None


def contained(path: Path, entries: Entries, build: Build) -> list[Part]:
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
    data = (
        {text: build(rows) for text, rows in texts.items()},
        automaton,
        {element: build(rows) for element, rows in elements.items()},
    )
    return [Part(("many", path), (_of_contained, data))]


def _of_contained(data: tuple[Mapping[str, Target], Any, Mapping[object, Target]], value: object) -> Iterable[Target]:
    texts, automaton, elements = data
    if isinstance(value, str):
        if automaton is None or len(value) > AUTOMATON_TEXT_MAX:
            return [target for text, target in texts.items() if text in value]
        occurrences = automaton.iter(value)
        parts = {text for _, text in islice(occurrences, OCCURRENCES_MAX)}
        if next(occurrences, None) is not None:
            return [target for text, target in texts.items() if text in value]
        return [texts[text] for text in parts]
    if isinstance(value, list | tuple):
        # Looked up among ours one by one: a set of theirs could be made of values whose hashes collide.
        held = {key for item in value if (key := key_of(item)) in elements}
        return [elements[element] for element in held]
    return ()


def expressions(path: Path, entries: Entries, build: Build) -> list[Part]:
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
    return [Part(("many", path), (_of_expressions, tuple(sets)))]


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


def _of_expressions(sets: tuple[Any, ...], value: object) -> list[Target]:
    found: list[Target] = []
    if not isinstance(value, str):
        return found
    for together, witness, members in sets:
        try:
            numbers = together.Match(value)
        except UnicodeEncodeError:  # a lone surrogate cannot be text for RE2
            return found
        if witness in numbers:
            found += [members[number][1] for number in numbers if number != witness]
        else:
            found += [target for test, target in members if test(value)]
    return found
