"""What commits together with a fact: what reporters are told, and the port that they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from compliance_agent.domain.turn_end import NOTHING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.domain.gate import Decision, HoldKind
    from compliance_agent.domain.incident import Incident
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Attempt, Outcome, StepRecord
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.target import Target
    from compliance_agent.domain.turn_end import Attachments


@dataclass(frozen=True, slots=True)
class Conclusion:
    """All that is known when an incident's turn ends: what reports and evidence are made of.

    Attributes:
        outcome: How it ended.
        incident: What was answered; ``None`` for an attempt that a crash cut off.
        rule: The rule that matched, where one did.
        attempt: The attempt, where there was one.
        before: What the scan observed.
        after: What a fresh detect observed, where there was one.
        hold: The gate that held, or empty.
        answers: Of each part of the gate, where it was asked.

    """

    outcome: Outcome
    incident: Incident | None = None
    rule: Rule | None = None
    attempt: Attempt | None = None
    before: Observation | None = None
    after: Sequence[Observation] = ()
    hold: str = ""
    answers: Sequence[tuple[HoldKind, Decision]] = ()


@dataclass(frozen=True, slots=True)
class Reversal:
    """All that is known of a person's undo of an attempt.

    Attributes:
        attempt: What was undone.
        succeeded: Whether the rollback ran to its end.
        actor: Who asked for it.
        reason: Why, in that person's words.
        at: When, UTC.
        steps: What ran.
        after: What a fresh detect observed, where there was one.

    """

    attempt: Attempt
    succeeded: bool
    actor: str
    reason: str
    at: datetime
    steps: Sequence[StepRecord] = ()
    after: Sequence[Observation] = ()


class Reporter(Protocol):
    """Makes what commits together with a fact: what the control plane is told. Writes nothing. Thread-safe."""

    def of_conclusion(self, conclusion: Conclusion) -> Attachments:
        """Return what goes along with the end of one incident's turn."""
        ...

    def of_scan(self, target: Target, observations: Sequence[Observation], *, now: datetime) -> Attachments:
        """Return what goes along with a scan that reached its target."""
        ...

    def of_unreachable(self, target: Target, *, fault: str, message: str, now: datetime) -> Attachments:
        """Return what goes along with a scan that did not reach its target."""
        ...

    def of_undo(self, reversal: Reversal) -> Attachments:
        """Return what goes along with a try to undo an attempt."""
        ...


class SilentReporter:
    """Tells nobody: without a control plane, and in a dry run."""

    def of_conclusion(self, conclusion: Conclusion) -> Attachments:
        """Return nothing."""
        del conclusion
        return NOTHING

    def of_scan(self, target: Target, observations: Sequence[Observation], *, now: datetime) -> Attachments:
        """Return nothing."""
        del target, observations, now
        return NOTHING

    def of_unreachable(self, target: Target, *, fault: str, message: str, now: datetime) -> Attachments:
        """Return nothing."""
        del target, fault, message, now
        return NOTHING

    def of_undo(self, reversal: Reversal) -> Attachments:
        """Return nothing."""
        del reversal
        return NOTHING


class Reporters:
    """Several reporters as one."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        """Ask these, in this order."""
        self._reporters = tuple(reporters)

    def of_conclusion(self, conclusion: Conclusion) -> Attachments:
        """Return what all of them say."""
        return sum((one.of_conclusion(conclusion) for one in self._reporters), NOTHING)

    def of_scan(self, target: Target, observations: Sequence[Observation], *, now: datetime) -> Attachments:
        """Return what all of them say."""
        return sum((one.of_scan(target, observations, now=now) for one in self._reporters), NOTHING)

    def of_unreachable(self, target: Target, *, fault: str, message: str, now: datetime) -> Attachments:
        """Return what all of them say."""
        answers = (one.of_unreachable(target, fault=fault, message=message, now=now) for one in self._reporters)
        return sum(answers, NOTHING)

    def of_undo(self, reversal: Reversal) -> Attachments:
        """Return what all of them say."""
        return sum((one.of_undo(reversal) for one in self._reporters), NOTHING)


SILENT: Final = SilentReporter()
