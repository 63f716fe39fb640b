"""The clock: the only reader of time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from compliance_agent.domain.timeline import Reading

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """The machine's clock, as ``engine.ports.Clock``."""

    def now(self) -> datetime:
        """Return the wall time, UTC, with time zone."""
        return datetime.now(UTC)

    def read(self) -> Reading:
        """Return wall time, boot and monotonic time (``CLOCK_BOOTTIME``: it counts while the machine sleeps)."""
        return Reading(datetime.now(UTC), _boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


@cache
def _boot_id() -> str:
    """Return the boot's id; empty where the kernel tells none, and then the wall clock alone counts."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
