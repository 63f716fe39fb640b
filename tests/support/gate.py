"""Wishes, tries and instants for tests of the gate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from compliance_agent.domain.gate import Wish
from compliance_agent.domain.gate.flap import FlapEvent, FlapEventKind, FlapState, after
from compliance_agent.domain.gate.policy import FlapPolicy
from compliance_agent.domain.gate.tries import Try
from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import Action, Rule
from compliance_agent.domain.timeline import Instant

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
TARGET, CHECK = "srv01", "LIN-FW-001"
PRINT = fingerprint("clinic", TARGET, CHECK)
RULE = Rule("L1-FW", compile_pattern({"check_id": CHECK}), Action("run_linux_runbook", CHECK))
WISH = Wish(
    RULE, PRINT, "clinic", TARGET, CHECK, incident_id="i-1", runbook_id=CHECK, digest="d1", plan_digest="plan-1"
)
FLAPS = FlapPolicy()


def instant(seconds: float = 0.0, *, boot: str = "b") -> Instant:
    """Return the instant ``seconds`` after noon, with no trouble in between."""
    return Instant(NOON + timedelta(seconds=seconds), boot, seconds, seconds, seconds)


def event(kind: FlapEventKind, seconds: float, **more: Any) -> FlapEvent:
    return FlapEvent(kind, seconds, NOON + timedelta(seconds=seconds), **more)


def flapped(*relapses_s: float, state: FlapState | None = None) -> FlapState:
    """Return a flap after relapses at these seconds, each after a fix."""
    state = FlapState() if state is None else state
    for seconds in relapses_s:
        state = after(state, event(FlapEventKind.FIXED, seconds), FLAPS)
        state = after(state, event(FlapEventKind.RELAPSE, seconds), FLAPS)
    return state


def a_try(seconds: float, outcome: OutcomeKind | None = OutcomeKind.REMEDIATED, **changes: Any) -> Try:
    target, check = changes.get("target_id", TARGET), changes.get("check_id", CHECK)
    values = {
        "attempt_id": f"a-{seconds}",
        "site_id": "clinic",
        "target_id": target,
        "check_id": check,
        "fingerprint": fingerprint("clinic", target, check),
        "rule_id": "L1-FW",
        "runbook_id": check,
        "begun_uptime_s": seconds,
        "begun_s": seconds,
        "ended_s": None if outcome is None else seconds,
        "outcome": outcome,
        "reason": "why",
        **changes,
    }
    return Try(**values)
