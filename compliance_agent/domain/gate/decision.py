"""The gate's answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from compliance_agent.domain.outcome import OutcomeKind

if TYPE_CHECKING:
    from datetime import datetime


class HoldKind(StrEnum):
    """Which part of the gate holds, in the order in which they are asked."""

    KILL_SWITCH = "kill_switch"
    WAIVER = "waiver"
    UNDONE = "undone"
    FLAP = "flap"
    BREAKER = "breaker"
    ATTEMPTS = "attempts"
    COOLDOWN = "cooldown"
    WINDOW = "window"
    BLAST_LIMIT = "blast_limit"
    APPROVAL = "approval"

    @property
    def outcome(self) -> OutcomeKind:
        """Return the outcome that a hold of this kind leads to."""
        return {
            HoldKind.WAIVER: OutcomeKind.WAIVED,
            HoldKind.FLAP: OutcomeKind.SUPPRESSED,
            HoldKind.BREAKER: OutcomeKind.SUPPRESSED,
            HoldKind.ATTEMPTS: OutcomeKind.ESCALATED,
            HoldKind.APPROVAL: OutcomeKind.AWAITING_APPROVAL,
        }.get(self, OutcomeKind.DEFERRED)


@dataclass(frozen=True, slots=True)
class Allow:
    """The remediation may run.

    Attributes:
        note: What makes this try a special one (the single try after a hold), or empty.

    """

    note: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """The remediation must wait.

    Attributes:
        kind: Which part of the gate.
        reason: One sentence for people. It says the same at each scan while the hold lasts.
        until: When the hold ends by itself, UTC; ``None`` when only a person ends it.
        clear_with: What a person types to end it, or empty.

    """

    kind: HoldKind
    reason: str
    until: datetime | None = None
    clear_with: str = ""


Decision: TypeAlias = Allow | Hold
