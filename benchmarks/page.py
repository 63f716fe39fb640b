"""docs/PERFORMANCE.md: each benchmark rewrites the block between its two marks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "PERFORMANCE.md"


def rewrite(name: str, content: str) -> None:
    """Put a benchmark's new text between ``<!-- NAME: begin -->`` and its end; without these marks the program ends."""
    marks = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, begin, rest = PAGE.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        sys.exit(f"{PAGE.name} has no block between {marks[0]} and {marks[1]}")
    PAGE.write_text(f"{before}{begin}\n{content}\n{end}{after}")
