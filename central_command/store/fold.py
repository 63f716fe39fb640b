"""Fold what was ingested into the counters: one folder at a time, rules in order, each report once.

A fold takes the oldest appended batches away and, in the same transaction, adds what they mean: counters of
rules, fixes that may come back, fixes that did, and the tallies of patterns. Whoever reads ``l1_rule_counts`` sees
the same sums before and after.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from central_command.flywheel.influence import RUNS_A_DAY
from central_command.store.folded import Fix, Folded, RuleRuns
from central_command.store.shadow import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    import psycopg

DURABLE_AFTER: Final = timedelta(days=7)
"""How long a fix has to hold before it counts as durable."""

BATCHES_MAX: Final = 500
"""Most appended batches in one fold."""

UNCLAIMED_MAX: Final = 1_000
"""Rules of one site that nobody registered and that are counted one by one; any more are counted together."""

REACH_MAX: Final = 1_000
"""Machines and days of one pattern that are remembered for one site."""

_LOCK: Final = 0x0CE4_F01D

_ROWS: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS fold_rows (LIKE execution_telemetry) ON COMMIT DELETE ROWS
"""

# The ids first, then their reports: joined by appliance before, the backlog of one appliance costs its square.
_TAKE: Final = """
WITH taken AS (
  DELETE FROM telemetry_delta
  WHERE delta_id IN (SELECT delta_id FROM telemetry_delta ORDER BY delta_id LIMIT %(batches)s)
  RETURNING site_id, appliance_id, execution_ids
)
INSERT INTO fold_rows
SELECT t.* FROM taken CROSS JOIN LATERAL (
  SELECT * FROM execution_telemetry t
  WHERE t.site_id = taken.site_id AND t.appliance_id = taken.appliance_id AND t.execution_id = ANY (taken.execution_ids)
  OFFSET 0
) t
"""
# OFFSET 0 keeps the planner from joining the other way round: whatever it believes of millions of rows, each batch is
# looked up by its key.

# A rule of one site counts what that site reports, and nothing that another one says of it.
_OF_RULE: Final = """
FROM fold_rows f JOIN l1_rules r ON r.rule_id = f.rule_id AND (r.site_id = '*' OR r.site_id = f.site_id)
WHERE f.attempt_id IS NOT NULL
"""

_RUNS: Final = f"""
SELECT r.rule_id, f.site_id, f.appliance_id,
  count(*),
  count(*) FILTER (WHERE f.success),
  count(*) FILTER (WHERE f.outcome IN ('failed', 'verify_failed')),
  count(*) FILTER (WHERE f.outcome = 'not_applicable'),
  count(*) FILTER (WHERE f.outcome IN ('failed', 'verify_failed') AND f.ended_at >= r.stage_since)
{_OF_RULE}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

# The first runs of each appliance and day, in order: what the decay test hears.
_HEARD: Final = f"""
WITH ranked AS (
  SELECT r.rule_id, f.site_id, f.appliance_id, f.success, f.ended_at, f.execution_id,
    row_number() OVER (PARTITION BY r.rule_id, f.site_id, f.appliance_id ORDER BY f.ended_at, f.execution_id) AS nth
  {_OF_RULE} AND f.outcome IN ('remediated', 'failed', 'verify_failed')
    AND r.stage = 'enabled' AND f.ended_at >= r.stage_since
), heard AS (
  SELECT ranked.* FROM ranked LEFT JOIN rule_days d USING (site_id, appliance_id, rule_id)
  WHERE nth <= %(most)s - CASE WHEN d.day = %(today)s THEN d.runs ELSE 0 END
), noted AS (
  INSERT INTO rule_days (site_id, appliance_id, rule_id, day, runs)
  SELECT site_id, appliance_id, rule_id, %(today)s, count(*) FROM heard GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ON CONFLICT (site_id, appliance_id, rule_id) DO UPDATE SET day = excluded.day,
    runs = excluded.runs + CASE WHEN rule_days.day = excluded.day THEN rule_days.runs ELSE 0 END
)
SELECT rule_id, site_id, appliance_id, success FROM heard ORDER BY rule_id, ended_at, execution_id
"""  # noqa: S608 - put together from constants

_UNCLAIMED: Final = """
WITH unknown AS (
  SELECT site_id, rule_id, count(*) AS matches, count(*) FILTER (WHERE success) AS successes,
    count(*) FILTER (WHERE outcome IN ('failed', 'verify_failed')) AS failures,
    count(*) FILTER (WHERE outcome = 'not_applicable') AS not_applicable,
    EXISTS (SELECT FROM unclaimed_counts u WHERE u.site_id = f.site_id AND u.rule_id = f.rule_id) AS known
  FROM fold_rows f
  WHERE attempt_id IS NOT NULL AND rule_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM l1_rules r WHERE r.rule_id = f.rule_id AND (r.site_id = '*' OR r.site_id = f.site_id))
  GROUP BY site_id, rule_id
), numbered AS (
  SELECT *, row_number() OVER (PARTITION BY site_id, known ORDER BY rule_id)
    + (SELECT count(*) FROM unclaimed_counts u WHERE u.site_id = unknown.site_id) AS nth FROM unknown
)
INSERT INTO unclaimed_counts (site_id, rule_id, matches, successes, failures, relapses, not_applicable)
SELECT site_id, CASE WHEN known OR nth <= %(most)s THEN rule_id ELSE '(others)' END AS name,
  sum(matches), sum(successes), sum(failures), 0, sum(not_applicable)
