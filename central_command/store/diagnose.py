"""Why a rule fails: its failures by cause, where they happen, and whom they concern, from the telemetry itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from central_command.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg


@dataclass(frozen=True, slots=True)
class Cause:
    """Attempts of a rule that ended in the same way.

    Attributes:
        outcome: As reported; ``relapsed`` for a verified fix that came back.
        reason: What the appliances said, with times, ids and long numbers as ``#``; empty for relapses.
        count: Attempts.
        share: Of all that failed or came back.
        sites: Different sites.
        targets: Different machines.
        worst_target: The machine with most of them, as ``site/machine``.
        worst_count: How many it has.
        platforms: Platforms and distributions, as reported.
        first_at: The first, UTC.
        last_at: The last, UTC.
        example: Id of the last report.

    """

    outcome: str
    reason: str
    count: int
    share: float
    sites: int
    targets: int
    worst_target: str
    worst_count: int
    platforms: Sequence[str]
    first_at: datetime
    last_at: datetime
    example: str


_NAMES: Final = tuple(field.name for field in fields(Cause))

# Only what differs from run to run is masked: exit codes, HRESULTs and short numbers tell causes apart.
_MASK: Final = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\d[T ][0-9:.Z+-]*|\m\d{5,}\M"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A rule and what goes wrong with it.

    Attributes:
        rule_id: Which.
        attempts: Attempts in the telemetry that is kept.
        successes: Verified fixes among them, those that came back too.
        not_applicable: Attempts that found nothing to do; no failures.
        unfinished: Interrupted or unreachable; no failures of the rule.
        causes: Of the failures and relapses, the most frequent first.

    """

    rule_id: str
    attempts: int
    successes: int
    not_applicable: int
    unfinished: int
    causes: tuple[Cause, ...]


def diagnose(connection: psycopg.Connection, rule_id: str, *, limit: int = 20) -> Diagnosis:
    """Return why a rule fails. It reads all kept reports of the rule: for a person who asks, not for a loop.

    Raises:
        RefusedError: There is no such rule, and nobody reported it.

    """
    totals = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE success), count(*) FILTER (WHERE outcome = 'not_applicable'),"
        " count(*) FILTER (WHERE outcome IN ('interrupted', 'unreachable')),"
        " EXISTS (SELECT FROM l1_rules WHERE rule_id = %(rule)s)"
        " FROM execution_telemetry WHERE rule_id = %(rule)s AND attempt_id IS NOT NULL",
        {"rule": rule_id},
    ).fetchone()
    if totals is None or not (totals[0] or totals[4]):
        message = f"there is no rule {rule_id}, and no report names it"
        raise RefusedError(message, hint="central-command rules top lists those that ran")
    rows = connection.execute(
        "WITH bad AS ("
        " SELECT CASE WHEN t.success THEN 'relapsed' ELSE t.outcome END AS outcome,"
        " CASE WHEN t.success THEN '' ELSE regexp_replace(t.reason, %(mask)s, '#', 'g') END AS reason,"
        " t.site_id, t.site_id || '/' || t.target_id AS target, t.ended_at, t.execution_id,"
        " coalesce(nullif(concat_ws(' ', t.platform, t.distro), ''), 'unknown') AS platform"
        " FROM execution_telemetry t LEFT JOIN relapses x USING (site_id, appliance_id, execution_id)"
        " WHERE t.rule_id = %(rule)s AND t.attempt_id IS NOT NULL"
        " AND (t.outcome IN ('failed', 'verify_failed') OR x.execution_id IS NOT NULL)"
        "), by_target AS ("
        " SELECT outcome, reason, target, count(*) AS n,"
        " row_number() OVER (PARTITION BY outcome, reason ORDER BY count(*) DESC, target) AS nth"
        " FROM bad GROUP BY 1, 2, 3"
        ") SELECT b.outcome, b.reason, count(*), (count(*) / sum(count(*)) OVER ())::float8, count(DISTINCT b.site_id),"
        " count(DISTINCT b.target), min(w.target), min(w.n), array_agg(DISTINCT b.platform), min(b.ended_at),"
        " max(b.ended_at), (array_agg(b.execution_id ORDER BY b.ended_at DESC))[1]::text"
        " FROM bad b JOIN by_target w ON w.outcome = b.outcome AND w.reason = b.reason AND w.nth = 1"
        " GROUP BY b.outcome, b.reason ORDER BY 3 DESC, 1, 2 LIMIT %(limit)s",
        {"rule": rule_id, "limit": limit, "mask": _MASK},
    ).fetchall()
    causes = tuple(Cause(**dict(zip(_NAMES, row, strict=True))) for row in rows)
    attempts, successes, not_applicable, unfinished, _ = totals
    return Diagnosis(rule_id, attempts, successes, not_applicable, unfinished, causes)
