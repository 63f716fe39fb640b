"""The reports that travel to the control plane. ``docs/reference/control-plane.md`` specifies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from compliance_agent.domain.incident import Incident
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.outcome import Attempt, Outcome

OUTCOME_SCHEMA: Final = "outcome-report/v1"
HEARTBEAT_SCHEMA: Final = "heartbeat/v1"


def write_outcome(outcome: Outcome, *, site_id: str, incident: Incident | None, attempt: Attempt | None) -> bytes:
    """Return the report of one outcome. ``success`` is always said: nobody has to guess it from a missing key.

    Steps and facts stay here; what a control plane learns from is which rule and runbook, and how it ended.
    """
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
            "rule_id": outcome.rule_id or None,
            "action": outcome.action or None,
            "attempt_id": outcome.attempt_id,
            "runbook_id": attempt.runbook_id if attempt else None,
            "runbook_digest": attempt.runbook_digest if attempt else None,
            "begun_at": attempt.begun_at.isoformat() if attempt else None,
        }
    ).encode()


def write_heartbeat(*, site_id: str, version: str, at: datetime, numbers: Mapping[str, JsonValue]) -> bytes:
    """Return a sign of life with the numbers that tell how the appliance is."""
    return write_json(
        {"schema": HEARTBEAT_SCHEMA, "site_id": site_id, "version": version, "at": at.isoformat(), **numbers}
    ).encode()