FROM numbered
GROUP BY site_id, name ORDER BY site_id, name
ON CONFLICT (site_id, rule_id) DO UPDATE SET
  matches = unclaimed_counts.matches + excluded.matches,
  successes = unclaimed_counts.successes + excluded.successes,
  failures = unclaimed_counts.failures + excluded.failures,
  not_applicable = unclaimed_counts.not_applicable + excluded.not_applicable
"""

_OPENINGS: Final = """
INSERT INTO openings (site_id, appliance_id, fingerprint, opened_at)
SELECT site_id, appliance_id, fingerprint, max(least(opened_at, ended_at)) FROM fold_rows WHERE opened_at IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (site_id, appliance_id, fingerprint) DO UPDATE SET
  opened_at = greatest(openings.opened_at, excluded.opened_at)
"""

_PATTERN_KEYS: Final = """
SELECT check_id, platform, runbook_id, min(ended_at), max(ended_at) FROM fold_rows
WHERE level IN ('L2', 'L3') AND attempt_id IS NOT NULL AND EXISTS (
    SELECT FROM runbooks r WHERE r.runbook_id = fold_rows.runbook_id AND remedies AND platform = ANY(platforms))
  AND EXISTS (SELECT FROM runbooks r WHERE r.runbook_id = check_id AND platform = ANY(platforms))
GROUP BY check_id, platform, runbook_id ORDER BY check_id, platform, runbook_id
"""

_PATTERNS: Final = """
INSERT INTO patterns (site_id, pattern_id, check_id, platform, incident_pattern, runbook_id, first_at, last_at)
SELECT '*', gen_random_uuid(), check_id, platform, jsonb_build_object('check_id', check_id, 'platform', platform),
  runbook_id, first_at, last_at
FROM (%s) AS keys (check_id, platform, runbook_id, first_at, last_at)
ON CONFLICT (site_id, check_id, platform, runbook_id) DO UPDATE SET
  first_at = least(patterns.first_at, excluded.first_at), last_at = greatest(patterns.last_at, excluded.last_at)
RETURNING pattern_id
""".replace("%s", _PATTERN_KEYS)

_OF_PATTERN: Final = """
FROM fold_rows f JOIN patterns p
  ON p.site_id = '*' AND p.check_id = f.check_id AND p.platform = f.platform AND p.runbook_id = f.runbook_id
WHERE f.level IN ('L2', 'L3') AND f.attempt_id IS NOT NULL
"""

_REACH: Final = f"""
INSERT INTO pattern_reach (site_id, pattern_id, target_id, day)
SELECT DISTINCT f.site_id, p.pattern_id, f.target_id, (f.ended_at AT TIME ZONE 'UTC')::date
{_OF_PATTERN} AND {REACH_MAX} > (
  SELECT count(*) FROM pattern_reach known WHERE known.pattern_id = p.pattern_id AND known.site_id = f.site_id)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - put together from constants

_TALLY: Final = """
ON CONFLICT (site_id, appliance_id, pattern_id) DO UPDATE SET
  successes = pattern_tallies.successes + excluded.successes,
  failures = pattern_tallies.failures + excluded.failures,
  not_applicable = pattern_tallies.not_applicable + excluded.not_applicable
"""

_PATTERN_FAILURES: Final = f"""
INSERT INTO pattern_tallies (site_id, appliance_id, pattern_id, failures, not_applicable)
SELECT f.site_id, f.appliance_id, p.pattern_id,
  count(*) FILTER (WHERE f.outcome IN ('failed', 'verify_failed')),
  count(*) FILTER (WHERE f.outcome = 'not_applicable')
{_OF_PATTERN} AND f.outcome IN ('failed', 'verify_failed', 'not_applicable')
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
{_TALLY}
"""

