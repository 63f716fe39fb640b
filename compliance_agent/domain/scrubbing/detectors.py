"""A detector: a name, and how it finds what must go. All of them search with RE2, in time linear in the text.

In a pattern, *capturing groups are what goes*; everything else only says where that stands and stays. RE2 has no
look-around, so a pattern also takes in the character before and after; the next search begins where
the removed part ends, so that one character may end one secret and begin the next.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ahocorasick
import re2

if TYPE_CHECKING:
    from collections.abc import Iterator

REMOVED: Final = "[removed]"

Span = tuple[int, int]
Finder = Callable[[bytes], Iterable[Span]]
Spares = Callable[[str, str], bool]
"""Asked with what stands before a value in its match and with the value: whether the value may stay."""

BLANK: Final = r"[ \t\x{a0}]"
NEWLINE: Final = r"(?:\r?\n|\\r\\n|\\n)"
"""A line's end, also as JSON writes it within a text."""

_MEMORY_MAX: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of thing that must go.

    Attributes:
        name: As the corpus and the documents call it, like ``net-user``.
        find: Returns the parts of a UTF-8 text that must go, in bytes, in order, none within another.
        needs: Of these, in small letters, every text in which it finds something has at least one in it. It only
            saves the search of other texts; without any, all are searched.

    """

    name: str
    find: Finder
    needs: frozenset[bytes] = frozenset()


@functools.cache
def compiled(pattern: str, *, exact: bool = False) -> Any:  # noqa: ANN401 - re2 is untyped
    """Return a pattern over UTF-8; ``^`` and ``$`` are line ends, and case counts only if ``exact``.

    A detector compiles its own at its first use: all of them together take longer than a short command may.
    """
    options = re2.Options()
    options.max_mem = _MEMORY_MAX
    options.log_errors = False
    return re2.compile(f"(?{'' if exact else 'i'}m){pattern}".encode(), options)


def by_pattern(name: str, needs: str, pattern: str, *, spares: Spares | None = None, exact: bool = False) -> Detector:
    """Return the detector that removes a pattern's capturing groups, unless ``spares`` lets the first one stay.

    Args:
        name: As in :class:`Detector`.
        needs: :attr:`Detector.needs`, with blanks between them.
        pattern: RE2.
        spares: Whether a value may stay.
        exact: Whether case counts.

    """

    def find(text: bytes) -> Iterable[Span]:
        return _spans(compiled(pattern, exact=exact), text, spares)

    return Detector(name, find, frozenset(needs.encode().split()))


def _spans(expression: Any, text: bytes, spares: Spares | None) -> Iterator[Span]:  # noqa: ANN401 - re2 is untyped
    position = 0
    while (found := expression.search(text, position)) is not None:
        groups = [found.span(number) for number in range(1, expression.groups + 1)]
        groups = [(start, end) for start, end in groups if start >= 0 and end > start]
        if not groups:
            position = max(found.end(), position + 1)
            continue
        start, end = groups[0]
        if spares is None or not spares(decoded(text[found.start() : start]), decoded(text[start:end])):
            yield from groups
        position = groups[-1][1]


def remove(detector: Detector, text: bytes) -> bytes:
    """Return a UTF-8 text without what this detector finds; the very same object if that is nothing."""
    pieces: list[bytes] = []
    kept_from = 0
    for start, end in detector.find(text):
        pieces += [text[kept_from:start], REMOVED.encode()]
        kept_from = end
    return b"".join([*pieces, text[kept_from:]]) if pieces else text


class Table:
    """Detectors, applied one after another. A text is looked through once for what all of them need."""

    def __init__(self, detectors: Iterable[Detector]) -> None:
        """Take the detectors in the order in which they are to look."""
        self._detectors = tuple(detectors)
        by_need: dict[bytes, set[int]] = {}
        for place, detector in enumerate(self._detectors):
            for need in detector.needs:
                by_need.setdefault(need, set()).add(place)
        self._always = frozenset(place for place, detector in enumerate(self._detectors) if not detector.needs)
        self._by_mark = tuple((need, frozenset(places)) for need, places in by_need.items() if len(need) == 1)
        self._by_word = ahocorasick.Automaton()
        for need, places in by_need.items():
            if len(need) > 1:
                self._by_word.add_word(need.decode(), frozenset(places))
        self._by_word.make_automaton()

    def remove(self, text: bytes) -> bytes:
        """Return a UTF-8 text without what the detectors find."""
        waiting = self._places(text, -1)
        while waiting:
            place = waiting.pop()
            left = remove(self._detectors[place], text)
            if left is not text:
                text = left
                waiting = self._places(text, place)
        return text

    def _places(self, text: bytes, after: int) -> list[int]:
        """Return where the detectors stand that may find something and have not looked yet, the next one last."""
        small = text.lower()
        marks = [places for need, places in self._by_mark if need in small]
        words_there = [places for _, places in self._by_word.iter(small.decode("latin-1"))]
        found = self._always.union(*marks, *words_there)
        return sorted([place for place in found if place > after], reverse=True)


def words(text: str) -> frozenset[str]:
    """Return the words of a table."""
    return frozenset(text.split())


def decoded(part: bytes) -> str:
    """Return a part of a UTF-8 text, which may begin or end within a character."""
    return part.decode("utf-8", "replace")
