from __future__ import annotations

from datetime import timedelta

import pytest

from compliance_agent.domain.gate.writers import likely_writer
from tests.support.gate import DAY, HOUR, MINUTE, NOON


def times(*gaps_s: float):
    found = [NOON]
    for gap in gaps_s:
        found.append(found[-1] + timedelta(seconds=gap))
    return found


@pytest.mark.parametrize(
    ("gaps_s", "name"),
    [
        ([30 * MINUTE, 32 * MINUTE], "Puppet"),
        ([60 * MINUTE, 60 * MINUTE, 62 * MINUTE], "an hourly cron job"),
        ([91 * MINUTE, 119 * MINUTE, 105 * MINUTE], "Group Policy"),
        ([8 * HOUR, 8.1 * HOUR], "device management (MDM)"),
        ([DAY, DAY + 120], "a daily cron job"),
        ([2 * DAY, DAY, 3 * DAY + 60], "a daily cron job"),
        ([7 * DAY, 7 * DAY], "a weekly cron job"),
        ([12 * MINUTE, 12 * MINUTE], "a scheduled job"),
        ([47 * MINUTE, 200 * MINUTE, 11 * MINUTE], "a person"),
    ],
)
def test_the_habit_names_the_writer(gaps_s, name):
    writer = likely_writer(times(*gaps_s))
    assert writer is not None
    assert writer.name == name
    assert writer.evidence


@pytest.mark.parametrize("gaps_s", [[], [105 * MINUTE], [11 * HOUR, 2 * HOUR, 20 * HOUR]])
def test_too_little_or_no_habit_names_nobody(gaps_s):
    assert likely_writer(times(*gaps_s)) is None


def test_the_evidence_of_a_daily_job_is_its_time_of_day():
    writer = likely_writer(times(DAY, DAY))
    assert writer is not None
    assert "about 12:00 UTC" in writer.evidence