_ADD_TALLIES: Final = f"""
INSERT INTO pattern_tallies (site_id, appliance_id, pattern_id, successes, failures)
SELECT * FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::bigint[], %s::bigint[])
{_TALLY}
"""  # noqa: S608 - put together from constants

_FIXES: Final = """
INSERT INTO provisional_fixes
  (site_id, fingerprint, execution_id, appliance_id, rule_id, pattern_id, target_id, attempt_id, fixed_at,
   matures_at)
SELECT f.site_id, f.fingerprint, f.execution_id, f.appliance_id, r.rule_id, p.pattern_id, f.target_id, f.attempt_id,
  f.ended_at, f.ended_at + %(durable_after)s
FROM fold_rows f
LEFT JOIN l1_rules r ON r.rule_id = f.rule_id AND (r.site_id = '*' OR r.site_id = f.site_id)
LEFT JOIN patterns p
  ON f.level IN ('L2', 'L3') AND p.site_id = '*'
  AND p.check_id = f.check_id AND p.platform = f.platform AND p.runbook_id = f.runbook_id
WHERE f.success AND f.attempt_id IS NOT NULL
ON CONFLICT DO NOTHING
"""

# What a person took back neither lasted nor came back, whichever report arrives first.
_UNDONE: Final = """
DELETE FROM provisional_fixes p USING execution_telemetry t
WHERE t.site_id = p.site_id AND t.undoes = p.attempt_id
  AND (p.site_id, p.fingerprint) IN (SELECT site_id, fingerprint FROM fold_rows)
"""

# Every opening that this fold brought counts, and of earlier ones the last: enough to learn of each return, whatever
# order a backlog arrives in.
_RELAPSED: Final = """
WITH opened AS (
  SELECT site_id, appliance_id, fingerprint, least(opened_at, ended_at) AS opened_at
  FROM fold_rows WHERE opened_at IS NOT NULL
  UNION
  SELECT site_id, appliance_id, fingerprint, o.opened_at FROM openings o
  WHERE (site_id, appliance_id, fingerprint) IN (SELECT site_id, appliance_id, fingerprint FROM fold_rows)
), returned AS (
  SELECT p.site_id, p.fingerprint, p.execution_id, min(o.opened_at) AS relapsed_at
  FROM provisional_fixes p JOIN opened o USING (site_id, appliance_id, fingerprint)
  WHERE o.opened_at > p.fixed_at AND o.opened_at <= p.matures_at
  GROUP BY p.site_id, p.fingerprint, p.execution_id
), back AS (
  DELETE FROM provisional_fixes p USING returned r
  WHERE p.site_id = r.site_id AND p.fingerprint = r.fingerprint AND p.execution_id = r.execution_id
  RETURNING p.*, r.relapsed_at
), told AS (
  INSERT INTO relapses (site_id, appliance_id, execution_id, rule_id, fixed_at, relapsed_at)
  SELECT site_id, appliance_id, execution_id, rule_id, fixed_at, relapsed_at FROM back ON CONFLICT DO NOTHING
)
SELECT site_id, appliance_id, rule_id, pattern_id, target_id, fixed_at FROM back ORDER BY site_id, fingerprint, fixed_at
"""

# A fix has lasted when its time is over here and there, and the appliance has told all that it did until then: one that
# was offline for a week may still have to say that it came back.
_MATURED: Final = """
WITH due AS (
  SELECT p.site_id, p.fingerprint, p.execution_id FROM provisional_fixes p
  JOIN appliances a USING (site_id, appliance_id)
  WHERE p.matures_at <= %(now)s AND p.matures_at <= a.reported_until
  ORDER BY p.matures_at LIMIT %(fixes)s
)
DELETE FROM provisional_fixes p USING due
WHERE p.site_id = due.site_id AND p.fingerprint = due.fingerprint AND p.execution_id = due.execution_id
RETURNING p.site_id, p.appliance_id, p.rule_id, p.pattern_id, p.target_id, p.fixed_at
"""

_FIXES_MAX: Final = 100_000
"""Most fixes that mature in one fold."""


