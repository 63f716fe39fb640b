"""What a rule or a pattern still lacks for its next step, in sentences for people."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from central_command.flywheel.stages import Hand, Stage, advance

if TYPE_CHECKING:
    from datetime import datetime

    from central_command.flywheel.stages import StagePolicy, Standing


def waits_for(standing: Standing, policy: StagePolicy, *, now: datetime) -> tuple[str, ...]:
    """Return what has to happen before a rule moves on; empty for one that is enabled and sound.

    Args:
        standing: Where it stands.
        policy: What the stages ask for.
        now: The time of this look, UTC.

    """
    if standing.hand in (Hand.VETOED, Hand.DISABLED):
        return (f"it is {standing.hand.value}: a person has to enable it",)
    due = advance(replace(standing, hand=Hand.NONE), None, policy, now=now)
    if standing.hand is Hand.PINNED:
        moved = (f"it is pinned, and would be {due.stage.value}: {due.reason}",) if due else ()
        return (*moved, "it is pinned: a person has to unpin it before it moves")
    if due is not None:
        return (f"the next fold, which makes it {due.stage.value}",)
    match standing.stage:
        case Stage.SHADOW:
            return _in_shadow(standing, policy, now)
        case Stage.CANARY:
            return (_in_canary(standing, policy),)
        case Stage.DEMOTED:
            return ("a person, who enables it: it begins anew in shadow",)
        case _:
            return ()


def _in_shadow(standing: Standing, policy: StagePolicy, now: datetime) -> tuple[str, ...]:
    left = policy.shadow_time - (now - standing.since)
    days = math.ceil(left.total_seconds() / 8_640) / 10
    time = (f"{days:g} more days in shadow",) if left.total_seconds() > 0 else ()
    few = standing.matches < policy.shadow_matches_min
    matches = (f"matches in shadow: {standing.matches} of {policy.shadow_matches_min}",) if few else ()
    return (*time, *matches)


def _in_canary(standing: Standing, policy: StagePolicy) -> str:
    test = policy.canary
    accept, reject = test.limits()
    score = test.score(standing.successes, standing.failures)
    return (
        f"its canary at {policy.canary_shares[standing.canary_step]:.0%} of the appliances is undecided:"
        f" {standing.successes} of {standing.successes + standing.failures} runs lasted (score {score:.1f};"
        f" accepted at {accept:.1f}, refused at {reject:.1f})"
    )
