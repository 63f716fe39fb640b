"""What the control plane is told: reports of outcomes, and signs of life."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from compliance_agent.adapters.store.codec import clean_text
from compliance_agent.domain.outbox import OutboxClass, OutboxEntry
from compliance_agent.domain.turn_end import NOTHING, Attachments
from compliance_agent.wire.reports import write_heartbeat, write_outcome, write_undo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.adapters.store.rows import Counts
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.ports import IdSource
    from compliance_agent.engine.reporter import Conclusion, Reversal


@dataclass(frozen=True, slots=True)
class TelemetryReporter:
    """Makes one report of each outcome. Scrubs what machines said; writes nothing."""

    site_id: str
    ids: IdSource

    def of_conclusion(self, conclusion: Conclusion) -> Attachments:
        """Return the report of how an incident's turn ended."""
        outcome = replace(conclusion.outcome, reason=clean_text(conclusion.outcome.reason))
        body = write_outcome(outcome, site_id=self.site_id, incident=conclusion.incident, attempt=conclusion.attempt)
        return Attachments([OutboxEntry(self.ids.new_id(), OutboxClass.TELEMETRY, outcome.at, body)])

    def of_scan(self, target: Target, observations: Sequence[Observation], *, now: datetime) -> Attachments:
        """Return nothing: heartbeats carry the numbers, outcomes the changes."""
        del target, observations, now
        return NOTHING

    def of_unreachable(self, target: Target, *, fault: str, message: str, now: datetime) -> Attachments:
        """Return nothing, for the same reason."""
        del target, fault, message, now
        return NOTHING

    def of_undo(self, reversal: Reversal) -> Attachments:
        """Return the report that a person took an attempt back: a fix that was undone is no lasting one."""
        body = write_undo(
            reversal.attempt,
            site_id=self.site_id,
            succeeded=reversal.succeeded,
            actor=clean_text(reversal.actor),
            reason=clean_text(reversal.reason),
            at=reversal.at,
            after=reversal.after,
        )
        return Attachments([OutboxEntry(self.ids.new_id(), OutboxClass.TELEMETRY, reversal.at, body)])


def heartbeat(counts: Counts, *, site_id: str, version: str, ids: IdSource, now: datetime) -> Attachments:
    """Return a sign of life, with what waits, what was dropped, and what went wrong: silence hides nothing."""
    numbers: dict[str, JsonValue] = {
        "targets": counts.targets,
        "unreachable_targets": counts.unreachable_targets,
        "open_incidents": counts.open_incidents,
        "unfinished_attempts": counts.unfinished_attempts,
        "alerts": {state.value: number for state, number in counts.alerts.items()},
        "pruned": dict(counts.dropped),
        "state_bytes": counts.size_bytes,
        "outbox": outbox_numbers(counts),
    }
    body = write_heartbeat(site_id=site_id, version=version, at=now, numbers=numbers)
    return Attachments([OutboxEntry(ids.new_id(), OutboxClass.HEARTBEAT, now, body)])


def outbox_numbers(counts: Counts) -> dict[str, JsonValue]:
    """Return what waits, and what became of the rest, by class: the honesty report."""
    return {
        kind.value: {
            "waiting": numbers.waiting,
            "dead": numbers.dead,
            "bytes": numbers.size_bytes,
            "oldest_at": numbers.oldest_at.isoformat() if numbers.oldest_at else None,
            "fates": {fate.value: number for fate, number in numbers.fates.items()},
        }
        for kind, numbers in counts.outbox.items()
    }
