"""Where the parts of a JSON document stand. Nothing is looked for until somebody asks.

Python's own JSON scanner skips values at the speed of C. So the way to one part is found by skipping
what stands before it, level by level; of every object or array on the way all parts are remembered.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from json import JSONDecoder, decoder
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.wire.text import decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compliance_agent.wire.located import Path

LEVELS_SCANNED_MAX: Final = 24
"""How often the whole text may be gone over, in sum; each level of nesting may take once."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_BETWEEN: Final = re.compile(r"[ \t\r\n,]*")
_COLON: Final = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")


def _skip_number(_literal: str) -> None:
    """Stand for a number that is only passed by: reading it could fail, or take long."""


_READER: Final[Any] = JSONDecoder(parse_int=_skip_number, parse_float=_skip_number)
_scan: Final = _READER.scan_once
_scan_text: Final = getattr(decoder, "scanstring")  # noqa: B009 - mypy's stubs know it not


class JsonPlaces:
    """Line and column of every key and element of one document."""

    def __init__(self, data: str | bytes) -> None:
        """Keep the document, which ``read_json`` has read without a problem."""
        self._data = data
        self._text: str | None = None
        self._line_ends = array("Q")
        self._left = 0
        self._parts: dict[Path, Mapping[str | int, int] | Sequence[int]] = {}

    def get(self, path: Path) -> tuple[int, int] | None:
        """Return 1-based line and column, of a value in an object those of its key; ``None``: not found.

        What stands too deep in a huge document is not found (``LEVELS_SCANNED_MAX``).
        """
        text = self._text if self._text is not None else self._decode()
        offset = value = _SPACE.match(text).end()  # type: ignore[union-attr]  # it matches nothing at least
        for depth, step in enumerate(path):
            found = self._part(text, path[:depth], value, step)
            if found is None:
                return None
            offset = value = found
            if isinstance(step, str):
                value = _after_key(text, offset)[1]
        before = bisect_left(self._line_ends, offset)
        return before + 1, offset - (self._line_ends[before - 1] if before else -1)

    def _decode(self) -> str:
        text = self._text = decode(self._data, source="")
        self._data = b""
        self._line_ends = array("Q", (found.start() for found in re.finditer("\n", text)))
        self._left = LEVELS_SCANNED_MAX * len(text)
        return text

    def _part(self, text: str, path: Path, start: int, step: str | int) -> int | None:
        parts = self._parts.get(path)
        if parts is None:
            if self._left < 0 or text[start] not in "{[":
                return None
            parts, end = _object_parts(text, start) if text[start] == "{" else _array_parts(text, start)
            self._parts[path] = parts
            self._left -= end - start
        if isinstance(step, str):
            return parts.get(step) if isinstance(parts, dict) else None
        return parts[step] if isinstance(parts, array) and 0 <= step < len(parts) else None


def _after_key(text: str, start: int) -> tuple[str, int]:
    """Return the key that stands there, and where its value begins."""
    key, end = _scan_text(text, start + 1)
    return key, _COLON.match(text, end).end()  # type: ignore[union-attr]  # the text is JSON


def _object_parts(text: str, start: int) -> tuple[dict[str | int, int], int]:
    """Return where each key stands (of one that stands twice, the last), and where the object ends."""
    parts: dict[str | int, int] = {}
    place = start + 1
    while text[place := _BETWEEN.match(text, place).end()] != "}":  # type: ignore[union-attr]  # as above
        key, value = _after_key(text, place)
        parts[key] = place
        _, place = _scan(text, value)
    return parts, place + 1


def _array_parts(text: str, start: int) -> tuple[Sequence[int], int]:
    parts = array("Q")
    place = start + 1
    while text[place := _BETWEEN.match(text, place).end()] != "]":  # type: ignore[union-attr]  # as above
        parts.append(place)
        _, place = _scan(text, place)
    return parts, place + 1
