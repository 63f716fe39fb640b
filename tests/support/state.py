"""Sample observations, attempts, outcomes and alerts for tests of the store and its neighbours."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from compliance_agent.domain.incident import fingerprint, incident_id_for
from compliance_agent.domain.observation import Observation, Verdict
from compliance_agent.domain.outbox import OutboxClass, OutboxEntry
from compliance_agent.domain.outcome import Alert, Attempt, Outcome, OutcomeKind
from compliance_agent.testing import NOON

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue

SITE = "clinic"
TARGET = "srv01"
CHECK = "LIN-SSH-001"
FINGERPRINT = fingerprint(SITE, TARGET, CHECK)
EPOCH = NOON - timedelta(days=365)


def at(seconds: float) -> datetime:
    """Return the time ``seconds`` after noon."""
    return NOON + timedelta(seconds=seconds)


def an_observation(
    verdict: Verdict = Verdict.FAIL,
    when: datetime = NOON,
    *,
    target_id: str = TARGET,
    check_id: str = CHECK,
    reason: str = "root may log in",
    facts: dict[str, JsonValue] | None = None,
) -> Observation:
    return Observation(check_id, target_id, verdict, reason, when, {"port": 22} if facts is None else facts)


def an_attempt(
    attempt_id: str = "attempt-1", when: datetime = NOON, *, target_id: str = TARGET, check_id: str = CHECK
) -> Attempt:
    key = fingerprint(SITE, target_id, check_id)
    return Attempt(
        attempt_id=attempt_id,
        fingerprint=key,
        incident_id=incident_id_for(key, when),
        site_id=SITE,
        target_id=target_id,
        check_id=check_id,
        rule_id="L1-SSH-001",
        action=f"run_linux_runbook:{check_id}",
        runbook_id=check_id,
        runbook_digest="ab" * 32,
        begun_at=when,
        parameters={"value": "no", "limit": 4},
    )


def an_end(attempt: Attempt, kind: OutcomeKind = OutcomeKind.REMEDIATED, when: datetime = NOON) -> Outcome:
    return Outcome(
        kind=kind,
        reason="as told",
        incident_id=attempt.incident_id,
        fingerprint=attempt.fingerprint,
        target_id=attempt.target_id,
        check_id=attempt.check_id,
        at=when,
        rule_id=attempt.rule_id,
        action=attempt.action,
        attempt_id=attempt.attempt_id,
    )


def an_outcome(
    kind: OutcomeKind = OutcomeKind.DEFERRED,
    when: datetime = NOON,
    *,
    reason: str = "tried less than 5 min ago",
    target_id: str = TARGET,
    check_id: str = CHECK,
    rule_id: str = "L1-SSH-001",
) -> Outcome:
    key = fingerprint(SITE, target_id, check_id)
    return Outcome(
        kind=kind,
        reason=reason,
        incident_id=incident_id_for(key, NOON),
        fingerprint=key,
        target_id=target_id,
        check_id=check_id,
        at=when,
        rule_id=rule_id,
        action=f"run_linux_runbook:{check_id}",
    )


def an_alert(
    key: str = "srv01/LIN-SSH-001", when: datetime = NOON, document: dict[str, JsonValue] | None = None
) -> Alert:
    return Alert(
        dedupe_key=key,
        kind=OutcomeKind.ALERTED,
        name="ssh_root_login",
        summary="root may log in on srv01",
        document={"target_id": TARGET} if document is None else document,
        raised_at=when,
    )


def an_entry(
    number: int = 1, kind: OutboxClass = OutboxClass.TELEMETRY, when: datetime = NOON, body: bytes = b'{"a":1}'
) -> OutboxEntry:
    return OutboxEntry(f"01900000-0000-7000-8000-{number:012x}", kind, when, body)
