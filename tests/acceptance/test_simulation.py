"""The main facts of the simulated week (``make simulate``)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.outcome import OutcomeKind
from scripts.simulate import BANNER, FIREWALL, KERNEL, Week

if TYPE_CHECKING:
    from scripts.simulate import Line

pytestmark = pytest.mark.unmeasured


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    done = Week(tmp_path_factory.mktemp("week")).run()
    yield done
    done.close()


def lines(week, where: str, what: str = "") -> list[Line]:
    return [line for line in week.lines if line.where == where and what in {"", line.what}]


def test_group_policy_is_caught_at_its_third_return_and_named(week):
    first = lines(week, f"srv01 {FIREWALL}", "suppressed")[0]
    assert f"{first.at:%a %H:%M}" == "Mon 05:15"
    assert "came back 3 times in 3.5 h" in first.why
    assert "score 2484, limit 2000" in first.why
    assert "probably Group Policy" in first.why
    assert "flaps clear srv01/CLINIC-FW-001" in first.why


def test_a_reverted_setting_is_tried_ever_more_seldom(week):
    tries = lines(week, f"srv01 {FIREWALL}", "remediated")
    assert len(tries) <= 7, "96 returns, and no more tries than that"
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)


def test_every_try_after_a_pause_tells_that_the_pause_is_over(week):
    names = Counter(one.alert.name for one in week.store.alerts())
    assert names["suppression ended"] >= 3
    assert names["flap hold"] >= 4


def test_the_daily_job_is_caught_by_the_slow_track(week):
    held = lines(week, f"srv02 {BANNER}", "suppressed")[0]
    assert held.at.strftime("%a") == "Thu"
    assert "a daily cron job" in held.why
    tried = [f"{line.at:%a}" for line in lines(week, f"srv02 {BANNER}", "remediated")]
    assert tried[:3] == ["Mon", "Tue", "Wed"]
    assert len(tried) <= 4, "after the third return there is one single try in this week"


def test_a_laptop_that_comes_and_goes_is_no_failure(week):
    assert lines(week, "laptop", "unreachable")
    assert [line.what for line in lines(week, f"laptop {FIREWALL}")] == ["remediated"]


def test_a_reboot_waits_for_a_persons_word(week):
    what = [line.what for line in lines(week, f"srv02 {KERNEL}")]
    assert what == ["awaiting_approval", "remediated"]
    assert week.store.requests() == []
    assert week.store.actions(5)[0].actor == "ann"


def test_after_the_crash_the_attempt_is_interrupted_and_detected_afresh(week):
    what = [line.what for line in lines(week, f"srv03 {FIREWALL}")]
    assert what == ["interrupted", "remediated"]
    assert week.store.counts().unfinished_attempts == 0


def test_with_a_full_disk_nothing_is_changed_until_there_is_room(week):
    trouble = lines(week, "srv03 state", "not stored")
    (healed,) = lines(week, f"srv03 {BANNER}", "remediated")
    free = next(line for line in week.lines if "there is room" in line.why)
    assert trouble
    assert healed.at >= free.at
    assert week.machines.mended.count(("srv03", BANNER)) == 1


def test_a_clock_that_jumps_a_day_ends_no_pause(week):
    jump, back = (line.at for line in week.lines if "appliance's clock" in line.why)
    assert not [line for line in week.lines if jump <= line.at <= back and line.what == "remediated"]


def test_the_maintenance_window_follows_the_change_of_the_clock(week):
    held = lines(week, f"front-desk {BANNER}", "deferred")
    healed = lines(week, f"front-desk {BANNER}", "remediated")
    assert [f"{line.at:%a %H}" for line in healed] == ["Sat 22", "Sun 22"]
    opens = [re.findall(r"opens (.*?) UTC", line.why) for line in held]
    assert opens == [["2026-03-08 03:00"], ["2026-03-09 02:00"]]


def test_every_line_carries_its_reason(week):
    assert all(line.why for line in week.lines)
    told = {line.what for line in week.lines}
    assert {"suppressed", "deferred", "awaiting_approval", "remediated", "interrupted"} <= told
    assert OutcomeKind.ESCALATED.value not in told
