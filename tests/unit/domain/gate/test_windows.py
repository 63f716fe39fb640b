from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


# Lord Howe springs forward by half an hour, 02:00 to 02:30, on 2026-10-03 at 15:30 UTC, and falls back, 02:00 to 01:30,
# on 2026-04-04 at 15:00 UTC. Berlin changes on 2026-03-29 and 2026-10-25, both at 01:00 UTC.

CHANGES = [
    # The zone; the window; the day; when it opens and closes, by UTC.
    # --- springs forward: the hour does not exist
    ("Europe/Berlin", "01:00-04:00", "2026-03-29", "2026-03-29T00:00", "2026-03-29T02:00"),
    ("Europe/Berlin", "02:00-03:00", "2026-03-29", "2026-03-29T01:00", "2026-03-29T02:00"),  # all of it: moved
    ("Europe/Berlin", "02:15-02:45", "2026-03-29", "2026-03-29T01:15", "2026-03-29T01:45"),
    ("Europe/Berlin", "02:30-03:15", "2026-03-29", "2026-03-29T01:00", "2026-03-29T01:15"),
    ("Europe/Berlin", "01:00-02:30", "2026-03-29", "2026-03-29T00:00", "2026-03-29T01:00"),
    ("Europe/Berlin", "02:30-02:15", "2026-03-29", "2026-03-29T01:00", "2026-03-30T00:15"),  # overnight
    ("Europe/Berlin", "02:30-02:15", "2026-03-28", "2026-03-28T01:30", "2026-03-29T01:00"),
    ("Europe/Berlin", "22:00-00:00", "2026-03-28", "2026-03-28T21:00", "2026-03-28T23:00"),
    ("Europe/Berlin", "00:00-00:00", "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),  # the whole day: 23 h
    ("America/New_York", "02:00-03:00", "2026-03-08", "2026-03-08T07:00", "2026-03-08T08:00"),
    ("America/New_York", "02:30-03:15", "2026-03-08", "2026-03-08T07:00", "2026-03-08T07:15"),
    ("Australia/Lord_Howe", "02:00-02:30", "2026-10-04", "2026-10-03T15:30", "2026-10-03T16:00"),
    ("Australia/Lord_Howe", "02:10-02:20", "2026-10-04", "2026-10-03T15:40", "2026-10-03T15:50"),
    ("Australia/Lord_Howe", "01:00-02:15", "2026-10-04", "2026-10-03T14:30", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "02:15-03:00", "2026-10-04", "2026-10-03T15:30", "2026-10-03T16:00"),
    ("Australia/Lord_Howe", "22:00-05:00", "2026-10-03", "2026-10-03T11:30", "2026-10-03T18:00"),  # 6.5 h
    # --- falls back: the hour comes twice
    ("Europe/Berlin", "02:15-02:45", "2026-10-25", "2026-10-25T00:15", "2026-10-25T00:45"),
    ("Europe/Berlin", "02:30-03:30", "2026-10-25", "2026-10-25T00:30", "2026-10-25T02:30"),
    ("Europe/Berlin", "01:30-02:30", "2026-10-25", "2026-10-24T23:30", "2026-10-25T00:30"),
    ("Europe/Berlin", "22:00-02:30", "2026-10-24", "2026-10-24T20:00", "2026-10-25T00:30"),
    ("Europe/Berlin", "00:00-00:00", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 h
    ("America/New_York", "01:30-02:30", "2026-11-01", "2026-11-01T05:30", "2026-11-01T07:30"),
    ("Australia/Lord_Howe", "01:40-01:50", "2026-04-05", "2026-04-04T14:40", "2026-04-04T14:50"),
    ("Australia/Lord_Howe", "22:00-05:00", "2026-04-04", "2026-04-04T11:00", "2026-04-04T18:30"),  # 7.5 h
]


@pytest.mark.parametrize(("zone", "times", "day", "opens", "closes"), CHANGES)
def test_a_window_over_a_change_of_the_clock_opens_once_and_closes_when_it_says(zone, times, day, opens, closes):
    start, end = times.split("-")
    one = window(start, end, ZoneInfo(zone))
    expected = tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (opens, closes))
    assert one.opening(datetime.fromisoformat(day).date()) == expected
    for moment, inside in ((expected[0], True), (expected[1] - timedelta(seconds=1), True)):
        assert window_for([one], "srv01", [], moment)[0] is inside


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia"]),
    st.dates(datetime(2009, 1, 1).date(), datetime(2037, 1, 1).date()),  # noqa: DTZ001 - days of a calendar
    st.times(),
    st.times(),
)
def test_whatever_a_zone_does_a_window_is_there_each_day_and_about_as_long_as_it_says(zone, day, start, end):
    start, end = start.replace(microsecond=0), end.replace(microsecond=0)
    span = MaintenanceWindow("any", start, end, ZoneInfo(zone)).opening(day)
    assert span is not None
    said = datetime.combine(day, end) - datetime.combine(day, start)
    said += timedelta(0) if end > start else timedelta(days=1)
    assert timedelta(0) < span[1] - span[0]
    assert abs((span[1] - span[0]) - said) <= timedelta(hours=1 if zone != "Pacific/Apia" else 25)


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - UTC is added
    st.integers(0, 23),
    st.integers(1, 8),
)
def test_while_a_window_is_open_the_clock_on_the_wall_is_within_it_or_was_changed_within_the_hour(zone, at, hour, long):
    where, now = ZoneInfo(zone), at.replace(tzinfo=UTC)
    one = MaintenanceWindow("any", time(hour), time((hour + long) % 24), where)
    wall = now.astimezone(where)
    within = (wall.hour - hour) % 24 < long
    changed = wall.utcoffset() != (now - timedelta(hours=2)).astimezone(where).utcoffset()
    assert window_for([one], "srv01", [], now)[0] is within or changed


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
