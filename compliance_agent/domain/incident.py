"""An incident: a failed observation as a JSON document that rules are matched against."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue

INCIDENT_SCHEMA: Final = "incident/v1"


def fingerprint(site_id: str, target_id: str, check_id: str) -> str:
    """Return the stable identity of "this check fails on this target": 64 hex digits of SHA-256.

    The three parts are joined by a byte that none of them may hold, so no two triples collide.
    """
    return hashlib.sha256(f"{site_id}\x1f{target_id}\x1f{check_id}".encode()).hexdigest()


def incident_id_for(incident_fingerprint: str, opened_at: datetime) -> str:
    """Return the id of the incident that opened then: a UUIDv8 (RFC 9562) of both.

    Derived, not drawn, so that a dry run and the live path name the same incident.
    """
    digest = bytearray(hashlib.sha256(f"{incident_fingerprint}\x1f{opened_at.isoformat()}".encode()).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


@dataclass(frozen=True, slots=True)
class Incident:
    """Drift on one target, found by one check. Stays the same incident until the check passes again."""

    incident_id: str
    site_id: str
    target_id: str
    hostname: str
    platform: str
    distro: str
    check_id: str
    incident_type: str
    severity: str
    opened_at: datetime
    detected_at: datetime
    facts: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Return the stable identity over site, target and check."""
        return fingerprint(self.site_id, self.target_id, self.check_id)

    def document(self) -> dict[str, JsonValue]:
        """Return the incident as rules see it (DESIGN, incident v1)."""
        return {
            "schema": INCIDENT_SCHEMA,
            "incident_id": self.incident_id,
            "site_id": self.site_id,
            "target_id": self.target_id,
            "hostname": self.hostname,
            "platform": self.platform,
            "distro": self.distro,
            "check_id": self.check_id,
            "incident_type": self.incident_type,
            "severity": self.severity,
            "status": "fail",
            "detected_at": self.detected_at.isoformat(),
            "facts": dict(self.facts),
        }
