"""What commands say to programs: turns as JSON documents. The shapes are documented in docs/reference/cli.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.cli.exits import exit_of
from compliance_agent.cli.standing import NOTHING_STANDS
from compliance_agent.domain.observation import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from compliance_agent.cli.standing import Standing
    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Outcome
    from compliance_agent.engine.cycle import Turn
    from compliance_agent.engine.plan import PlanItem

TURN_SCHEMA = "turn/v1"


def turns_document(
    turns: Sequence[Turn], catalogue: Catalogue, *, command: str, standing: Standing = NOTHING_STANDS
) -> dict[str, JsonValue]:
    """Return one document over all targets."""
    return {
        "schema": TURN_SCHEMA,
        "command": command,
        "dry_run": all(turn.dry_run for turn in turns),
        "targets": [_target_document(turn, catalogue) for turn in turns],
        **standing.document(),
        "verdicts": _count(seen.verdict.value for turn in turns for seen in turn.scan.observations),
        "outcomes": _count(outcome.kind.value for turn in turns for outcome in turn.outcomes),
        "exit_code": int(exit_of(turns)),
    }


def check_rows(turns: Sequence[Turn], catalogue: Catalogue) -> Iterator[dict[str, JsonValue]]:
    """Yield one row for each check of each target, and one for each target not reached (ndjson)."""
    for turn in turns:
        target_id = turn.scan.target.target_id
        if turn.scan.unreached is not None:
            yield {"target": target_id, **_unreached(turn)}
        for seen in turn.scan.observations:
            yield {"target": target_id, **_check_document(turn, seen, catalogue)}


def _target_document(turn: Turn, catalogue: Catalogue) -> dict[str, JsonValue]:
    scan = turn.scan
    return {
        "target": scan.target.target_id,
        "address": scan.target.address,
        "at": turn.at.isoformat(),
        "duration_ms": round(scan.duration_s * 1000),
        "host": scan.host.document() if scan.host else None,
        **_unreached(turn),
        "trouble": turn.trouble,
        "checks": [_check_document(turn, seen, catalogue) for seen in scan.observations],
    }


def _unreached(turn: Turn) -> dict[str, JsonValue]:
    unreached = turn.scan.unreached
    if unreached is None:
        return {"reached": True}
    return {
        "reached": False,
        "fault": unreached.fault.value,
        "message": unreached.message,
        "hint": unreached.hint,
    }


def _check_document(turn: Turn, seen: Observation, catalogue: Catalogue) -> dict[str, JsonValue]:
    compiled = catalogue.get(seen.check_id)
    item = item_of(turn, seen)
    outcome = outcome_of(turn, seen)
    row: dict[str, JsonValue] = {
        "check": seen.check_id,
        "title": compiled.runbook.title if compiled else "",
        "severity": compiled.runbook.severity if compiled else "",
        "hipaa": list(compiled.runbook.controls.hipaa) if compiled else [],
        "verdict": seen.verdict.value,
        "reason": seen.reason,
        "facts": dict(seen.facts),
    }
    if item is not None:
        row["incident"] = item.incident.document()
        row["rule"] = item.rule.rule_id if item.rule else None
        row["action"] = item.action or None
    if outcome is not None:
        row["outcome"] = outcome.kind.value
        row["outcome_reason"] = outcome.reason
        row["until"] = _time(outcome.until)
        row["attempt"] = outcome.attempt_id
    return row


def item_of(turn: Turn, seen: Observation) -> PlanItem | None:
    """Return the plan item of an observation; only drift has one."""
    if seen.verdict is not Verdict.FAIL:
        return None
    return next((item for item in turn.items if item.incident.check_id == seen.check_id), None)


def outcome_of(turn: Turn, seen: Observation) -> Outcome | None:
    """Return the outcome of an observation's incident; only drift has one."""
    if seen.verdict is not Verdict.FAIL:
        return None
    return next((outcome for outcome in turn.outcomes if outcome.check_id == seen.check_id), None)


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _count(names: Iterator[str]) -> dict[str, JsonValue]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
