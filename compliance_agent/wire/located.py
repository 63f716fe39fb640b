"""A document together with where each of its parts stands, so that a problem can name its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from compliance_agent.errors import InputProblem

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

Path: TypeAlias = tuple[str | int, ...]
"""Where in a document: keys and 0-based indexes, from the root."""

KEY_SHOWN_MAX: Final = 100
"""Longest part of a path that people see, in characters."""

_PLAIN_KEY: Final = re.compile(r"^[A-Za-z0-9_$@/-]+$")


@dataclass(frozen=True, slots=True)
class Located:
    """A value as read, and the places of its parts.

    Attributes:
        value: The whole document.
        source: File name, or a name such as ``<stdin>``.
        positions: Path to 1-based line and column; empty when the reader knows no places (JSON).

    """

    value: JsonValue
    source: str
    positions: Mapping[Path, tuple[int, int]] = field(default_factory=dict, repr=False)

    def position(self, path: Path) -> tuple[int, int]:
        """Return 1-based line and column of that key or element.

        What is not there has the place of its nearest ancestor; ``(0, 0)`` when no place is known.
        """
        for length in range(len(path), -1, -1):
            found = self.positions.get(path[:length])
            if found is not None:
                return found
        return (0, 0)

    def place(self, path: Path) -> str:
        """Return ``file:line``, or ``file: path`` when no line is known."""
        line, _column = self.position(path)
        if line:
            return f"{self.source}:{line}"
        return f"{self.source}: {render_path(path)}" if path else self.source

    def holds(self, path: Path) -> bool:
        """Tell whether something stands at that path."""
        value: Any = self.value
        for step in path:
            in_table = isinstance(value, Mapping) and step in value
            in_list = isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)
            if not (in_table or in_list):
                return False
            value = value[step]
        return True

    def problem(self, path: Path, message: str, hint: str = "") -> InputProblem:
        """Return a problem at that path."""
        line, column = self.position(path)
        return InputProblem(self.source, message, line=line, column=column, path=render_path(path), hint=hint)


def render_path(path: Path) -> str:
    """Return a path for people, like ``targets[2].port``; unusual keys stand in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.match(step):
            text += f".{shorten(step)}" if text else shorten(step)
        else:
            text += f'["{shorten(step)}"]'
    return text


def shorten(text: str) -> str:
    """Return a key or word for people, cut at ``KEY_SHOWN_MAX`` characters."""
    return text if len(text) <= KEY_SHOWN_MAX else f"{text[: KEY_SHOWN_MAX - 1]}…"


def find_path(value: JsonValue, text: str) -> Path:
    """Return the path that ``text`` (like ``facts.users[0].$in``) names within ``value``, as far as it exists.

    Keys may themselves hold dots and brackets; the longest key that fits is taken.
    """
    if isinstance(value, Mapping):
        rest = text.removeprefix(".")
        for key in sorted((key for key in value if rest.startswith(key)), key=len, reverse=True):
            tail = rest[len(key) :]
            if not tail or tail[0] in ".[":
                return (key, *find_path(value[key], tail))
        return ()
    found = re.match(r"\[([0-9]{1,9})\]", text)
    if found and isinstance(value, list) and int(found[1]) < len(value):
        index = int(found[1])
        return (index, *find_path(value[index], text[found.end() :]))
    return ()
