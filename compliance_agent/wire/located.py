"""A document together with where each of its parts stands, so that a problem can name its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from compliance_agent.errors import InputProblem

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

Path: TypeAlias = tuple[str | int, ...]
"""Where in a document: keys and 0-based indexes, from the root."""

KEY_SHOWN_MAX: Final = 100
"""Longest part of a path that people see, in characters."""

_PLAIN_KEY: Final = re.compile(r"^[A-Za-z0-9_$@/-]+$")


class Positions(Protocol):
    """Where parts of a document stand."""

    def get(self, path: Path, /) -> tuple[int, int] | None:
        """Return 1-based line and column of a key or element, or ``None``."""
        ...


@dataclass(frozen=True, slots=True)
class Located:
    """A value as read, and the places of its parts.

    Attributes:
        value: The whole document.
        source: File name, or a name such as ``<stdin>``.
        positions: Path to 1-based line and column; empty when no places are known.
        with_columns: A place names the column too, for a whole JSON document may stand in one line.

    """

    value: JsonValue
    source: str
    positions: Positions = field(default_factory=dict[Path, tuple[int, int]], repr=False)
    with_columns: bool = False

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
        """Return ``file:line`` (of JSON ``file:line:column``), or ``file: path`` when no line is known."""
        line, column = self.position(path)
        if line:
            return f"{self.source}:{line}:{column}" if self.with_columns else f"{self.source}:{line}"
        return f"{self.source}: {render_path(path)}" if path else self.source

    def origin(self, path: Path) -> object:
        """Return what ``place`` says, as text or as something that looks for it when it is turned into text."""
        return Origin(self, path) if self.with_columns else self.place(path)

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


class Origin:
    """Where a part of a document stands; looked up when it is turned into text."""

    __slots__ = ("_document", "_path")

    def __init__(self, document: Located, path: Path) -> None:
        """Keep the document, in which the path is looked up."""
        self._document = document
        self._path = path

    def __str__(self) -> str:
        """Return ``file:line:column``."""
        return self._document.place(self._path)

    def __eq__(self, other: object) -> bool:
        """Tell whether the other one is the same place."""
        return isinstance(other, Origin) and str(self) == str(other)

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash(str(self))


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
