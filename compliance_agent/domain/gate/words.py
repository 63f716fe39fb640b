"""Numbers and times in the gate's sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def span(seconds: float) -> str:
    """Return a span for people: ``90 s``, ``105 min``, ``3.5 h``, ``24 h``, ``7 d``."""
    whole = round(seconds)
    if whole < _MINUTE or (whole < 2 * _MINUTE and whole % _MINUTE):
        return f"{whole} s"
    if whole < 2 * _HOUR and whole % _HOUR:
        return f"{round(whole / _MINUTE)} min"
    size, unit = (_DAY, "d") if whole >= 2 * _DAY else (_HOUR, "h") if whole >= _HOUR else (_MINUTE, "min")
    return f"{whole / size:.1f}".removesuffix(".0") + f" {unit}"


def read_time(text: str) -> datetime:
    """Return a time as people write it: ``2026-12-01`` (its end) or ``2026-12-01T08:00``, UTC where no zone is given.

    Raises:
        ValueError: It is none.

    """
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    try:
        return (at + timedelta(days=1) if len(text) == len("2026-12-01") else at).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def plural(count: int, noun: str) -> str:
    """Return ``1 attempt`` or ``3 attempts``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def when(at: datetime) -> str:
    """Return a time to the minute, UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
