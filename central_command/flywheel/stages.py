"""The life of a rule that the fleet taught: observed, candidate, shadow, canary, enabled, and out again.

Each step has a reason, and each is taken by ``advance`` alone, whoever asks: a fold, a timer, an operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from central_command.flywheel.promotion import Scope
from central_command.flywheel.sequential import CanaryTest, CanaryVerdict, DecayTest

if TYPE_CHECKING:
    from datetime import datetime

    from central_command.flywheel.promotion import Judgement


class Stage(StrEnum):
    """Where a rule stands."""

    OBSERVED = "observed"
    """A pattern that was fixed without a rule; not enough is known."""
    CANDIDATE = "candidate"
    """Enough is known; somebody's word is wanted, or the next fold takes it on."""
    SHADOW = "shadow"
    """Appliances match it and do not act; whether it agrees with what was done is reported."""
    CANARY = "canary"
    """A share of the appliances acts on it."""
    ENABLED = "enabled"
    """Everybody in its scope acts on it."""
    DEMOTED = "demoted"
    """It stopped working, or failed on its way; it comes back only through the same stages."""


class Hand(StrEnum):
    """What an operator decided of a rule; it outranks every number."""

    NONE = "none"
    PINNED = "pinned"
    """It stays where it is; decay is told, not acted on."""
    VETOED = "vetoed"
    """It is served to nobody, and does not come back by itself, until the veto is lifted."""
    DISABLED = "disabled"
    """It is served to nobody; enabled again, it goes on where it stood."""


@dataclass(frozen=True, slots=True)
class StagePolicy:
    """What each stage asks for.

    Attributes:
        shadow_time: Least time in shadow.
        shadow_matches_min: Least matches in shadow.
        shadow_agreement_min: Least share of them in which what was done, and lasted, is what the rule would have done.
        canary_shares: Share of the appliances that acts, for each step of the canary.
        canary: The test that each step has to pass on the runs of that step.
        decay: The test that takes an enabled rule out.

    """

    shadow_time: timedelta
    shadow_matches_min: int = 10
    shadow_agreement_min: float = 0.9
    canary_shares: tuple[float, ...] = (0.05, 0.25, 1.0)
    canary: CanaryTest = field(default_factory=CanaryTest)
    decay: DecayTest = field(default_factory=DecayTest)


STAGES: Final = StagePolicy(shadow_time=timedelta(days=7))
"""What the server asks for."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a rule stands, and what was counted there.

    Attributes:
        stage: Its stage.
        since: When it came there, UTC.
        hand: What an operator decided.
        canary_step: Which step of the canary, from 0.
        successes: Durable successes in this stage, and step.
        failures: Failures and relapses in this stage, and step. ``not_applicable`` counts as neither.
        matches: Matches in shadow.
        agreements: Of these, those in which it would have done what was done and lasted.
        decay: Score of the decay test, as it stands with any one group of appliances left out.
        canary: What the canary's runs say, the same; ``None`` to judge ``successes`` and ``failures`` as they are.

    """

    stage: Stage
    since: datetime
    hand: Hand = Hand.NONE
    canary_step: int = 0
    successes: int = 0
    failures: int = 0
    matches: int = 0
    agreements: int = 0
    decay: float = 0.0
    canary: CanaryVerdict | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A change of stage that is due.

    Attributes:
        stage: The new stage.
        reason: Why, one sentence for the audit log.
        canary_step: The new step of the canary.

    """

    stage: Stage
    reason: str
    canary_step: int = 0


def advance(standing: Standing, judgement: Judgement | None, policy: StagePolicy, *, now: datetime) -> Step | None:
    """Return the next step, ``None`` while nothing is due.

    Args:
        standing: Where the rule stands.
        judgement: What the pattern's runs say; needed in ``observed`` alone.
        policy: What the stages ask for.
        now: The time of this look, UTC.

    """
    if standing.hand is not Hand.NONE:
        return None
    match standing.stage:
        case Stage.OBSERVED:
            return _from_observed(judgement)
        case Stage.CANDIDATE:
            return Step(Stage.SHADOW, "its evidence is complete; appliances match it without acting")
        case Stage.SHADOW:
            return _from_shadow(standing, policy, now)
        case Stage.CANARY:
            return _from_canary(standing, policy)
        case Stage.ENABLED:
            return _from_enabled(standing, policy)
        case Stage.DEMOTED:
            return None


def _from_observed(judgement: Judgement | None) -> Step | None:
    if judgement is None or judgement.scope is not Scope.FLEET:
        return None
    return Step(
        Stage.CANDIDATE,
        f"{judgement.successes} of {judgement.runs} runs on {judgement.appliances} appliances lasted:"
        f" evidence {judgement.evidence:.1f}, lower bound {judgement.wilson:.0%}",
    )


def _from_shadow(standing: Standing, policy: StagePolicy, now: datetime) -> Step | None:
    if now - standing.since < policy.shadow_time or standing.matches < policy.shadow_matches_min:
        return None
    share = standing.agreements / standing.matches
    told = f"in shadow it agreed with what lasted in {standing.agreements} of {standing.matches} matches"
    if share < policy.shadow_agreement_min:
        return Step(Stage.DEMOTED, f"{told}; {policy.shadow_agreement_min:.0%} are asked for")
    return Step(Stage.CANARY, f"{told}; {policy.canary_shares[0]:.0%} of the appliances act on it")


def _from_canary(standing: Standing, policy: StagePolicy) -> Step | None:
    test, step = policy.canary, standing.canary_step
    verdict = standing.canary or test.judge(test.score(standing.successes, standing.failures))
    told = f"{standing.successes} of {standing.successes + standing.failures} runs lasted"
    if verdict is CanaryVerdict.GO_ON:
        return None
    if verdict is CanaryVerdict.REJECT:
        return Step(Stage.DEMOTED, f"canary at {policy.canary_shares[step]:.0%} of the appliances: only {told}")
    if step + 1 < len(policy.canary_shares):
        return Step(Stage.CANARY, f"{told}; {policy.canary_shares[step + 1]:.0%} of the appliances act on it", step + 1)
    return Step(Stage.ENABLED, f"canary: {told}; everybody acts on it")


def _from_enabled(standing: Standing, policy: StagePolicy) -> Step | None:
    if not policy.decay.is_out(standing.decay):
        return None
    return Step(
        Stage.DEMOTED,
        f"it stopped working: {standing.failures} of {standing.successes + standing.failures} runs since it was"
        f" enabled failed or relapsed (decay {standing.decay:.1f} of {policy.decay.limit:g})",
    )
