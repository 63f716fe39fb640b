"""What is written together: an outcome, and all that must be true at the same moment as it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.domain.evidence.drafts import EvidenceDraft
    from compliance_agent.domain.gate.ledger import GateEnd
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outbox import OutboxEntry
    from compliance_agent.domain.outcome import Alert, Outcome


@dataclass(frozen=True, slots=True)
class Attachments:
    """What enters the store in the same transaction as the fact that it is about.

    Every writing method of the store that has a fact worth reporting takes one of these. A further kind
    of record that must commit together with the fact becomes a further field here, and one more line in
    the stores' ``_attach``.

    Attributes:
        outbox: What the control plane is to be told.
        evidence: What is signed into the chain of evidence, in this order.

    """

    outbox: Sequence[OutboxEntry] = ()
    evidence: Sequence[EvidenceDraft] = ()

    def __add__(self, other: Attachments) -> Attachments:
        """Return both together."""
        return Attachments((*self.outbox, *other.outbox), (*self.evidence, *other.evidence))


NOTHING: Final = Attachments()


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """All that the end of one incident's turn brings; the store writes it in one transaction.

    Attributes:
        outcome: How it ended; where ``outcome.attempt_id`` is set, it ends that attempt, too.
        observations: What a fresh detect found.
        alerts: What a person must be told.
        attachments: What commits with it. Left out where the outcome only repeats the last one of its
            fingerprint: a held incident is told once, not at every scan.
        gate: What the gate learns from it; ``None`` for an attempt that a crash cut off.

    """

    outcome: Outcome
    observations: Sequence[Observation] = ()
    alerts: Sequence[Alert] = ()
    attachments: Attachments = NOTHING
    gate: GateEnd | None = None
