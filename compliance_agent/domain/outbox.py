"""The outbox: what waits to be told to the control plane, and what goes first when there is no room.

Pure decisions. The rows live in the store (``adapters/store/outbox.py``), the sender in ``app/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.uplink import EntryFate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_DAY_S: Final = 86_400


class OutboxClass(StrEnum):
    """What an entry is. The rank says what outranks what: the lowest is dropped first and sent last."""

    HEARTBEAT = "heartbeat"
    TELEMETRY = "telemetry"
    EVIDENCE = "evidence"

    @property
    def rank(self) -> int:
        """Return the rank: evidence 2, telemetry 1, heartbeat 0."""
        return _RANKS[self]


_RANKS: Final = {OutboxClass.HEARTBEAT: 0, OutboxClass.TELEMETRY: 1, OutboxClass.EVIDENCE: 2}


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One document that the control plane is to be told, at least once; it drops what it has by ``entry_id``.

    Attributes:
        entry_id: UUIDv7 text, the idempotency key: the same for every try, for ever.
        kind: What it is.
        created_at: When it came about, UTC.
        body: One JSON object as UTF-8; stored and sent as it stands, byte for byte. Whoever makes it has
            scrubbed it.

    """

    entry_id: str
    kind: OutboxClass
    created_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much may wait.

    Attributes:
        rows_max: Most entries, dead ones included.
        bytes_max: Most bytes of all bodies together, dead ones included.
        heartbeat_age_max_s: Age after which a heartbeat tells nobody anything, in seconds.
        telemetry_age_max_s: The same for telemetry.
        evidence_age_max_s: The same for evidence; six years, as long as 45 CFR 164.316(b)(2)(i) asks it to be kept.

    """

    rows_max: int = 20_000
    bytes_max: int = 67_108_864
    heartbeat_age_max_s: int = 3_600
    telemetry_age_max_s: int = 30 * _DAY_S
    evidence_age_max_s: int = 2_192 * _DAY_S

    def age_max_s(self, kind: OutboxClass) -> int:
        """Return the age in seconds after which an entry of this kind is dropped."""
        return {
            OutboxClass.HEARTBEAT: self.heartbeat_age_max_s,
            OutboxClass.TELEMETRY: self.telemetry_age_max_s,
            OutboxClass.EVIDENCE: self.evidence_age_max_s,
        }[kind]


DEFAULT_OUTBOX_LIMITS: Final = OutboxLimits()


class OutboxFate(StrEnum):
    """What has become of entries, as it is counted over the store's whole life.

    Every entry that was ``enqueued`` is in the outbox still (waiting or dead), or in exactly one of
    ``delivered``, ``dropped_full``, ``dropped_age``, ``dropped_size`` and ``discarded``. ``duplicate`` and
    ``late`` are parts of ``delivered``; ``dead`` and ``revived`` count events.
    """

    ENQUEUED = "enqueued"
    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    """Delivered, and the receiver had it already: an answer was lost on the way."""
    LATE = "late"
    """Delivered later than the settings call timely."""
    DROPPED_FULL = "dropped_full"
    DROPPED_AGE = "dropped_age"
    DROPPED_SIZE = "dropped_size"
    """Larger than the whole outbox may be."""
    DEAD = "dead"
    """Given up: the receiver can never take it."""
    REVIVED = "revived"
    """Dead, and put back by a person."""
    DISCARDED = "discarded"
    """Dead, and removed by a person."""


def fates_of_delivery(
    fate: EntryFate, created_at: datetime, *, now: datetime, late_after_s: float
) -> tuple[OutboxFate, ...]:
    """Return what is counted beside ``delivered``: that it was late, that the receiver had it already."""
    late = now - created_at > timedelta(seconds=late_after_s)
    return (*((OutboxFate.DUPLICATE,) if fate is EntryFate.HAD else ()), *((OutboxFate.LATE,) if late else ()))


LEFT: Final = (
    OutboxFate.DELIVERED,
    OutboxFate.DROPPED_FULL,
    OutboxFate.DROPPED_AGE,
    OutboxFate.DROPPED_SIZE,
    OutboxFate.DISCARDED,
)
"""The fates that take an entry out of the outbox; each entry has at most one of them."""


@dataclass(frozen=True, slots=True)
class Held:
    """What eviction needs to know of one entry."""

    sequence: int
    kind: OutboxClass
    is_dead: bool
    size_bytes: int

    @property
    def eviction_order(self) -> tuple[int, bool, int]:
        """Return the key by which entries are dropped: lowest class, dead before waiting, oldest first."""
        return (self.kind.rank, not self.is_dead, self.sequence)


def to_evict(candidates: Iterable[Held], *, rows: int, size_bytes: int, limits: OutboxLimits) -> list[Held]:
    """Return what is to be dropped so that the rest keeps the limits.

    Args:
        candidates: All entries in ``eviction_order``; read only as far as needed.
        rows: How many there are.
        size_bytes: The sum of their bodies.
        limits: The limits.

    """
    gone: list[Held] = []
    for held in candidates:
        if rows <= limits.rows_max and size_bytes <= limits.bytes_max:
            break
        gone.append(held)
        rows -= 1
        size_bytes -= held.size_bytes
    return gone
