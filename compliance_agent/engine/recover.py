"""What a crash left: unfinished attempts end as ``interrupted``, are detected afresh, never blindly repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.domain.outcome import Outcome, OutcomeKind
from compliance_agent.domain.turn_end import TurnEnd
from compliance_agent.engine.reporter import SILENT, Conclusion

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.outcome import Attempt
    from compliance_agent.engine.ports import Store
    from compliance_agent.engine.reporter import Reporter

INTERRUPTED_REASON: Final = "the agent stopped before this attempt ended; it is not known what it changed"


def interrupt_unfinished(
    store: Store, *, now: datetime, target_id: str | None = None, reporter: Reporter = SILENT
) -> tuple[Attempt, ...]:
    """End every unfinished attempt (of one target) as ``interrupted``, with an outcome of that kind, and return them.

    Called at start for all targets, and at the start of a turn for its target: by then nothing of
    it can still be under way, since one process runs turns, and one turn a target at a time. A crash
    midway leaves the rest for the next start.
    """
    attempts = tuple(store.unfinished(target_id))
    for attempt in attempts:
        outcome = interrupted_outcome(attempt, now=now)
        attachments = reporter.of_conclusion(Conclusion(outcome, attempt=attempt))
        store.finish(TurnEnd(outcome, attachments=attachments))
    return attempts


def interrupted_outcome(attempt: Attempt, *, now: datetime) -> Outcome:
    """Return how an attempt ended that a crash cut off."""
    return Outcome(
        kind=OutcomeKind.INTERRUPTED,
        reason=INTERRUPTED_REASON,
        incident_id=attempt.incident_id,
        fingerprint=attempt.fingerprint,
        target_id=attempt.target_id,
        check_id=attempt.check_id,
        at=now,
        rule_id=attempt.rule_id,
        action=attempt.action,
        attempt_id=attempt.attempt_id,
    )
