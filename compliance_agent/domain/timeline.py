"""Time that no clock can turn back: what every timer of the gate is measured in.

The wall clock may jump either way, and the monotonic clock begins anew with each boot. So each reading holds the
wall time, the boot's id and the monotonic time, and is placed on two durable counters of seconds that only grow
(``docs/adr/0015-time.md``):

    uptime_s    grows only while one boot lasts, by the monotonic clock. Time between two boots counts nothing. What
                limits how *often* something happens is measured in it: no clock can make it run fast.
    elapsed_s   the same, and between two boots the wall clock's difference counts too, from 0 to ``GAP_MAX_S``.
                What *ends* by itself is measured in it: a hold of a week ends though the appliance is off at night.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

GAP_MAX_S: Final = 604_800.0
"""Most seconds that count between two boots: the longest hold. A clock that ran years ahead ends no more than that."""

KEEP_EVERY_S: Final = 60.0
"""How stale, in seconds, the kept instant may be before it is written again."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clocks said, all at one moment.

    Attributes:
        wall: Wall time, UTC.
        boot_id: Changes with each boot; empty where only the wall clock is known.
        monotonic_s: Seconds since the boot, time asleep included (``CLOCK_BOOTTIME``).

    """

    wall: datetime
    boot_id: str = ""
    monotonic_s: float = 0.0


Moment: TypeAlias = "datetime | Reading"
"""A reading, or the wall time alone."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A reading in its place on the durable counters.

    Attributes:
        wall: Wall time, UTC: for people, maintenance windows and calendar dates.
        boot_id: As read.
        monotonic_s: As read.
        uptime_s: For limits; see the module.
        elapsed_s: For what ends by itself; see the module.

    """

    wall: datetime
    boot_id: str
    monotonic_s: float
    uptime_s: float
    elapsed_s: float

    def later(self, seconds: float) -> Instant:
        """Return the instant that many seconds later in the same boot; never an earlier one."""
        spent = max(0.0, seconds)
        return replace(
            self,
            wall=self.wall + timedelta(seconds=spent),
            monotonic_s=self.monotonic_s + spent,
            uptime_s=self.uptime_s + spent,
            elapsed_s=self.elapsed_s + spent,
        )

    def wall_at(self, elapsed_s: float) -> datetime:
        """Return the wall time, for people, at which ``elapsed_s`` is, as far as can be told now."""
        try:
            return self.wall + timedelta(seconds=elapsed_s - self.elapsed_s)
        except OverflowError:
            return self.wall.max.replace(tzinfo=self.wall.tzinfo)


def reading_of(moment: Moment) -> Reading:
    """Return a moment as a reading."""
    return moment if isinstance(moment, Reading) else Reading(moment)


def place(last: Instant | None, moment: Moment) -> Instant:
    """Place a reading after the last instant that was kept.

    Both counters never go back, whatever was read: two turns that run side by side may hand in their readings
    in either order, and a machine put back to an older state reads less than it knows already.

    Args:
        last: The instant kept last; ``None`` where there is none yet.
        moment: What the clocks say.

    """
    now = reading_of(moment)
    if last is None:
        return Instant(now.wall, now.boot_id, now.monotonic_s, 0.0, 0.0)
    wall_s = (now.wall - last.wall).total_seconds()
    if now.boot_id and now.boot_id == last.boot_id:
        up_s = gone_s = max(0.0, now.monotonic_s - last.monotonic_s)
    elif now.boot_id:
        up_s, gone_s = 0.0, min(max(0.0, wall_s), GAP_MAX_S)
    else:  # only the wall clock is known
        up_s = gone_s = min(max(0.0, wall_s), GAP_MAX_S)
    return Instant(now.wall, now.boot_id, now.monotonic_s, last.uptime_s + up_s, last.elapsed_s + gone_s)


def newer(last: Instant | None, now: Instant) -> Instant:
    """Return which of two instants is to be kept: the counters never go back."""
    if last is None or now.elapsed_s > last.elapsed_s or now.boot_id != last.boot_id:
        kept = max(last.uptime_s, now.uptime_s) if last else now.uptime_s
        gone = max(last.elapsed_s, now.elapsed_s) if last else now.elapsed_s
        return replace(now, uptime_s=kept, elapsed_s=gone)
    return last


def is_stale(last: Instant | None, now: Instant) -> bool:
    """Tell whether the kept instant should be written again."""
    return last is None or last.boot_id != now.boot_id or now.elapsed_s - last.elapsed_s >= KEEP_EVERY_S
