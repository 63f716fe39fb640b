"""When a scan gets an entry: the first of a day, a change, and never so often that the disk fills."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.evidence.tally import CHANGE_INTERVAL_S, count_scan
from compliance_agent.testing import NOON


def run(scans):
    """Feed (seconds after noon, alike, reached); return the entries' since, and the last tally."""
    tally, entries = None, []
    for seconds, alike, reached in scans:
        done = count_scan(tally, alike, reached=reached, at=NOON + timedelta(seconds=seconds))
        if done.is_due:
            entries.append((seconds, done.before.since() if done.before else None))
        tally = done.tally
    return entries, tally


def test_the_first_scan_ever_gets_an_entry() -> None:
    assert run([(0, "a", True)])[0] == [(0, None)]


def test_scans_that_are_alike_are_counted_until_the_next_day() -> None:
    day = 12 * 3600
    entries, _ = run([(0, "a", True), (120, "a", True), (240, "a", False), (day - 1, "a", True), (day, "a", True)])
    assert [at for at, _ in entries] == [0, day]
    since = entries[1][1]
    assert (since["scans"], since["unreached"], since["changes"]) == (2, 1, 0)
    assert since["last_entry_at"] == "2026-01-15T12:00:00.000000Z"


def test_a_change_gets_an_entry_once_the_last_one_is_ten_minutes_old() -> None:
    entries, _ = run([(0, "a", True), (CHANGE_INTERVAL_S - 1, "b", True), (CHANGE_INTERVAL_S, "b", True)])
    assert [at for at, _ in entries] == [0, CHANGE_INTERVAL_S]
    assert entries[1][1]["changes"] == 1


def test_a_change_that_went_back_in_time_is_counted_all_the_same() -> None:
    entries, tally = run([(0, "a", True), (100, "b", True), (200, "a", True), (900, "a", True)])
    assert len(entries) == 1
    assert (tally.changes, tally.scans) == (2, 3)


def test_a_clock_that_was_set_back_gets_an_entry_and_no_silence_for_years() -> None:
    entries, _ = run([(0, "a", True), (-5, "a", True), (100, "a", True)])
    assert [at for at, _ in entries] == [0, -5]


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from("abc"), st.booleans()), max_size=60))
def test_every_scan_is_in_an_entry_or_counted(steps) -> None:
    at, scans = 0, []
    for step, alike, reached in steps:
        at += step
        scans.append((at, alike, reached))
    entries, tally = run(scans)
    told = sum(since["scans"] + since["unreached"] for _, since in entries if since)
    left = 0 if tally is None else tally.scans + tally.unreached
    assert len(entries) + told + left == len(scans)


@pytest.mark.unmeasured
@given(st.lists(st.sampled_from("ab"), min_size=720, max_size=720))
def test_a_verdict_that_swings_all_day_makes_no_flood(verdicts) -> None:
    entries, _ = run([(number * 120, alike, True) for number, alike in enumerate(verdicts)])
    assert len(entries) <= 146


def test_every_day_with_a_scan_has_an_entry() -> None:
    entries, _ = run([(hour * 3600, "a", True) for hour in range(24 * 5)])
    days = {(NOON + timedelta(seconds=at)).date() for at, _ in entries}
    assert len(days) == len(entries) == 6
