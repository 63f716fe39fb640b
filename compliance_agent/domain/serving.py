"""What the control plane and the appliance compute alike: who tries a rule out, and what served files are called."""

from __future__ import annotations

import hashlib
from typing import Final

SYNCED, PROMOTED = "synced", "promoted"
FLEET_ROLES: Final = (SYNCED, PROMOTED)
"""Roles of The Update Framework whose rules go to every site: operators' rules, and what the fleet taught."""

STABLE, CANARY = "stable", "canary"
CHANNELS: Final = (STABLE, CANARY)
"""Of each role: rules in force everywhere, and rules that are tried out (shadow and canary)."""

_SHARES: Final = 10_000


def in_canary(rule_id: str, site_id: str, appliance_id: str, share: float) -> bool:
    """Tell whether an appliance belongs to the share (0 to 1) that acts on a rule in canary.

    A hash of rule and appliance decides: the same appliance always, other appliances for each rule, and who was in a
    smaller share is in a larger one.
    """
    digest = hashlib.sha256(f"{rule_id}\n{site_id}\n{appliance_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _SHARES < round(share * _SHARES)


def site_name(site_id: str) -> str:
    """Return how a site is named in what every appliance can read: nobody learns from it who else is there."""
    return hashlib.sha256(f"site\n{site_id}".encode()).hexdigest()[:32]


def fleet_path(role: str, channel: str) -> str:
    """Return the name of a role's rules of one channel."""
    return f"{role}/{channel}.json"


def site_path(site_id: str) -> str:
    """Return the name of a site's own rules."""
    return f"sites/{site_name(site_id)}/rules.json"
