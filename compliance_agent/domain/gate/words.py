"""Numbers and times in the gate's sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def span(seconds: float) -> str:
    """Return a span for people, in the largest unit that is exact, else the nearest sensible one."""
    whole = round(seconds)
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if whole >= size and whole % size == 0 and (unit != "d" or whole > _DAY):
            return f"{whole // size} {unit}"
    if whole >= 2 * _DAY:
        return f"{whole / _DAY:.1f} d"
    if whole >= 2 * _HOUR:
        return f"{whole / _HOUR:.1f} h"
    return f"{round(whole / _MINUTE)} min" if whole >= 2 * _MINUTE else f"{whole} s"


def plural(count: int, noun: str) -> str:
    """Return ``1 attempt`` or ``3 attempts``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def when(at: datetime) -> str:
    """Return a time to the minute, UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
