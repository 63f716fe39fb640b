"""Outcomes, and the attempts that lead to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue


class OutcomeKind(StrEnum):
    """How an incident's turn ended. Only ``remediated`` is success."""

    REMEDIATED = "remediated"
    WOULD_CHANGE = "would_change"
    FAILED = "failed"
    VERIFY_FAILED = "verify_failed"
    SUPPRESSED = "suppressed"
    DEFERRED = "deferred"
    AWAITING_APPROVAL = "awaiting_approval"
    WAIVED = "waived"
    ALERTED = "alerted"
    ESCALATED = "escalated"
    UNMATCHED = "unmatched"
    INTERRUPTED = "interrupted"
    UNREACHABLE = "unreachable"
    NOT_APPLICABLE = "not_applicable"

    @property
    def is_success(self) -> bool:
        """Tell whether the drift is gone: true for ``remediated`` alone."""
        return self is OutcomeKind.REMEDIATED


ATTEMPT_OUTCOMES: Final = frozenset(
    {
        OutcomeKind.REMEDIATED,
        OutcomeKind.FAILED,
        OutcomeKind.VERIFY_FAILED,
        OutcomeKind.INTERRUPTED,
        OutcomeKind.UNREACHABLE,
        OutcomeKind.NOT_APPLICABLE,
    }
)
"""The kinds in which an attempt (something was, or may have been, changed) can end."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to heal one incident: the intent, written before the deed.

    Attributes:
        attempt_id: UUIDv7 text.
        fingerprint: Site, target and check.
        incident_id: The incident that it answers.
        rule_id: The rule that asked for it.
        action: ``prefix:argument`` as dispatched.
        runbook_id: What runs; empty for ``restart_service``.
        runbook_digest: SHA-256 over runbook and resources, hex.
        begun_at: Time of the turn, UTC.
        parameters: Resolved parameter values.

    """

    attempt_id: str
    fingerprint: str
    incident_id: str
    site_id: str
    target_id: str
    check_id: str
    rule_id: str
    action: str
    runbook_id: str
    runbook_digest: str
    begun_at: datetime
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """What history remembers of an attempt that ended.

    Attributes:
        attempt: The intent.
        outcome: How it ended.
        reason: One sentence.
        finished_at: When, UTC.
        undone_at: When a person undid it, UTC; ``None`` if nobody did. An undone fix is no relapse.

    """

    attempt: Attempt
    outcome: OutcomeKind
    reason: str
    finished_at: datetime
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step of a remediation or rollback did.

    Attributes:
        step_id: Name within the runbook.
        exit_code: As the step ended; ``None`` when it never reported.
        output: Trimmed standard output.
        error: Trimmed standard error.

    """

    step_id: str
    exit_code: int | None
    output: str
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one incident's turn.

    Attributes:
        kind: How it ended.
        reason: One sentence for people.
        incident_id: Which incident.
        fingerprint: Site, target and check.
        at: Time of the turn plus what the work took, UTC.
        rule_id: The rule that matched, or empty.
        action: What the rule asked for, or empty.
        attempt_id: The attempt, where there was one.
        until: When a hold ends, where there is one.
        steps: What ran.

    """

    kind: OutcomeKind
    reason: str
    incident_id: str
    fingerprint: str
    target_id: str
    check_id: str
    at: datetime
    rule_id: str = ""
    action: str = ""
    attempt_id: str | None = None
    until: datetime | None = None
    steps: tuple[StepRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person must be told.

    Attributes:
        dedupe_key: The same key is not queued again while it is open (undelivered, or delivered
            less than the repeat interval ago).
        name: ``alert:NAME`` or the escalation's reason.
        summary: One sentence.
        document: What travels to the channel; holds no secret.

    """

    dedupe_key: str
    kind: OutcomeKind
    name: str
    summary: str
    document: Mapping[str, JsonValue]
    raised_at: datetime
