"""The gate: may this remediation run now? Pure decisions over durable history.

First version: a fix that a person undid, a simple count of fixes that came back, attempts, cooldown. Each decision is a
value with a reason; the first hold wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.outcome import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from compliance_agent.domain.outcome import FinishedAttempt
    from compliance_agent.domain.rule import Rule


class HoldKind(StrEnum):
    """Which gate holds."""

    UNDONE = "undone"
    FLAP = "flap"
    ATTEMPTS = "attempts"
    COOLDOWN = "cooldown"

    @property
    def outcome(self) -> OutcomeKind:
        """Return the outcome that a hold of this kind leads to."""
        return {
            HoldKind.UNDONE: OutcomeKind.DEFERRED,
            HoldKind.FLAP: OutcomeKind.SUPPRESSED,
            HoldKind.ATTEMPTS: OutcomeKind.ESCALATED,
            HoldKind.COOLDOWN: OutcomeKind.DEFERRED,
        }[self]


@dataclass(frozen=True, slots=True)
class Allow:
    """The remediation may run."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The remediation must wait.

    Attributes:
        kind: Which gate.
        reason: One sentence for people.
        until: When the hold ends by itself, UTC.

    """

    kind: HoldKind
    reason: str
    until: datetime


Decision: TypeAlias = Allow | Hold


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The gate's limits.

    Attributes:
        cooldown_s: Seconds between two attempts of one rule on one target and check. 300 is the
            figure that the earlier system meant and never enforced.
        attempts_max: Failed attempts within ``window_s`` after which a person is told instead.
        relapses_max: Verified fixes within ``window_s`` that came back, after which healing pauses.
        window_s: How far back attempts and relapses count, in seconds.

    """

    cooldown_s: int = 300
    attempts_max: int = 3
    relapses_max: int = 3
    window_s: int = 86_400


_FAILED: Final = frozenset({OutcomeKind.FAILED, OutcomeKind.VERIFY_FAILED, OutcomeKind.INTERRUPTED})


def decide(policy: GatePolicy, rule: Rule, history: Sequence[FinishedAttempt], *, now: datetime) -> Decision:
    """Return the first hold, or ``Allow``.

    Args:
        policy: The limits.
        rule: The rule that asks.
        history: Finished attempts for this incident's fingerprint, any order.
        now: Time of the turn, UTC.

    """
    for judge in _JUDGES:
        decision = judge(policy, rule, history, now)
        if isinstance(decision, Hold):
            return decision
    return Allow()


def all_decisions(
    policy: GatePolicy, rule: Rule, history: Sequence[FinishedAttempt], *, now: datetime
) -> list[tuple[HoldKind, Decision]]:
    """Return every gate's answer, in the gate's order, for ``explain``."""
    return [(kind, judge(policy, rule, history, now)) for kind, judge in zip(HoldKind, _JUDGES, strict=True)]


def _recent(
    policy: GatePolicy, history: Sequence[FinishedAttempt], kinds: frozenset[OutcomeKind], now: datetime
) -> list[FinishedAttempt]:
    """Return the attempts that count: of these kinds, ended within the window, newest last."""
    kept = [
        past
        for past in history
        if past.outcome in kinds and past.undone_at is None and _within(policy, past.finished_at, now)
    ]
    return sorted(kept, key=lambda past: past.finished_at)


def _within(policy: GatePolicy, at: datetime, now: datetime) -> bool:
    """Tell whether a time is less than one window away from now, in the past or in the future.

    A time a little in the future is remembered (the clock was set back). One further ahead came from a
    clock that was wrong then; counting it would pause healing until the clock caught up, for years.
    """
    return abs(now - at) < timedelta(seconds=policy.window_s)


def horizon_s(policy: GatePolicy, rule: Rule) -> int:
    """Return how far back, in seconds, the gate looks when this rule asks."""
    return max(policy.window_s, policy.cooldown_s, rule.cooldown_s or 0)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _undone(policy: GatePolicy, _rule: Rule, history: Sequence[FinishedAttempt], now: datetime) -> Decision:
    """Hold after a person undid a fix: the agent does not argue."""
    undone = [past.undone_at for past in history if past.undone_at and _within(policy, past.undone_at, now)]
    if not undone:
        return Allow()
    until = max(undone) + timedelta(seconds=policy.window_s)
    if now >= until:
        return Allow()
    return Hold(HoldKind.UNDONE, f"a person undid this fix; it is left alone for {_span(policy.window_s)}", until)


def _flap(policy: GatePolicy, _rule: Rule, history: Sequence[FinishedAttempt], now: datetime) -> Decision:
    """Hold when a verified fix keeps coming back.

    The incident is here again, so each verified fix of it in the window is one relapse.
    """
    relapses = _recent(policy, history, frozenset({OutcomeKind.REMEDIATED}), now)
    if len(relapses) < policy.relapses_max:
        return Allow()
    until = relapses[-policy.relapses_max].finished_at + timedelta(seconds=policy.window_s)
    return Hold(
        HoldKind.FLAP,
        f"came back {_plural(len(relapses), 'time')} after verified fixes within {_span(policy.window_s)}; "
        f"something else changes it back",
        until,
    )


def _attempts(policy: GatePolicy, _rule: Rule, history: Sequence[FinishedAttempt], now: datetime) -> Decision:
    """Hold when attempts keep failing. Unreachable machines do not count."""
    failures = _recent(policy, history, _FAILED, now)
    if len(failures) < policy.attempts_max:
        return Allow()
    until = failures[-policy.attempts_max].finished_at + timedelta(seconds=policy.window_s)
    last = failures[-1]
    return Hold(
        HoldKind.ATTEMPTS,
        f"{_plural(len(failures), 'attempt')} failed within {_span(policy.window_s)}; "
        f"the last one: {last.outcome.value}: {last.reason}",
        until,
    )


def _cooldown(policy: GatePolicy, rule: Rule, history: Sequence[FinishedAttempt], now: datetime) -> Decision:
    """Hold when this rule tried here too recently."""
    cooldown_s = policy.cooldown_s if rule.cooldown_s is None else rule.cooldown_s
    latest = now + timedelta(seconds=cooldown_s)  # beyond it the clock was wrong then; see _within
    tried = [
        past.finished_at for past in history if past.attempt.rule_id == rule.rule_id and past.finished_at <= latest
    ]
    if not tried:
        return Allow()
    until = max(tried) + timedelta(seconds=cooldown_s)
    if now >= until:
        return Allow()
    return Hold(HoldKind.COOLDOWN, f"tried less than {_span(cooldown_s)} ago", until)


def _span(seconds: int) -> str:
    """Return a span for people: ``90 s``, ``5 min``, ``24 h``."""
    minute, hour = 60, 3600
    if seconds % hour == 0 and seconds >= hour:
        return f"{seconds // hour} h"
    if seconds % minute == 0 and seconds >= minute:
        return f"{seconds // minute} min"
    return f"{seconds} s"


_Judge: TypeAlias = "Callable[[GatePolicy, Rule, Sequence[FinishedAttempt], datetime], Decision]"
_JUDGES: Final[tuple[_Judge, ...]] = (_undone, _flap, _attempts, _cooldown)
