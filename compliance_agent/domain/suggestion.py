"""What a person may have meant by a word that is not known."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


LISTED_MAX: Final = 20
"""Most known words that are listed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word, or the known ones when none is near."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    if not choices:
        return ""
    more = f" and {len(choices) - LISTED_MAX} more" if len(choices) > LISTED_MAX else ""
    return f"known: {', '.join(choices[:LISTED_MAX])}{more}"
