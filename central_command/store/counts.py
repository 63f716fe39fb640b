"""The counters of rules against the rows that they count, and the table of the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from central_command.flywheel.evidence import wilson_lower

if TYPE_CHECKING:
    import psycopg

_NUMBERS: Final = ("match_count", "success_count", "failure_count", "not_applicable_count", "relapse_count")


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule whose counters are not what its rows say: matches, successes, failures, not applicable, relapses."""

    rule_id: str
    counted: tuple[int, ...]
    recounted: tuple[int, ...]


def differences(connection: psycopg.Connection) -> list[Difference]:
    """Return every rule whose counters (with what is not folded yet) differ from a recount; an exact counter has none.

    One statement, so both are of the same moment.
    """
    rows = connection.execute(
        f"SELECT c.rule_id, ARRAY[{_of('c')}], ARRAY[{_of('r')}]"  # noqa: S608 - names of columns, ours
        " FROM l1_rule_counts c JOIN l1_rule_recount r USING (site_id, rule_id)"
        f" WHERE ({_of('c')}) IS DISTINCT FROM ({_of('r')}) ORDER BY c.rule_id"
    )
    return [Difference(rule_id, tuple(counted), tuple(recounted)) for rule_id, counted, recounted in rows]


def repair(connection: psycopg.Connection) -> list[Difference]:
    """Set counters that differ right, in the caller's transaction; return what they were and are.

    What is missing is added, not written over: nothing needs to stand still meanwhile, neither ingestion nor the fold.
    """
    found = differences(connection)
    for one in found:
        missing = [should - is_now for should, is_now in zip(one.recounted, one.counted, strict=True)]
        connection.execute(
            "UPDATE l1_rules SET match_count = match_count + %s, success_count = success_count + %s,"
            " failure_count = failure_count + %s, not_applicable_count = not_applicable_count + %s,"
            " relapse_count = relapse_count + %s WHERE rule_id = %s",
            [*missing, one.rule_id],
        )
    return found


def _of(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in _NUMBERS)


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule of the table.

    Attributes:
        rule_id: Which.
        stage: Where it stands; ``quarantined`` where it must not be dispatched.
        matches: Attempts, however they ended.
        successes: Verified fixes.
        durable: Verified fixes that did not come back.
        failures: Attempts that failed.
        relapses: Fixes that came back.
        rate: Share of the successful among those that succeeded or failed; ``None`` without any.
        durable_rate: The same, of the durable ones.
        wilson: 99 % lower bound of ``durable_rate``.

    """

    rule_id: str
    stage: str
    matches: int
    successes: int
    durable: int
    failures: int
    relapses: int
    rate: float | None
    durable_rate: float | None
    wilson: float


def top(connection: psycopg.Connection, *, limit: int = 20) -> list[RuleLine]:
    """Return the rules with any match, those whose fixes surely last first."""
    rows = connection.execute(
        "SELECT rule_id, CASE WHEN r.quarantine_reason IS NOT NULL THEN 'quarantined' ELSE r.stage END,"
        " c.match_count, c.success_count, c.failure_count, c.relapse_count"
        " FROM l1_rule_counts c JOIN l1_rules r USING (site_id, rule_id) WHERE c.match_count > 0"
    )
    lines = [_line(*row) for row in rows]
    return sorted(lines, key=lambda line: (-line.wilson, -line.matches, line.rule_id))[:limit]


def _line(rule_id: str, stage: str, matches: int, successes: int, failures: int, relapses: int) -> RuleLine:
    runs, durable = successes + failures, successes - relapses
    return RuleLine(
        rule_id=rule_id,
        stage=stage,
        matches=matches,
        successes=successes,
        durable=durable,
        failures=failures,
        relapses=relapses,
        rate=successes / runs if runs else None,
        durable_rate=durable / runs if runs else None,
        wilson=wilson_lower(durable, runs),
    )
