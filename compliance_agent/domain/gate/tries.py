"""What was tried before: undone fixes, the circuit breaker, attempts, cooldown, blast limits.

A try is an attempt as the gate remembers it, on the durable counters of ``domain.timeline``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.gate.decision import Allow, Hold, HoldKind
from compliance_agent.domain.gate.words import plural, span
from compliance_agent.domain.outcome import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compliance_agent.domain.gate.decision import Decision
    from compliance_agent.domain.gate.policy import BlastLimits, GatePolicy
    from compliance_agent.domain.timeline import Instant

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
FAILED: Final = frozenset({OutcomeKind.FAILED, OutcomeKind.VERIFY_FAILED, OutcomeKind.INTERRUPTED})
"""Ends that count as a failed attempt. An unreachable machine is none."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt.

    Attributes:
        attempt_id: Which.
        begun_uptime_s: When it began, for limits.
        begun_s: When it began, ``elapsed_s``.
        ended_s: When it ended, ``elapsed_s``; ``None`` while it has not.
        outcome: How it ended; ``None`` while it has not.
        reason: One sentence.
        undone_s: When a person undid it, ``elapsed_s``; ``None`` if nobody did.

    """

    attempt_id: str
    site_id: str
    target_id: str
    check_id: str
    fingerprint: str
    rule_id: str
    runbook_id: str
    begun_uptime_s: float
    begun_s: float
    ended_s: float | None = None
    outcome: OutcomeKind | None = None
    reason: str = ""
    undone_s: float | None = None

    @property
    def last_s(self) -> float:
        """Return when it ended, or began."""
        return self.begun_s if self.ended_s is None else self.ended_s


def judge_undone(policy: GatePolicy, here: Sequence[Try], place: str, now: Instant) -> Decision:
    """Hold after a person undid a fix: the agent does not argue."""
    undone = [past.undone_s for past in here if past.undone_s is not None]
    if not undone or now.elapsed_s >= max(undone) + policy.window_s:
        return Allow()
    text = f"a person undid this fix; it is left alone for {span(policy.window_s)}"
    until = now.wall_at(max(undone) + policy.window_s)
    return Hold(HoldKind.UNDONE, text, until, f"compliance-agent flaps clear {place} --reason ...")


def judge_breaker(policy: GatePolicy, on_target: Sequence[Try], target_id: str, now: Instant) -> Decision:
    """Hold for a while when everything fails on one target; then one attempt is let through, and decides."""
    row = _failures_in_a_row(on_target)
    if len(row) < policy.breaker_failures or now.elapsed_s >= row[-1].last_s + policy.breaker_pause_s:
        return Allow()
    text = (
        f"the last {plural(policy.breaker_failures, 'attempt')} on {target_id} failed, so the machine is left alone "
        f"for {span(policy.breaker_pause_s)}; the last one: {row[-1].reason}"
    )
    until = now.wall_at(row[-1].last_s + policy.breaker_pause_s)
    return Hold(HoldKind.BREAKER, text, until, f"compliance-agent flaps clear {target_id} --reason ...")


def _failures_in_a_row(on_target: Sequence[Try]) -> list[Try]:
    """Return the newest attempts that failed, back to the last success, oldest first."""
    ended = [past for past in on_target if past.outcome in FAILED or past.outcome is OutcomeKind.REMEDIATED]
    row: list[Try] = []
    for past in sorted(ended, key=lambda one: one.last_s, reverse=True):
        if past.outcome is OutcomeKind.REMEDIATED:
            break
        row.insert(0, past)
    return row


def judge_attempts(policy: GatePolicy, here: Sequence[Try], place: str, now: Instant) -> Decision:
    """Hold when attempts keep failing. Unreachable machines do not count."""
    least = now.elapsed_s - policy.window_s
    failed = [past for past in here if past.outcome in FAILED and past.undone_s is None and past.last_s > least]
    failed.sort(key=lambda past: past.last_s)
    if len(failed) < policy.attempts_max:
        return Allow()
    last = failed[-1]
    assert last.outcome is not None  # noqa: S101 - chosen by it
    text = (
        f"{plural(len(failed), 'attempt')} failed within {span(policy.window_s)}; "
        f"the last one: {last.outcome.value}: {last.reason}"
    )
    until = now.wall_at(failed[-policy.attempts_max].last_s + policy.window_s)
    return Hold(HoldKind.ATTEMPTS, text, until, f"compliance-agent flaps clear {place} --reason ...")


def judge_cooldown(cooldown_s: float, here: Sequence[Try], rule_id: str, now: Instant) -> Decision:
    """Hold when this rule tried here too recently: by uptime, which no clock can make run fast."""
    began = [past.begun_uptime_s for past in here if past.rule_id == rule_id]
    if not began or now.uptime_s >= max(began) + cooldown_s:
        return Allow()
    left_s = max(began) + cooldown_s - now.uptime_s
    return Hold(HoldKind.COOLDOWN, f"tried less than {span(cooldown_s)} ago", now.wall_at(now.elapsed_s + left_s))


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit: so many tokens, each of which comes back one period after it was taken.

    Stricter than the textbook's bucket, which refills while it is drained and so lets twice as many through within
    one period: here no period, wherever it begins, sees more than ``tokens``.

    Attributes:
        name: For people: ``on front-desk within 1 h``.
        tokens: How many.
        period_s: When a token comes back, in seconds of uptime.
        taken: When tokens were taken, ``uptime_s``.

    """

    name: str
    tokens: int
    period_s: float
    taken: tuple[float, ...]

    def wait_s(self, now: Instant) -> float:
        """Return how long, in seconds, until a token is there; 0 when one is, infinite when there never is one."""
        if self.tokens == 0:
            return math.inf
        out = sorted(at for at in self.taken if at > now.uptime_s - self.period_s)
        if len(out) < self.tokens:
            return 0.0
        return out[len(out) - self.tokens] + self.period_s - now.uptime_s


def buckets(limits: BlastLimits, site: Sequence[Try], *, target_id: str, runbook_id: str) -> Iterator[Bucket]:
    """Yield every bucket that an attempt takes a token of."""
    of_target = [past for past in site if past.target_id == target_id]
    of_runbook = [past for past in site if past.runbook_id == runbook_id]
    what = runbook_id or "restart_service"
    for name, hour, day, tries in (
        (f"on {target_id}", limits.target_hour, limits.target_day, of_target),
        (f"of {what}", limits.runbook_hour, limits.runbook_day, of_runbook),
        ("at this site", limits.site_hour, limits.site_day, site),
    ):
        taken = tuple(past.begun_uptime_s for past in tries)
        yield Bucket(f"{name} within 1 h", hour, HOUR_S, taken)
        yield Bucket(f"{name} within 24 h", day, DAY_S, taken)


def judge_blast(limits: BlastLimits, site: Sequence[Try], *, target_id: str, runbook_id: str, now: Instant) -> Decision:
    """Hold when too much was done already: no rule, and no control plane, can make the agent do more."""
    waits = [(one.wait_s(now), one) for one in buckets(limits, site, target_id=target_id, runbook_id=runbook_id)]
    wait_s, bucket = max(waits, key=lambda pair: pair[0])
    if wait_s <= 0:
        return Allow()
    text = f"{plural(bucket.tokens, 'remediation')} {bucket.name} is the limit"
    until = None if math.isinf(wait_s) else now.wall_at(now.elapsed_s + wait_s)
    return Hold(HoldKind.BLAST_LIMIT, text, until)
