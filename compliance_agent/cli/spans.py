"""Spans and times as people type them: ``2h``, ``30min``, ``7d``, ``2026-12-01``, ``2026-12-01T08:00``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from compliance_agent.domain.gate.people import Term
from compliance_agent.domain.gate.words import read_time

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.timeline import Instant

_SPAN: Final = re.compile(r"^([1-9][0-9]{0,5})(min|m|h|d|w)$")
_UNITS: Final = {"min": 60, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
TERM_MAX: Final = timedelta(days=366)
"""Longest span that a person may ask for; a decision is looked at again within a year."""


def span_of(text: str) -> timedelta:
    """Return a span.

    Raises:
        click.UsageError: It is none, or longer than a year.

    """
    found = _SPAN.match(text.strip().lower())
    if found is None:
        raise click.UsageError(f"{text!r} is no span; write it like 30min, 2h or 7d.")
    span = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if span > TERM_MAX:
        raise click.UsageError(f"{text} is longer than a year.")
    return span


def term_of(text: str, now: Instant) -> Term:
    """Return until when a span, a date (its end, UTC) or a time (UTC) lasts.

    Raises:
        click.UsageError: It is none of these, in the past, or more than a year away.

    """
    if _SPAN.match(text.strip().lower()):
        span = span_of(text)
    else:
        span = _time_of(text) - now.wall
        if span <= timedelta(0):
            raise click.UsageError(f"{text} is in the past.")
        if span > TERM_MAX:
            raise click.UsageError(f"{text} is more than a year away.")
    return Term(now.wall + span, now.elapsed_s + span.total_seconds())


def _time_of(text: str) -> datetime:
    try:
        return read_time(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no span or date; write it like 2h, 7d or 2026-12-01.") from None
