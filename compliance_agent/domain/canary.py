"""Which appliances act on a rule that is tried out; server and appliance answer alike."""

from __future__ import annotations

import hashlib
from typing import Final

_SHARES: Final = 10_000


def in_canary(rule_id: str, site_id: str, appliance_id: str, share: float) -> bool:
    """Tell whether an appliance belongs to the share (0 to 1) that acts on a rule in canary.

    A hash of rule and appliance decides: the same appliance always, other appliances for each rule, and who was in a
    smaller share is in a larger one.
    """
    digest = hashlib.sha256(f"{rule_id}\n{site_id}\n{appliance_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _SHARES < round(share * _SHARES)
