"""The clock: the only reader of wall time."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The machine's clock, as ``engine.ports.Clock``."""

    def now(self) -> datetime:
        """Return the time, UTC, with time zone."""
        return datetime.now(UTC)
