"""What the gate has the store write: together with an attempt's begin, with its end, and for a person's action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from compliance_agent.domain.gate.flap import FlapUpdate
    from compliance_agent.domain.gate.people import Approval, ApprovalRequest, Choice, NotedPause, Pause, Waiver
    from compliance_agent.domain.gate.policy import BlastLimits
    from compliance_agent.domain.timeline import Instant


@dataclass(frozen=True, slots=True)
class Charge:
    """What an attempt uses up as it begins, in the transaction that writes its intent.

    Attributes:
        now: The turn's instant.
        limits: Judged once more there, since other targets' turns run beside this one.
        flap: That a try is made.
        approval: Incident whose approval this uses up, or empty; a runbook that needs one is not tried alone.
        plan_digest: Of exactly what is done: what must have been approved.
        choice: Incident whose choice of a runbook this uses up, or empty.

    """

    now: Instant
    limits: BlastLimits
    flap: FlapUpdate | None = None
    approval: str = ""
    plan_digest: str = ""
    choice: str = ""


@dataclass(frozen=True, slots=True)
class GateEnd:
    """What the gate learns from the end of an incident's turn.

    Attributes:
        now: When it ended.
        flap: What it means for the flap.
        request: A plan that waits for a person's word, from now on.

    """

    now: Instant
    flap: FlapUpdate | None = None
    request: ApprovalRequest | None = None


@dataclass(frozen=True, slots=True)
class SetPause:
    """Stop all healing, or (``None``) let it go on."""

    pause: Pause | None


@dataclass(frozen=True, slots=True)
class NotePauseFile:
    """Keep what was seen of the pause file: that it lies there, or that its pause is over; ``None``: it is gone."""

    noted: NotedPause | None


@dataclass(frozen=True, slots=True)
class SetWaiver:
    """Accept a risk."""

    waiver: Waiver


@dataclass(frozen=True, slots=True)
class EndWaiver:
    """Withdraw a waiver."""

    target_id: str
    check_id: str


@dataclass(frozen=True, slots=True)
class SetApproval:
    """Approve a plan."""

    approval: Approval


@dataclass(frozen=True, slots=True)
class EndApproval:
    """Withdraw an approval; refused where it was used up meanwhile."""

    incident_id: str


@dataclass(frozen=True, slots=True)
class SetChoice:
    """Choose a runbook for an incident."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class EndChoice:
    """Take a choice back; refused where it was used up meanwhile."""

    incident_id: str


@dataclass(frozen=True, slots=True)
class Forgive:
    """Let the tries before ``at_s`` (``elapsed_s``) count no more: of a target, or of ``TARGET/CHECK``."""

    what: str
    at_s: float


@dataclass(frozen=True, slots=True)
class ChangeFlap:
    """Apply events to a flap."""

    update: FlapUpdate


Change: TypeAlias = (
    SetPause
    | NotePauseFile
    | SetWaiver
    | EndWaiver
    | SetApproval
    | EndApproval
    | SetChoice
    | EndChoice
    | Forgive
    | ChangeFlap
)
