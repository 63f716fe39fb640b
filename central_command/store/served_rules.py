"""The rules that appliances are given: shadow, canary and enabled ones; never what is quarantined or vetoed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from central_command.flywheel.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

_OF_FLEET: Final = """
SELECT r.rule_id, r.name, r.incident_pattern, r.action, r.priority, r.source, r.stage, r.canary_step FROM l1_rules r
WHERE r.site_id = '*' AND r.quarantine_reason IS NULL AND r.hand NOT IN ('vetoed', 'disabled')
  AND r.stage IN ('shadow', 'canary', 'enabled') AND r.source IN ('synced', 'promoted')
ORDER BY r.rule_id
"""

# A site's own rules; and those of the fleet about which the site has decided otherwise.
_OF_SITES: Final = """
SELECT here.site_id, r.rule_id, r.name, r.incident_pattern, r.action, r.priority, r.source, here.stage, r.canary_step
FROM rules_at_site here JOIN l1_rules r USING (rule_id)
WHERE (here.scope <> '*' AND r.source IN ('synced', 'promoted') AND here.stage IN ('shadow', 'canary', 'enabled'))
  OR (here.scope = '*' AND EXISTS (
    SELECT FROM site_hands h WHERE h.site_id = here.site_id AND h.rule_id = here.rule_id))
ORDER BY here.site_id, r.rule_id
"""


@dataclass(frozen=True, slots=True)
class ServedRules:
    """Rules as entries of a rules document.

    Attributes:
        fleet: By source and channel: ``stable`` has the enabled ones, ``canary`` those that are tried out.
        sites: The rules of single sites.

    """

    fleet: Mapping[tuple[str, str], Sequence[Mapping[str, object]]]
    sites: Mapping[str, Sequence[Mapping[str, object]]]


def served_rules(connection: psycopg.Connection, *, canary_shares: Sequence[float]) -> ServedRules:
    """Return what is to be served now.

    Args:
        connection: Of the role ``central_fleet``.
        canary_shares: Share of the appliances that acts, by step of the canary.

    """
    fleet: dict[tuple[str, str], list[Mapping[str, object]]] = defaultdict(list)
    sites: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for *columns, source, stage, step in connection.execute(_OF_FLEET):
        channel = "stable" if stage == Stage.ENABLED else "canary"
        fleet[source, channel].append(_entry(columns, stage, canary_shares[min(step, len(canary_shares) - 1)]))
    for site_id, *columns, _source, stage, step in connection.execute(_OF_SITES):
        sites[site_id].append(_entry(columns, stage, canary_shares[min(step, len(canary_shares) - 1)]))
    return ServedRules(fleet, sites)


def _entry(columns: Sequence[object], stage: str, share: float) -> dict[str, object]:
    """Return a rule as it is served: switched off where neither shadow, canary nor enabled is its stage."""
    entry = dict(zip(("rule_id", "name", "incident_pattern", "action", "priority"), columns, strict=True))
    if stage not in {Stage.SHADOW, Stage.CANARY, Stage.ENABLED}:
        return {**entry, "enabled": False}
    if stage == Stage.CANARY:
        return {**entry, "stage": stage, "share": share}
    return entry if stage == Stage.ENABLED else {**entry, "stage": stage}
