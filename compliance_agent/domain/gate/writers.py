"""Who else writes this setting? A guess from the times at which a fix came back, with its evidence.

The agent sees the drift at its next scan only, so an interval is known to about one scan's pause. The table is asked
in order, the narrower habit first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.gate.words import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

INTERVALS_MIN: Final = 2
"""Fewest intervals that tell a habit."""
REGULAR_MAX: Final = 0.25
"""Largest share of the median by which each interval may differ from it, for a regular writer."""
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_SAME_TIME_S: Final = 900.0
_WORKDAY: Final = range(7, 19)
_WORKDAYS: Final = range(5)


@dataclass(frozen=True, slots=True)
class LikelyWriter:
    """A guess.

    Attributes:
        name: For people.
        evidence: What speaks for it, one clause.

    """

    name: str
    evidence: str

    def __str__(self) -> str:
        """Return both as one clause."""
        return f"{self.name} ({self.evidence})"


@dataclass(frozen=True, slots=True)
class _Habit:
    name: str
    least_s: float
    most_s: float
    known_for: str


_HABITS: Final = (
    _Habit("Puppet", 28 * _MINUTE, 36 * _MINUTE, "runs every 30 min"),
    _Habit("an hourly cron job", 55 * _MINUTE, 66 * _MINUTE, "runs every hour"),
    _Habit("Group Policy", 85 * _MINUTE, 126 * _MINUTE, "refreshes every 90 to 120 min"),
    _Habit("device management (MDM)", 7.5 * _HOUR, 8.6 * _HOUR, "checks in every 8 h"),
    _Habit("a daily cron job", 23.5 * _HOUR, 24.5 * _HOUR, "runs every day"),
    _Habit("a weekly cron job", 6.9 * _DAY, 7.1 * _DAY, "runs every week"),
)


def likely_writer(relapses: Sequence[datetime]) -> LikelyWriter | None:
    """Return who probably changes it back, or ``None`` when the times tell nothing.

    Args:
        relapses: When the fix was seen undone, UTC, oldest first.

    """
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(relapses)]
    gaps = [gap for gap in gaps if gap > 0]
    if len(gaps) < INTERVALS_MIN:
        return None
    usual = median(gaps)
    if all(abs(gap - usual) <= REGULAR_MAX * usual for gap in gaps):
        return _regular(relapses, usual)
    daily = _same_time_each_day(relapses, gaps)
    return daily or _a_person(relapses)


def _regular(relapses: Sequence[datetime], usual: float) -> LikelyWriter:
    found = f"it returned every {span(usual)}"
    for habit in _HABITS:
        if habit.least_s <= usual <= habit.most_s:
            clock = f", about {relapses[-1].astimezone(UTC):%H:%M} UTC" if usual >= _DAY * 0.9 else ""
            return LikelyWriter(habit.name, f"{found}{clock}; {habit.known_for}")
    return LikelyWriter("a scheduled job", found)


def _same_time_each_day(relapses: Sequence[datetime], gaps: Sequence[float]) -> LikelyWriter | None:
    """Days may be left out (a laptop that is not there): what counts is the same time of day."""
    off = [abs(gap - round(gap / _DAY) * _DAY) for gap in gaps]
    if any(gap < _DAY * 0.9 for gap in gaps) or any(one > _SAME_TIME_S for one in off):
        return None
    return LikelyWriter("a daily cron job", f"it returned at about {relapses[-1].astimezone(UTC):%H:%M} UTC each time")


def _a_person(relapses: Sequence[datetime]) -> LikelyWriter | None:
    """Irregular, and always in working hours by the appliance's UTC day; a wide guess, said as such."""
    if all(at.hour in _WORKDAY and at.weekday() in _WORKDAYS for at in relapses):
        longest = max(later - earlier for earlier, later in pairwise(relapses))
        if longest > timedelta(minutes=5):
            return LikelyWriter("a person", "it returned at irregular times, always on working days by daylight")
    return None
