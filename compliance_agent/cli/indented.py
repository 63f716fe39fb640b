"""Indented parts of an output, without the blanks to the right that would only wrap and spoil what is copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType


@dataclass(frozen=True, slots=True)
class Indented:
    """Something to print, so many columns further to the right.

    Attributes:
        content: What.
        columns: How far.

    """

    content: RenderableType
    columns: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Yield its lines."""
        inner = options.update(width=max(1, options.max_width - self.columns), height=None)
        for line in console.render_lines(self.content, inner, pad=False):
            yield Segment(" " * self.columns)
            yield from _without_end(line)
            yield Segment.line()


def _without_end(line: list[Segment]) -> list[Segment]:
    """Return the line without the blanks at its end."""
    kept = list(line)
    while kept and not kept[-1].text.strip(" "):
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(" "), kept[-1].style)
    return kept
