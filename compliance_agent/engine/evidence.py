"""The reporter that turns what happened into drafts of evidence. It signs and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.evidence.drafts import (
    ActionKind,
    Place,
    Story,
    action_draft,
    incident_draft,
    scan_draft,
    unreachable_draft,
)
from compliance_agent.domain.turn_end import NOTHING, Attachments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.reporter import Conclusion, Reversal


class EvidenceReporter:
    """``engine.reporter.Reporter`` for the chain of evidence."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Take titles, citations and digests from this catalogue."""
        self._catalogue = catalogue

    def of_conclusion(self, conclusion: Conclusion) -> Attachments:
        """Return the entry of one incident's turn."""
        about = conclusion.incident or conclusion.attempt
        if about is None:
            return NOTHING
        story = Story(
            outcome=conclusion.outcome,
            incident=conclusion.incident,
            rule=conclusion.rule,
            attempt=conclusion.attempt,
            before=conclusion.before,
            after=conclusion.after,
            hold=conclusion.hold,
            answers=conclusion.answers,
            check=self._catalogue.get(conclusion.outcome.check_id),
        )
        return Attachments(evidence=(incident_draft(story, site_id=about.site_id),))

    def of_scan(self, target: Target, observations: Sequence[Observation], *, now: datetime) -> Attachments:
        """Return the entry of a scan; whether it is written is for the store's tally to say."""
        found = {one.check_id: self._catalogue.get(one.check_id) for one in observations}
        checks = {name: compiled for name, compiled in found.items() if compiled is not None}
        return Attachments(evidence=(scan_draft(target, observations, checks, at=now),))

    def of_unreachable(self, target: Target, *, fault: str, message: str, now: datetime) -> Attachments:
        """Return the entry of a scan that did not reach its target."""
        return Attachments(evidence=(unreachable_draft(target, fault=fault, message=message, at=now),))

    def of_undo(self, reversal: Reversal) -> Attachments:
        """Return the entry that says who undid what, and what a fresh check found."""
        attempt = reversal.attempt
        after: list[JsonValue] = [
            {"check_id": seen.check_id, "verdict": seen.verdict.value, "reason": seen.reason} for seen in reversal.after
        ]
        steps: list[JsonValue] = [
            {"step_id": step.step_id, "exit_code": step.exit_code, "output": step.output, "error": step.error}
            for step in reversal.steps
        ]
        details: dict[str, JsonValue] = {
            "attempt_id": attempt.attempt_id,
            "runbook_id": attempt.runbook_id,
            "succeeded": reversal.succeeded,
            "steps": steps,
            "after": after,
        }
        draft = action_draft(
            ActionKind.UNDONE,
            Place(attempt.site_id, attempt.target_id, attempt.check_id),
            actor=reversal.actor,
            reason=reversal.reason,
            at=reversal.at,
            details=details,
        )
        return Attachments(evidence=(draft,))
