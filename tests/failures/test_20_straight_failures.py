"""Failure 20: rules that could never succeed were run again and again, 290 straight failures.

Attempts that fail are used up: after the third a person is told, once, and nothing is run any more.
"""

from __future__ import annotations

from datetime import timedelta

from compliance_agent.domain.outcome import OutcomeKind
from tests.support.turns import make_world

BREAKS = "TEST-FILE-003"


def test_after_three_failures_a_person_is_told_instead(tmp_path):
    world = make_world(tmp_path, BREAKS)
    world.say(BREAKS, "bad")
    kinds = []
    for _ in range(12):
        kinds.append(world.outcome().kind)
        world.now += timedelta(minutes=50)
    assert kinds == [OutcomeKind.FAILED] * 3 + [OutcomeKind.ESCALATED] * 9
    assert world.store.counts().attempts == 3
    assert len(world.store.alerts()) == 1
