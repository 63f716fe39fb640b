"""The rules that appliances are given: shadow, canary and enabled ones; never what is quarantined or vetoed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from central_command.flywheel.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

FLEET: Final = "*"

_SERVED: Final = """
SELECT site_id, rule_id, name, incident_pattern, action, priority, source, stage, canary_step FROM l1_rules
WHERE quarantine_reason IS NULL AND hand <> 'vetoed' AND stage IN ('shadow', 'canary', 'enabled')
  AND source IN ('synced', 'promoted')
ORDER BY rule_id
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
    for site_id, rule_id, name, pattern, action, priority, source, stage, step in connection.execute(_SERVED):
        entry: dict[str, object] = {
            "rule_id": rule_id,
            "name": name,
            "incident_pattern": pattern,
            "action": action,
            "priority": priority,
        }
        if stage != Stage.ENABLED:
            entry["stage"] = stage
        if stage == Stage.CANARY:
            entry["share"] = canary_shares[min(step, len(canary_shares) - 1)]
        if site_id == FLEET:
            fleet[source, "stable" if stage == Stage.ENABLED else "canary"].append(entry)
        else:
            sites[site_id].append(entry)
    return ServedRules(fleet, sites)
