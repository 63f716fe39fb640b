from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from compliance_agent.domain.timeline import GAP_MAX_S, Instant, Reading, is_stale, newer, place

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LAST = Instant(NOON, "boot-1", 500.0, 1_000.0, 9_000.0)


def read(wall_s: float, monotonic_s: float, boot: str = "boot-1") -> Reading:
    return Reading(NOON + timedelta(seconds=wall_s), boot, monotonic_s)


def test_the_first_reading_begins_both_counters():
    first = place(None, read(0, 500))
    assert (first.uptime_s, first.elapsed_s) == (0, 0)


@pytest.mark.parametrize("wall_s", [10, -86_400, 86_400 * 3650], ids=["steady", "set back", "set years ahead"])
def test_within_one_boot_only_the_monotonic_clock_counts(wall_s):
    now = place(LAST, read(wall_s, 510))
    assert (now.uptime_s, now.elapsed_s) == (1_010, 9_010)


@pytest.mark.parametrize(
    ("wall_s", "gone_s"), [(3_600, 3_600), (-3_600, 0), (86_400 * 3650, GAP_MAX_S)], ids=["off", "back", "years ahead"]
)
def test_between_boots_the_wall_clock_counts_for_what_ends_and_nothing_for_limits(wall_s, gone_s):
    now = place(LAST, read(wall_s, 3, boot="boot-2"))
    assert (now.uptime_s, now.elapsed_s) == (1_000, 9_000 + gone_s)


def test_a_machine_put_back_to_an_older_state_does_not_go_back():
    now = place(LAST, read(-60, 100))
    assert (now.uptime_s, now.elapsed_s) == (1_000, 9_000)


def test_readings_of_turns_side_by_side_may_come_in_either_order():
    early, late = place(LAST, read(5, 505)), place(LAST, read(9, 509))
    assert newer(late, early) == late
    assert newer(early, late) == late


def test_an_instant_is_kept_anew_after_a_minute_or_a_boot():
    assert is_stale(None, LAST)
    assert not is_stale(LAST, place(LAST, read(59, 559)))
    assert is_stale(LAST, place(LAST, read(60, 560)))
    assert is_stale(LAST, replace(LAST, boot_id="boot-2"))


def test_where_only_the_wall_is_known_it_counts_forward_only():
    assert place(LAST, NOON + timedelta(seconds=30)).elapsed_s == 9_030
    assert place(LAST, NOON - timedelta(days=30)).elapsed_s == 9_000


def test_later_never_goes_back():
    assert LAST.later(-5) == LAST
    assert LAST.later(5).wall == NOON + timedelta(seconds=5)
