"""Why a rule or a pattern stands where it stands: every number behind it, its history, and what is missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from central_command.errors import RefusedError
from central_command.flywheel.evidence import wilson_lower
from central_command.flywheel.promotion import judge
from central_command.flywheel.stages import Stage
from central_command.flywheel.waiting import waits_for
from central_command.store.hands import as_uuid
from central_command.store.promoter import hidden_by, record_of, standing_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from central_command.flywheel.promotion import PromotionPolicy
    from central_command.flywheel.stages import StagePolicy

Document = dict[str, object]

_FLOAT_MAX: Final = 1e300


@dataclass(frozen=True, slots=True)
class Waiting:
    """One line of the status.

    Attributes:
        kind: ``rule`` or ``pattern``.
        id: Which.
        stage: Where it stands; ``quarantined`` for a rule that is never dispatched.
        hand: What an operator decided; ``none`` otherwise.
        waits_for: What it lacks, a sentence each; empty for what is enabled and sound.
        imported_stage: What an earlier control plane had made of the pattern; ``None`` for what is ours.

    """

    kind: str
    id: str
    stage: str
    hand: str
    waits_for: tuple[str, ...]
    imported_stage: str | None = None


def status(
    connection: psycopg.Connection, promotion: PromotionPolicy, stages: StagePolicy, *, now: datetime
) -> list[Waiting]:
    """Return every rule and every pattern that is no rule, with what each waits for; by kind and id."""
    lines = []
    rules = connection.execute("SELECT rule_id, quarantine_reason FROM l1_rules ORDER BY rule_id").fetchall()
    for rule_id, quarantined in rules:
        standing = standing_of(connection, rule_id, stages)
        if standing is not None:
            stage = "quarantined" if quarantined else standing.stage.value
            lacks = (quarantined,) if quarantined else waits_for(standing, stages, now=now)
            lines.append(Waiting("rule", rule_id, stage, standing.hand.value, lacks))
    patterns = connection.execute(
        "SELECT pattern_id, stage, stage_reason, incident_pattern, runbook_id, imported_stage FROM patterns"
        " WHERE stage <> 'promoted' ORDER BY pattern_id"
    ).fetchall()
    for pattern_id, stage, reason, pattern, runbook_id, imported in patterns:
        lacks = (reason,) if stage == "refused" else _lacks(connection, pattern_id, pattern, runbook_id, promotion)
        lines.append(Waiting("pattern", str(pattern_id), stage, "none", lacks, imported))
    return lines


def _lacks(
    connection: psycopg.Connection, pattern_id: UUID, pattern: object, runbook_id: str, policy: PromotionPolicy
) -> tuple[str, ...]:
    hidden = hidden_by(connection, pattern, runbook_id)
    return (*judge(record_of(connection, pattern_id), policy).missing, *([hidden] if hidden else []))


def explain(
    connection: psycopg.Connection,
    subject: str,
    promotion: PromotionPolicy,
    stages: StagePolicy,
    *,
    now: datetime,
) -> Document:
    """Return all that is known of a rule, by its id, or of a pattern, by its own.

    Raises:
        RefusedError: There is neither.

    """
    standing = standing_of(connection, subject, stages)
    pattern_id = as_uuid(subject)
    if standing is not None:
        found = connection.execute("SELECT pattern_id FROM patterns WHERE rule_id = %s", (subject,)).fetchone()
        document: Document = {"kind": "rule", "id": subject, **_rule(connection, subject)}
        document["standing"] = asdict(standing) | {"decay_limit": stages.decay.limit}
        quarantined = document["quarantine_reason"]
        document["waits_for"] = [quarantined] if quarantined else list(waits_for(standing, stages, now=now))
        document["pattern"] = _pattern(connection, found[0], promotion) if found else None
    elif pattern_id is not None and (pattern := _pattern(connection, pattern_id, promotion)) is not None:
        document = {"kind": "pattern", "id": str(pattern_id), "pattern": pattern, "waits_for": pattern["missing"]}
    else:
        message = f"there is no rule and no pattern {subject}"
        raise RefusedError(message, hint="central-command flywheel status lists both")
    document["history"] = _history(connection, subject)
    return document


def _rule(connection: psycopg.Connection, rule_id: str) -> Document:
    row = connection.execute(
        "SELECT r.stage, r.stage_reason, r.hand, r.source, r.action, r.quarantine_reason, r.site_id,"
        " r.incident_pattern, c.match_count, c.success_count, c.failure_count, c.not_applicable_count, c.relapse_count"
        " FROM l1_rules r JOIN l1_rule_counts c USING (site_id, rule_id) WHERE r.rule_id = %s",
        (rule_id,),
    ).fetchone()
    names = ("stage", "stage_reason", "hand", "source", "action", "quarantine_reason", "scope", "incident_pattern")
    if row is None:
        return {}
    matches, successes, failures, not_applicable, relapses = row[len(names) :]
    durable, runs = successes - relapses, successes + failures
    sites = connection.execute(
        "SELECT site_id, hand, pinned_stage, actor, reason, at FROM site_hands WHERE rule_id = %s ORDER BY site_id",
        (rule_id,),
    ).fetchall()
    return {
        **dict(zip(names, row, strict=False)),
        "counts": {
            "matches": matches,
            "successes": successes,
            "failures": failures,
            "not_applicable": not_applicable,
            "relapses": relapses,
            "durable": durable,
            "durable_rate": durable / runs if runs else None,
            "wilson": wilson_lower(durable, runs),
        },
        "sites": [dict(zip(("site", "hand", "stage", "actor", "reason", "at"), one, strict=True)) for one in sites],
    }


def _pattern(connection: psycopg.Connection, pattern_id: UUID, policy: PromotionPolicy) -> Document | None:
    row = connection.execute(
        "SELECT check_id, platform, runbook_id, stage, stage_reason, rule_id, imported_stage, imported_runbook,"
        " first_at, last_at, incident_pattern FROM patterns WHERE pattern_id = %s",
        (pattern_id,),
    ).fetchone()
    if row is None:
        return None
    first = ("check_id", "platform", "runbook_id", "stage", "stage_reason", "rule_id", "imported_stage")
    names = (*first, "imported_runbook", "first_at", "last_at")
    record = record_of(connection, pattern_id)
    judgement = judge(record, policy)
    missing = list(judgement.missing)
    if row[3] == Stage.OBSERVED.value and (hidden := hidden_by(connection, row[10], row[2])):
        missing.append(hidden)
    if row[3] == "refused":
        missing.insert(0, row[4])
    numbers = asdict(judgement) | {"evidence": min(judgement.evidence, _FLOAT_MAX), "missing": missing}
    reach = {"targets": record.targets, "days": record.days, "evidence_min": policy.evidence_min}
    return {**dict(zip(names, row, strict=False)), **numbers, **reach, "pattern_id": pattern_id}


def _history(connection: psycopg.Connection, subject: str) -> list[Document]:
    rows = connection.execute(
        "SELECT at, site_id, actor, what, reason, details FROM audit_log WHERE subject = %s ORDER BY at, audit_id",
        (subject,),
    )
    return [dict(zip(("at", "site", "actor", "what", "reason", "details"), row, strict=True)) for row in rows]
