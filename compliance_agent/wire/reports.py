"""The reports that travel to the control plane. ``docs/reference/control-plane.md`` specifies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import AwareDatetime, Field

from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.rule import CHOSEN
from compliance_agent.domain.runbook import Model
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from compliance_agent.domain.incident import Incident
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Attempt, Outcome

OUTCOME_SCHEMA: Final = "outcome-report/v1"
HEARTBEAT_SCHEMA: Final = "heartbeat/v1"
UNDO_SCHEMA: Final = "undo-report/v1"


class CheckAfter(Model):
    """What a fresh detect found of one check after an undo."""

    check_id: str = Field(description="The check.")
    verdict: Verdict = Field(strict=False, description="As in a scan.")


class UndoReport(Model):
    """A person took an attempt back, or tried to."""

    schema_: Literal["undo-report/v1"] = Field(default=UNDO_SCHEMA, alias="schema", description="Which report it is.")
    site_id: str = Field(description="The clinic.")
    target_id: str = Field(description="The machine.")
    check_id: str = Field(description="The check whose incident the attempt answered.")
    incident_id: str = Field(description="That incident.")
    fingerprint: str = Field(description="SHA-256 over site, target and check.")
    attempt_id: str = Field(description="The attempt that was undone; the outcome report of the same id told of it.")
    rule_id: str = Field(description="The rule that had asked for it.")
    action: str = Field(description="What the rule had asked for.")
    runbook_id: str = Field(description="What had run; empty for a restarted service.")
    runbook_digest: str = Field(description="Of the runbook as it had run.")
    begun_at: AwareDatetime = Field(description="When the attempt had begun.")
    succeeded: bool = Field(description="Whether the rollback ran to its end.")
    actor: str = Field(description="Who asked for it, by login.")
    reason: str = Field(description="Why, in that person's words, scrubbed.")
    at: AwareDatetime = Field(description="When.")
    after: tuple[CheckAfter, ...] = Field(description="What a fresh detect found; empty where there was none.")


def write_outcome(outcome: Outcome, *, site_id: str, incident: Incident | None, attempt: Attempt | None) -> bytes:
    """Return the report of one outcome. ``success`` is always said: nobody has to guess it from a missing key.

    Steps and facts stay here; what a control plane learns from is which rule and runbook, and how it ended.
    """
    is_chosen = outcome.rule_id == CHOSEN
    level = None if attempt is None else "L3" if is_chosen else "L1"
    return write_json(
        {
            "schema": OUTCOME_SCHEMA,
            "site_id": site_id,
            "target_id": outcome.target_id,
            "platform": incident.platform if incident else None,
            "distro": incident.distro if incident else None,
            "check_id": outcome.check_id,
            "incident_id": outcome.incident_id,
            "incident_type": incident.incident_type if incident else None,
            "severity": incident.severity if incident else None,
            "fingerprint": outcome.fingerprint,
            "opened_at": incident.opened_at.isoformat() if incident else None,
            "outcome": outcome.kind.value,
            "success": outcome.kind.is_success,
            "reason": outcome.reason,
            "at": outcome.at.isoformat(),
            "until": outcome.until.isoformat() if outcome.until else None,
            "level": level,
            "rule_id": None if is_chosen else outcome.rule_id or None,
            "action": outcome.action or None,
            "attempt_id": outcome.attempt_id,
            "runbook_id": attempt.runbook_id if attempt else None,
            "runbook_digest": attempt.runbook_digest if attempt else None,
            "begun_at": attempt.begun_at.isoformat() if attempt else None,
        }
    ).encode()


def write_undo(
    attempt: Attempt,
    *,
    site_id: str,
    succeeded: bool,
    actor: str,
    reason: str,
    at: datetime,
    after: Sequence[Observation],
) -> bytes:
    """Return the report of an undo. What the steps printed stays here."""
    report = UndoReport(
        schema=UNDO_SCHEMA,
        site_id=site_id,
        target_id=attempt.target_id,
        check_id=attempt.check_id,
        incident_id=attempt.incident_id,
        fingerprint=attempt.fingerprint,
        attempt_id=attempt.attempt_id,
        rule_id=attempt.rule_id,
        action=attempt.action,
        runbook_id=attempt.runbook_id,
        runbook_digest=attempt.runbook_digest,
        begun_at=attempt.begun_at,
        succeeded=succeeded,
        actor=actor,
        reason=reason,
        at=at,
        after=tuple(CheckAfter(check_id=seen.check_id, verdict=seen.verdict) for seen in after),
    )
    times = {"begun_at": report.begun_at.isoformat(), "at": report.at.isoformat()}
    return write_json({**report.model_dump(mode="json", by_alias=True), **times}).encode()


def write_heartbeat(*, site_id: str, version: str, at: datetime, numbers: Mapping[str, JsonValue]) -> bytes:
    """Return a sign of life with the numbers that tell how the appliance is."""
    return write_json(
        {"schema": HEARTBEAT_SCHEMA, "site_id": site_id, "version": version, "at": at.isoformat(), **numbers}
    ).encode()
