"""Maintenance windows: when remediation may run, in the clinic's own time.

A window names local times; each of its days is turned into one span of UTC. Where a local time comes twice (the clock
falls back) the first one counts. Where it does not exist (the clock springs forward) the moment of the change counts;
a window of which that leaves nothing is moved to the hour after it. So a window is never missing, never open twice, and
never open later than the time that it names as its end, but for the one that lies in the missing hour as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, time, tzinfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AHEAD_DAYS: Final = 9
"""Days to look ahead: a week, and one more at either end for time zones and overnight windows."""


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """One window.

    Attributes:
        name: For people.
        start: Local time at which it opens.
        end: Local time at which it closes; on the next day when it is not later than ``start``.
        zone: The time zone, with its daylight saving time.
        days: Days of the week on which it opens, 0 is Monday.
        targets: Target ids or shell-style wildcards that it is for.
        tags: Tags of targets that it is for; with neither it is for every target.

    """

    name: str
    start: time
    end: time
    zone: tzinfo
    days: frozenset[int] = frozenset(range(7))
    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def applies_to(self, target_id: str, tags: Sequence[str]) -> bool:
        """Tell whether the window is for this target."""
        if not self.targets and not self.tags:
            return True
        named = any(fnmatchcase(target_id, pattern) for pattern in self.targets)
        return named or any(tag in self.tags for tag in tags)

    def opening(self, day: date) -> tuple[datetime, datetime] | None:
        """Return the span, UTC, that opens on this local day; ``None`` on a day that is not one of its days."""
        if day.weekday() not in self.days:
            return None
        last = day if self.end > self.start else day + timedelta(days=1)
        start, end = datetime.combine(day, self.start), datetime.combine(last, self.end)
        opens, closes = _moment(start, self.zone), _moment(end, self.zone)
        if opens < closes:
            return opens, closes
        opens = start.replace(tzinfo=self.zone).astimezone(UTC)  # by the offset before the change: after it
        return opens, opens + (end - start)

    def openings(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """Return the spans that are open now or open within the coming week, soonest first."""
        today = now.astimezone(self.zone).date()
        days = (today + timedelta(days=ahead) for ahead in range(-1, _AHEAD_DAYS))
        spans = [span for day in days if (span := self.opening(day)) is not None]
        return [(opens, closes) for opens, closes in spans if now < closes and opens < closes]


def _moment(local: datetime, zone: tzinfo) -> datetime:
    """Return when a local time is, UTC: the first of two, and where it does not exist when the clock was changed."""
    late = local.replace(tzinfo=zone).astimezone(UTC)
    if late.astimezone(zone).replace(tzinfo=None, fold=0) == local:
        return late
    early = local.replace(tzinfo=zone, fold=1).astimezone(UTC)  # before the change, while ``late`` is not
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)


def window_for(
    windows: Sequence[MaintenanceWindow], target_id: str, tags: Sequence[str], now: datetime
) -> tuple[bool, datetime | None, str]:
    """Tell whether remediation may run on a target now.

    Returns:
        Whether it may; else when the next window opens, UTC, and that window's name.

    """
    for_it = [window for window in windows if window.applies_to(target_id, tags)]
    if not for_it:
        return True, None, ""
    upcoming = sorted((opens, window.name) for window in for_it for opens, _closes in window.openings(now))
    if upcoming and upcoming[0][0] <= now:
        return True, None, upcoming[0][1]
    return (False, upcoming[0][0], upcoming[0][1]) if upcoming else (False, None, for_it[0].name)
