"""What the store's read side returns, beside the nouns of the domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from compliance_agent.domain.outbox import Held

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from compliance_agent.domain.outbox import OutboxClass, OutboxEntry, OutboxFate
    from compliance_agent.domain.outcome import Alert, Outcome, OutcomeKind, StepRecord


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that is open, with the last outcome since it opened.

    Attributes:
        fingerprint: Site, target and check.
        opened_at: When the check first failed, UTC.
        last_seen_at: When it was last seen to fail, UTC.
        outcome_kind: How its last turn ended; ``None`` when it had none yet.
        outcome_reason: Why.
        outcome_until: When a hold ends, where there is one.
        rule_id: The rule of that turn, or empty.
        action: What the rule asked for, or empty.

    """

    fingerprint: str
    site_id: str
    target_id: str
    check_id: str
    opened_at: datetime
    last_seen_at: datetime
    outcome_kind: OutcomeKind | None = None
    outcome_reason: str = ""
    outcome_until: datetime | None = None
    rule_id: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """An outcome and how often it repeated.

    Attributes:
        outcome: As it was when it first came (``outcome.until`` is the latest one).
        last_seen_at: When it last repeated, UTC; ``outcome.at`` when it never did.
        seen_count: How often it came, 1 or more.

    """

    outcome: Outcome
    last_seen_at: datetime
    seen_count: int


@dataclass(frozen=True, slots=True)
class Undo:
    """One try to take a remediation back.

    Attributes:
        attempt_id: What was undone.
        succeeded: Whether the rollback ran to its end.
        actor: Who asked for it.
        reason: Why, in that person's words.
        at: When, UTC.
        steps: What ran.

    """

    attempt_id: str
    succeeded: bool
    actor: str
    reason: str
    at: datetime
    steps: tuple[StepRecord, ...] = ()


class AlertState(StrEnum):
    """Where a queued alert stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    PARTLY_DELIVERED = "partly_delivered"
    DEAD = "dead"


class DeliveryState(StrEnum):
    """Where one alert stands with one channel."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class ChannelDelivery:
    """One alert, one channel.

    Attributes:
        channel: The channel's name.
        tries: How often it was tried.
        last_error: Why the last try failed; empty when it did not.
        next_try_at: When the next try is due; ``None`` when there is none.

    """

    channel: str
    state: DeliveryState
    tries: int
    last_error: str = ""
    next_try_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueuedAlert:
    """An alert in the queue.

    Attributes:
        alert_id: UUID; the same for every try, so that a receiver can drop what it has seen.
        alert: What is told.
        state: Over all channels.
        raised_count: How often it was raised while open, 1 or more.
        last_raised_at: When it was last raised, UTC.
        settled_at: When the last channel was done with it; ``None`` while pending.
        deliveries: The channels that were tried, by name.

    """

    alert_id: str
    alert: Alert
    state: AlertState
    raised_count: int
    last_raised_at: datetime
    settled_at: datetime | None = None
    deliveries: tuple[ChannelDelivery, ...] = ()

    def delivery(self, channel: str) -> ChannelDelivery:
        """Return where it stands with ``channel``, also when that was never tried."""
        for delivery in self.deliveries:
            if delivery.channel == channel:
                return delivery
        return ChannelDelivery(channel, DeliveryState.PENDING, 0)

    def is_due(self, channel: str, now: datetime) -> bool:
        """Tell whether a try on ``channel`` is due."""
        delivery = self.delivery(channel)
        if self.state is not AlertState.PENDING or delivery.state is not DeliveryState.PENDING:
            return False
        return delivery.next_try_at is None or delivery.next_try_at <= now


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An entry in the outbox.

    Attributes:
        sequence: Place in the order of arrival.
        entry: What is told.
        tries: How often it was sent without being taken.
        last_error: Why the last try failed, or why it is dead; empty before the first try.
        next_try_at: When the receiver asked to see it again; ``None`` for at once.
        dead_at: When it was given up; ``None`` while it waits.

    """

    sequence: int
    entry: OutboxEntry
    tries: int = 0
    last_error: str = ""
    next_try_at: datetime | None = None
    dead_at: datetime | None = None

    @property
    def held(self) -> Held:
        """Return what eviction needs to know."""
        return Held(self.sequence, self.entry.kind, self.dead_at is not None, len(self.entry.body))


@dataclass(frozen=True, slots=True)
class DeadAction:
    """What a person does about dead entries.

    Attributes:
        is_drop: Remove them; otherwise they wait again.
        actor: Who.
        reason: Why, in that person's words.
        at: When, UTC.

    """

    is_drop: bool
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """How much waits in the outbox of one class, and what became of the rest.

    Attributes:
        waiting: Entries to be sent.
        dead: Entries that were given up and are kept to be looked at.
        size_bytes: Of both together.
        oldest_at: When the oldest waiting one came about; ``None`` without one.
        fates: Fate to number, over the store's whole life.

    """

    waiting: int = 0
    dead: int = 0
    size_bytes: int = 0
    oldest_at: datetime | None = None
    fates: Mapping[OutboxFate, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Restoration:
    """One time that the state file was damaged or gone, and the agent went on without it.

    Attributes:
        at: When, UTC.
        reason: What was wrong.
        kept_as: Name of the file that was set aside; empty where there was none.
        snapshot_at: Age of the snapshot from which it went on, UTC; ``None``: it began anew.

    """

    at: datetime
    reason: str
    kept_as: str
    snapshot_at: datetime | None

    @property
    def summary(self) -> str:
        """Return what happened and what was lost by it, for people."""
        kept = f", kept as {self.kept_as}" if self.kept_as else ""
        if self.snapshot_at is None:
            after = "there was no snapshot: all attempts, holds, history and unsent reports of before are lost"
        else:
            after = (
                f"the agent went on from the snapshot of {self.snapshot_at:%Y-%m-%d %H:%M:%S} UTC: attempts, holds, "
                "history and unsent reports after it are lost"
            )
        return f"{self.reason}{kept}; {after}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is.

    Attributes:
        targets: Targets that were tried at least once.
        unreachable_targets: Those that the last try did not reach.
        open_incidents: Drift that is there now.
        unfinished_attempts: Remediations under way, or cut off by a crash.
        attempts: All attempts kept.
        outcomes: All outcomes kept.
        alerts: Alert state to number.
        outbox: Outbox class to what waits and what became of the rest; classes that never had an entry are left out.
        dropped: What pruning has removed over the store's whole life, by kind.
        size_bytes: Of the state file; 0 in memory.

    """

    targets: int
    unreachable_targets: int
    open_incidents: int
    unfinished_attempts: int
    attempts: int
    outcomes: int
    alerts: Mapping[AlertState, int] = field(default_factory=dict)
    outbox: Mapping[OutboxClass, OutboxCounts] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the store keeps.

    Attributes:
        retention_days: How long finished things are kept.
        outcomes_max: Most outcomes.
        attempts_max: Most attempts.
        alerts_max: Most alerts, undelivered ones included.
        size_max_bytes: Most bytes in use in the state file, the outbox left aside; beyond it the oldest outcomes go.

    """

    retention_days: int = 30
    outcomes_max: int = 100_000
    attempts_max: int = 100_000
    alerts_max: int = 10_000
    size_max_bytes: int = 268_435_456


DEFAULT_LIMITS = Limits()
