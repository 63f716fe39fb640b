from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from compliance_agent.domain.gate.windows import MaintenanceWindow, window_for

NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")


def window(start: str, end: str, zone=NEW_YORK, **more) -> MaintenanceWindow:
    return MaintenanceWindow("night", time.fromisoformat(start), time.fromisoformat(end), zone, **more)


def is_open(one: MaintenanceWindow, text: str) -> bool:
    return window_for([one], "srv01", [], datetime.fromisoformat(text).replace(tzinfo=UTC))[0]


def test_without_a_window_it_is_always_open():
    assert window_for([], "srv01", [], datetime(2026, 1, 1, tzinfo=UTC)) == (True, None, "")


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-01-15T02:59:59", False),  # 21:59:59 in New York
        ("2026-01-15T03:00:00", True),
        ("2026-01-15T09:59:59", True),  # 04:59:59
        ("2026-01-15T10:00:00", False),
        ("2026-07-15T02:00:00", True),  # in summer an hour earlier by UTC
    ],
)
def test_an_overnight_window_opens_and_closes_by_local_time(at, expected):
    assert is_open(window("22:00", "05:00"), at) is expected


def test_an_overnight_window_belongs_to_the_day_on_which_it_opens():
    friday = window("22:00", "05:00", days=frozenset({4}))
    assert is_open(friday, "2026-01-17T08:00:00"), "Saturday 03:00 is still Friday's window"
    assert not is_open(friday, "2026-01-18T08:00:00")
    assert not is_open(friday, "2026-01-16T08:00:00"), "Friday 03:00 would be Thursday's"


# New York springs forward on 2026-03-08 at 07:00 UTC, and falls back on 2026-11-01 at 06:00 UTC.


def test_a_window_in_the_hour_that_does_not_exist_still_opens():
    gap = window("02:15", "02:45")
    assert is_open(gap, "2026-03-08T07:15:00")
    assert is_open(gap, "2026-03-08T07:44:59")
    assert not is_open(gap, "2026-03-08T07:45:00")


def test_a_window_in_the_hour_that_comes_twice_opens_once():
    twice = window("01:15", "01:45")
    assert is_open(twice, "2026-11-01T05:15:00")
    assert not is_open(twice, "2026-11-01T06:15:00")


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-07", 6), ("2026-10-31", 8), ("2026-06-01", 7)], ids=["spring", "autumn", "usual"]
)
def test_an_overnight_window_over_a_change_is_as_long_as_the_night_really_is(day, hours):
    span = window("22:00", "05:00").opening(datetime.fromisoformat(day).date())
    assert span is not None
    assert span[1] - span[0] == timedelta(hours=hours)


def test_a_window_that_ends_at_midnight_is_the_end_of_the_day():
    assert is_open(window("22:00", "00:00", BERLIN), "2026-01-15T22:59:59")
    assert not is_open(window("22:00", "00:00", BERLIN), "2026-01-15T23:00:00")


def test_outside_it_says_when_it_opens_next():
    monday = window("22:00", "23:00", days=frozenset({0}))
    now = datetime(2026, 1, 14, 12, tzinfo=UTC)
    assert window_for([monday], "srv01", [], now) == (False, datetime(2026, 1, 20, 3, tzinfo=UTC), "night")


def test_a_window_is_for_its_targets_and_tags_only():
    servers = window("22:00", "23:00", targets=("srv*",))
    kiosks = window("22:00", "23:00", tags=("kiosk",))
    noon = datetime(2026, 1, 14, 17, tzinfo=UTC)
    assert window_for([servers], "front-desk", [], noon)[0]
    assert not window_for([servers], "srv01", [], noon)[0]
    assert not window_for([kiosks], "front-desk", ["kiosk"], noon)[0]
    assert window_for([kiosks], "front-desk", ["front"], noon)[0]


def test_of_several_windows_any_may_be_open():
    early, late = window("01:00", "02:00"), window("22:00", "23:00")
    now = datetime(2026, 1, 14, 6, 30, tzinfo=UTC)
    assert window_for([late, early], "srv01", [], now)[0]
