"""When a scan is worth an entry of its own, and what it tells of those that were not.

Scans come every two minutes and nearly all tell the same. An entry is made of the first scan of each UTC
day, so that a day without one was a day without observation, and of every change of a verdict. The
scans between are counted. A verdict that swings is told at most every ten minutes, with the number of
changes; so a target makes at most 145 such entries a day, and usually one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.evidence.drafts import time_text

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue

CHANGE_INTERVAL_S: Final = 600
"""Least seconds between two entries of one target about changed verdicts."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What is remembered of a target since its last entry.

    Attributes:
        sealed: ``EvidenceDraft.alike`` of the last entry.
        sealed_at: When that was, UTC.
        last: ``EvidenceDraft.alike`` of the last scan.
        scans: Scans since, without an entry, that reached the target.
        unreached: Scans since, without an entry, that did not.
        changes: How often two scans in a row since differed.

    """

    sealed: str
    sealed_at: datetime
    last: str
    scans: int = 0
    unreached: int = 0
    changes: int = 0

    def since(self) -> dict[str, JsonValue]:
        """Return what an entry tells of the scans since the last one."""
        return {
            "last_entry_at": time_text(self.sealed_at),
            "scans": self.scans,
            "unreached": self.unreached,
            "changes": self.changes,
        }


@dataclass(frozen=True, slots=True)
class Tallied:
    """What one more scan makes of a tally.

    Attributes:
        tally: The tally afterwards.
        is_due: Whether this scan gets an entry.
        before: The tally that the entry tells of; ``None`` for a target's first entry.

    """

    tally: Tally
    is_due: bool
    before: Tally | None


def count_scan(tally: Tally | None, alike: str, *, reached: bool, at: datetime) -> Tallied:
    """Count one scan and decide whether it gets an entry.

    Args:
        tally: The target's tally; ``None`` for one that never had an entry.
        alike: ``EvidenceDraft.alike`` of the scan.
        reached: Whether the target was reached.
        at: When, UTC.

    """
    if tally is None:
        return Tallied(Tally(alike, at, alike), is_due=True, before=None)
    seen = replace(tally, changes=tally.changes + (alike != tally.last), last=alike)
    if _is_due(seen, alike, at):
        return Tallied(Tally(alike, at, alike), is_due=True, before=seen)
    counted = replace(seen, scans=seen.scans + reached, unreached=seen.unreached + (not reached))
    return Tallied(counted, is_due=False, before=tally)


def _is_due(tally: Tally, alike: str, at: datetime) -> bool:
    """Tell whether it is another day, or another verdict after a while. A clock that was set back counts as both."""
    if at < tally.sealed_at or at.astimezone(UTC).date() != tally.sealed_at.astimezone(UTC).date():
        return True
    return alike != tally.sealed and at - tally.sealed_at >= timedelta(seconds=CHANGE_INTERVAL_S)