def fold(
    connection: psycopg.Connection,
    *,
    now: datetime,
    durable_after: timedelta = DURABLE_AFTER,
    batches: int = BATCHES_MAX,
    then: Callable[[Folded], None] = lambda _folded: None,
) -> Folded | None:
    """Fold the oldest batches, in one transaction; return what they brought, ``None`` while another folder is at it.

    Args:
        connection: Of the role ``central_fleet``, outside a transaction.
        now: The time of this turn, UTC.
        durable_after: How long a fix has to hold.
        batches: Most batches to take.
        then: Called with the result, within the same transaction: stages move with the numbers that move them.

    """
    with connection.transaction():
        row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,)).fetchone()
        if row != (True,):
            return None
        connection.execute(_ROWS)
        rows = connection.execute(_TAKE, {"batches": batches}).rowcount
        rules: dict[str, RuleRuns] = {}
        patterns: set[UUID] = set()
        if rows:
            connection.execute("ANALYZE fold_rows")  # nobody else does; without it joins are planned for a few rows
            _count_rules(connection, rules, now)
            _count_patterns(connection, patterns, durable_after)
        _settle(connection, rules, patterns, now)
        _write_counters(connection, rules)
        folded = Folded(rows, rules, frozenset(patterns))
        then(folded)
        return folded


def _count_rules(connection: psycopg.Connection, rules: dict[str, RuleRuns], now: datetime) -> None:
    for rule_id, site_id, appliance_id, *numbers, failed in connection.execute(_RUNS):
        runs = rules.setdefault(rule_id, RuleRuns())
        runs.matches += numbers[0]
        runs.successes += numbers[1]
        runs.failures += numbers[2]
        runs.not_applicable += numbers[3]
        runs.failed[site_id, appliance_id] += failed
    for rule_id, *heard in connection.execute(_HEARD, {"most": RUNS_A_DAY, "today": now.date()}):
        rules[rule_id].heard.append((heard[0], heard[1], heard[2]))
    connection.execute(_UNCLAIMED, {"most": UNCLAIMED_MAX})


def _count_patterns(connection: psycopg.Connection, patterns: set[UUID], durable_after: timedelta) -> None:
    patterns.update(row[0] for row in connection.execute(_PATTERNS))
    connection.execute(_PATTERN_FAILURES)
    connection.execute(_REACH)
    connection.execute(_FIXES, {"durable_after": durable_after})
    connection.execute(_UNDONE)


def _settle(connection: psycopg.Connection, rules: dict[str, RuleRuns], patterns: set[UUID], now: datetime) -> None:
    relapsed = [Fix(*row) for row in connection.execute(_RELAPSED)]
    connection.execute(_OPENINGS)
    matured = [Fix(*row) for row in connection.execute(_MATURED, {"now": now, "fixes": _FIXES_MAX})]
    for fix in relapsed:
        if fix.rule_id is not None:
            rules.setdefault(fix.rule_id, RuleRuns()).relapsed.append(fix)
    for fix in matured:
        if fix.rule_id is not None:
            rules.setdefault(fix.rule_id, RuleRuns()).lasted.append(fix)
    for fixes, lasted in ((relapsed, False), (matured, True)):
        keys = [(one.site_id, one.appliance_id, one.pattern_id) for one in fixes if one.pattern_id]
        patterns.update(pattern_id for _, _, pattern_id in keys)
        _add_tallies(connection, keys, lasted=lasted)
    watch(connection, relapsed, matured)


def _add_tallies(connection: psycopg.Connection, keys: list[tuple[str, str, UUID]], *, lasted: bool) -> None:
    counted = Counter(keys)
    if not counted:
        return
    names = sorted(counted)
    sites, appliances, patterns = zip(*names, strict=True)
    numbers = [counted[name] for name in names]
    nothing = [0] * len(names)
    successes, failures = (numbers, nothing) if lasted else (nothing, numbers)
    connection.execute(_ADD_TALLIES, [list(sites), list(appliances), list(patterns), successes, failures])


def _write_counters(connection: psycopg.Connection, rules: Mapping[str, RuleRuns]) -> None:
    names = sorted(rules)
    if not names:
        return
    connection.execute("SELECT FROM l1_rules WHERE rule_id = ANY(%s) ORDER BY rule_id FOR NO KEY UPDATE", (names,))
    numbers = [
        (one.matches, one.successes, one.failures, one.not_applicable, len(one.relapsed))
        for one in map(rules.__getitem__, names)
    ]
    connection.execute(
        "UPDATE l1_rules r SET match_count = r.match_count + n.matches, success_count = r.success_count + n.successes,"
        " failure_count = r.failure_count + n.failures,"
        " not_applicable_count = r.not_applicable_count + n.not_applicable,"
        " relapse_count = r.relapse_count + n.relapses"
        " FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS n (rule_id, matches, successes, failures, not_applicable, relapses) WHERE r.rule_id = n.rule_id",
        [names, *map(list, zip(*numbers, strict=True))],
    )
