"""What the store in memory holds, but for the alerts, the outbox and the gate's memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.adapters.store.rows import RecordedOutcome, Undo
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Attempt, FinishedAttempt
    from compliance_agent.engine.ports import TargetStatus


@dataclass(frozen=True, slots=True)
class MemoryIncident:
    """An incident, open or closed."""

    fingerprint: str
    site_id: str
    target_id: str
    check_id: str
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None = None


@dataclass(slots=True)
class MemoryState:
    """Everything but the alerts. ``outcomes`` are in the order in which they came."""

    targets: dict[str, TargetStatus] = field(default_factory=dict)
    sites: dict[str, str] = field(default_factory=dict)
    observations: dict[tuple[str, str], Observation] = field(default_factory=dict)
    incidents: dict[str, MemoryIncident] = field(default_factory=dict)
    unfinished: dict[str, Attempt] = field(default_factory=dict)
    finished: dict[str, FinishedAttempt] = field(default_factory=dict)
    outcomes: list[RecordedOutcome] = field(default_factory=list)
    undos: list[Undo] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
