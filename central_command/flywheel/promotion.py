"""May a pattern become a rule? Durable successes, on enough appliances, targets and days, by an anytime-valid test."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from central_command.flywheel.evidence import design_effect, e_value, intraclass_correlation, wilson_lower
from central_command.flywheel.influence import RUNS_IN_PROMOTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central_command.flywheel.evidence import Tally


class Scope(StrEnum):
    """For whom a pattern may become a rule."""

    NONE = "none"
    """For nobody yet."""
    SITE = "site"
    """For the site alone, on an operator's word: the evidence is weaker than a fleet's."""
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """What a pattern has to show.

    Attributes:
        null_rate: A fix that lasts only this often is not worth a rule.
        evidence_min: e-value against ``null_rate``; 20 means that at most 1 in 20 such fixes ever gets through.
        appliances_min: Appliances with at least one run, for the whole fleet.
        targets_min: Machines with at least one run.
        days_min: Different days (UTC) with at least one run.
        correlation: How alike runs of one appliance are taken to be while the runs do not tell, and the least that
            is believed when they do from fewer than ``correlation_appliances_min`` appliances.
        runs_each_max: Runs of one appliance that count; of more, their rate.
        correlation_appliances_min: Appliances from which on an estimated correlation below ``correlation`` is believed.

    """

    null_rate: float = 0.80
    evidence_min: float = 20.0
    appliances_min: int = 10
    targets_min: int = 3
    days_min: int = 3
    correlation: float = 0.3
    runs_each_max: int = RUNS_IN_PROMOTION
    correlation_appliances_min: int = 30


@dataclass(frozen=True, slots=True)
class PatternRecord:
    """What is known of one pattern's fix.

    Attributes:
        tallies: One for each appliance that ran it.
        targets: Different machines that it ran on.
        days: Different days (UTC) that it ran on.

    """

    tallies: Sequence[Tally]
    targets: int
    days: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a pattern stands.

    Attributes:
        scope: For whom it may become a rule.
        missing: What it lacks for the fleet, a sentence each; empty when it lacks nothing.
        runs: Runs that count.
        successes: Of these, the durable ones.
        appliances: Appliances with a run.
        correlation: The correlation that was reckoned with.
        runs_effective: Independent runs that the clustered ones are worth.
        wilson: Wilson's 99 % lower bound of the rate, of the effective runs.
        evidence: e-value of the effective runs.

    """

    scope: Scope
    missing: tuple[str, ...]
    runs: int
    successes: int
    appliances: int
    correlation: float
    runs_effective: float
    wilson: float
    evidence: float


def judge(record: PatternRecord, policy: PromotionPolicy) -> Judgement:
    """Return how a pattern stands. Whoever asks decides; nothing is remembered between two calls."""
    used = [tally.at_most(policy.runs_each_max) for tally in record.tallies if tally.runs]
    runs, successes = sum(tally.runs for tally in used), sum(tally.successes for tally in used)
    correlation = _correlation(used, policy)
    shrink = design_effect(used, correlation)
    effective_runs, effective_successes = runs / shrink, successes / shrink
    wilson = wilson_lower(effective_successes, effective_runs)
    evidence = e_value(effective_successes, effective_runs - effective_successes, policy.null_rate)
    weak = _too_weak(wilson, evidence, effective_runs, policy)
    narrow = _too_narrow(record, policy)
    few = _too_few(len(used), policy)
    return Judgement(
        scope=Scope.NONE if weak or narrow else Scope.SITE if few else Scope.FLEET,
        missing=(*weak, *narrow, *few),
        runs=sum(tally.runs for tally in record.tallies),
        successes=sum(tally.successes for tally in record.tallies),
        appliances=len(used),
        correlation=correlation,
        runs_effective=effective_runs,
        wilson=wilson,
        evidence=evidence,
    )


def _correlation(tallies: Sequence[Tally], policy: PromotionPolicy) -> float:
    estimate = intraclass_correlation(tallies)
    if estimate is None:
        return policy.correlation
    if len(tallies) < policy.correlation_appliances_min:
        return max(estimate, policy.correlation)
    return estimate


def _too_weak(wilson: float, evidence: float, runs: float, policy: PromotionPolicy) -> tuple[str, ...]:
    if wilson < policy.null_rate:
        bound = f"the 99 % lower bound is {wilson:.0%} with {runs:.1f} independent runs"
        return (f"it may last in fewer than {policy.null_rate:.0%} of its runs: {bound}",)
    if evidence < policy.evidence_min:
        return (f"its evidence is {evidence:.1f} of {policy.evidence_min:g}",)
    return ()


def _too_narrow(record: PatternRecord, policy: PromotionPolicy) -> tuple[str, ...]:
    counts = ((record.targets, policy.targets_min, "machines"), (record.days, policy.days_min, "different days"))
    return tuple(f"it ran on {has} of {least} {what}" for has, least, what in counts if has < least)


def _too_few(appliances: int, policy: PromotionPolicy) -> tuple[str, ...]:
    if appliances < policy.appliances_min:
        return (f"it ran on {appliances} of {policy.appliances_min} appliances",)
    return ()
