"""Failure 24: a dry run "succeeded", so its incident stayed and was answered again, 790 times.

A dry run ends as ``would_change``, uses up nothing, and is no attempt; what runs for real is bounded by the gate.
"""

from __future__ import annotations

from compliance_agent.domain.outcome import OutcomeKind
from tests.support.turns import make_world

HEALS = "TEST-FILE-001"


def test_a_dry_run_is_no_success_and_uses_nothing_up(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    for _ in range(20):
        outcome = world.outcome(dry_run=True)
        assert outcome.kind is OutcomeKind.WOULD_CHANGE
        assert not outcome.kind.is_success
    assert world.store.counts().attempts == 0
    assert world.store.tries("clinic", target_id="front-desk", since_s=0, since_uptime_s=-1) == []


def test_a_setting_that_is_reverted_for_ever_is_healed_three_times_and_then_paused(tmp_path):
    world = make_world(tmp_path, HEALS)
    kinds = []
    for _ in range(12):
        world.say(HEALS, "bad")
        kinds.append(world.outcome().kind)
    assert kinds == [OutcomeKind.REMEDIATED] * 3 + [OutcomeKind.SUPPRESSED] * 9
