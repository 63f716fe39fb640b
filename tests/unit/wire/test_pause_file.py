"""What stands in the pause file."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.wire.pause_file import REASON_MAX, PauseText, read_pause_file

SIX = datetime(2026, 12, 1, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", PauseText()),
        (b"auditors in the house\n", PauseText("auditors in the house")),
        (b"\n\n  auditors  \r\nmore\n", PauseText("auditors")),
        (b"reason: auditors\nuntil: 2026-12-01T18:00\n", PauseText("auditors", SIX)),
        (b"UNTIL : 2026-12-01T19:00+01:00\nauditors", PauseText("auditors", SIX)),
        (b"until: 2026-12-01", PauseText("", datetime(2026, 12, 2, tzinfo=UTC))),
        (b"until the auditors are gone", PauseText("until the auditors are gone")),
    ],
)
def test_a_reason_and_an_end_are_read(content, expected):
    assert read_pause_file(content) == expected


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"x\nuntil: tomorrow", "its until 'tomorrow' is no time"),
        (b"x\nuntil:", "its until '' is no time"),
        (b"x\nuntil: 9999-12-31", "is no time"),
        (b"x\nuntil: 2026-12-01\nuntil: 2027-12-01", "says until more than once"),
    ],
)
def test_an_end_that_cannot_be_understood_is_none_and_is_told(content, trouble):
    found = read_pause_file(content)
    assert (found.reason, found.until) == ("x", None)
    assert trouble in found.trouble


STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # what is not assigned yet steers nothing


@given(st.binary(max_size=300))
def test_whatever_stands_there_is_read_and_steers_no_terminal(content):
    found = read_pause_file(content)
    assert not any(unicodedata.category(one) in STEERING for one in found.reason + found.trouble)
    assert len(found.reason) <= REASON_MAX
    assert found.until is None or not found.trouble
