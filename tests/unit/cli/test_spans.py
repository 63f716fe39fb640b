"""Spans and times as people type them."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest

from compliance_agent.cli.spans import term_of
from tests.support.gate import DAY, HOUR, NOON, instant


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30min", HOUR / 2),
        ("2H", 2 * HOUR),
        (" 7d ", 7 * DAY),
        ("366d", 366 * DAY),
        ("2026-03-02", 12 * HOUR),  # its end, UTC; it is noon
        ("2026-03-02T13:00", HOUR),
        ("2026-03-02T15:00+02:00", HOUR),
        ("2026-03-02T12:00:01", 1),
        ("2027-03-02", 365.5 * DAY),
    ],
)
def test_a_span_a_day_or_a_time_is_a_term_by_both_clocks(text, seconds):
    term = term_of(text, instant(0))
    assert term.wall == NOON + timedelta(seconds=seconds)
    assert term.elapsed_s == seconds


@pytest.mark.parametrize("text", ["2026-03-01", "2026-03-02T12:00", "2026-03-02T13:00+02:00", "1970-01-01"])
def test_what_is_past_is_refused(text):
    with pytest.raises(click.UsageError, match="is in the past"):
        term_of(text, instant(0))


@pytest.mark.parametrize("text", ["367d", "53w", "2027-03-04", "9999-12-30"])
def test_more_than_a_year_is_refused(text):
    with pytest.raises(click.UsageError, match="a year"):
        term_of(text, instant(0))


@pytest.mark.parametrize("text", ["", "0h", "-2h", "2", "soon", "2h30", "2026-13-01", "2026-02-29", "9999-12-31"])
def test_what_is_neither_is_refused_with_an_example(text):
    with pytest.raises(click.UsageError, match="write it like"):
        term_of(text, instant(0))
