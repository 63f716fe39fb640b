"""Rules in shadow: does what people choose, and what lasts, agree with what the rule would have done?

A promoted rule takes all incidents of one check and platform, so that the reports themselves tell where it would have
matched; no appliance has to say so. Each appliance has one word for each rule, the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from central_command.store.folded import Fix

# That another runbook failed says nothing of the rule's; that another one lasted says that the rule would differ.
_LASTED_OR_NOT: Final = """
INSERT INTO shadow_votes (site_id, appliance_id, rule_id, agrees)
SELECT v.site_id, v.appliance_id, r.rule_id, bool_and(v.lasted AND p.runbook_id = r.runbook_id)
FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::timestamptz[], %s::boolean[])
  AS v (site_id, appliance_id, pattern_id, fixed_at, lasted)
JOIN patterns p USING (pattern_id)
JOIN l1_rules r ON r.stage = 'shadow' AND r.source = 'promoted' AND r.site_id = '*' AND v.fixed_at >= r.stage_since
  AND r.incident_pattern = jsonb_build_object('check_id', p.check_id, 'platform', p.platform)
WHERE v.lasted OR p.runbook_id = r.runbook_id
GROUP BY 1, 2, 3 ORDER BY 3, 1, 2
ON CONFLICT DO NOTHING RETURNING rule_id
"""

_FAILED: Final = """
INSERT INTO shadow_votes (site_id, appliance_id, rule_id, agrees)
SELECT DISTINCT f.site_id, f.appliance_id, r.rule_id, false
FROM fold_rows f
JOIN l1_rules r ON r.stage = 'shadow' AND r.source = 'promoted' AND r.site_id = '*' AND f.ended_at >= r.stage_since
  AND r.incident_pattern = jsonb_build_object('check_id', f.check_id, 'platform', f.platform)
  AND r.runbook_id = f.runbook_id
WHERE f.level IN ('L2', 'L3') AND f.outcome IN ('failed', 'verify_failed')
ON CONFLICT DO NOTHING RETURNING rule_id
"""

_COUNT: Final = """
UPDATE l1_rules r SET shadow_matches = v.matches, shadow_agreements = v.agreements
FROM (
  SELECT rule_id, count(*) AS matches, count(*) FILTER (WHERE agrees) AS agreements
  FROM shadow_votes WHERE rule_id = ANY(%s) GROUP BY rule_id
) v WHERE r.rule_id = v.rule_id
"""


def watch(connection: psycopg.Connection, relapsed: Sequence[Fix], matured: Sequence[Fix]) -> set[str]:
    """Count what this fold shows of rules in shadow; return the rules whose numbers changed.

    Args:
        connection: Within the fold's transaction, ``fold_rows`` filled.
        relapsed: Fixes that came back.
        matured: Fixes that lasted.

    """
    fixes = [(one, lasted) for many, lasted in ((relapsed, False), (matured, True)) for one in many if one.pattern_id]
    changed = {row[0] for row in connection.execute(_FAILED)}
    if fixes:
        columns = zip(
            *((one.site_id, one.appliance_id, one.pattern_id, one.fixed_at, lasted) for one, lasted in fixes),
            strict=True,
        )
        changed |= {row[0] for row in connection.execute(_LASTED_OR_NOT, [list(column) for column in columns])}
    if changed:
        names = sorted(changed)
        connection.execute("SELECT FROM l1_rules WHERE rule_id = ANY(%s) ORDER BY rule_id FOR NO KEY UPDATE", (names,))
        connection.execute(_COUNT, (names,))
    return changed


def forget(connection: psycopg.Connection, rule_id: str) -> None:
    """Forget what was shown of a rule: it comes into another stage."""
    connection.execute("DELETE FROM shadow_votes WHERE rule_id = %s", (rule_id,))
