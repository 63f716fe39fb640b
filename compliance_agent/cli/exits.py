"""Exit codes. Of several that apply, the first of ``PRECEDENCE`` wins."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from compliance_agent.engine.cycle import Turn


class Exit(IntEnum):
    """What the process tells the shell."""

    CLEAN = 0
    """All that was assessed is as it should be."""
    ERROR = 1
    """A check, a remediation or the program itself failed."""
    DRIFT = 2
    """Something is, or would be changed, other than it should be."""
    HELD = 3
    """Drift is left alone because healing is suppressed or waits for approval."""
    UNREACHABLE = 4
    """At least one target could not be spoken to."""
    USAGE = 64
    """The command line was wrong (sysexits.h: EX_USAGE)."""


PRECEDENCE: Final = (Exit.USAGE, Exit.ERROR, Exit.UNREACHABLE, Exit.DRIFT, Exit.HELD, Exit.CLEAN)

_OF_OUTCOME: Final = {
    OutcomeKind.REMEDIATED: Exit.CLEAN,
    OutcomeKind.WAIVED: Exit.CLEAN,
    OutcomeKind.FAILED: Exit.ERROR,
    OutcomeKind.VERIFY_FAILED: Exit.ERROR,
    OutcomeKind.INTERRUPTED: Exit.ERROR,
    OutcomeKind.UNREACHABLE: Exit.UNREACHABLE,
    OutcomeKind.SUPPRESSED: Exit.HELD,
    OutcomeKind.AWAITING_APPROVAL: Exit.HELD,
    OutcomeKind.WOULD_CHANGE: Exit.DRIFT,
    OutcomeKind.DEFERRED: Exit.DRIFT,
    OutcomeKind.ALERTED: Exit.DRIFT,
    OutcomeKind.ESCALATED: Exit.DRIFT,
    OutcomeKind.UNMATCHED: Exit.DRIFT,
    OutcomeKind.NOT_APPLICABLE: Exit.DRIFT,
}


def worst(exits: Iterable[Exit]) -> Exit:
    """Return the exit code that wins; ``CLEAN`` when there is none."""
    found = set(exits)
    return next((code for code in PRECEDENCE if code in found), Exit.CLEAN)


def exit_of(turns: Iterable[Turn]) -> Exit:
    """Return the exit code of some turns.

    ``not_assessed`` (a missing privilege) changes nothing: it is neither drift nor an error.
    """
    return worst(code for turn in turns for code in _exits(turn))


def _exits(turn: Turn) -> Iterable[Exit]:
    if turn.scan.unreached is not None:
        yield Exit.UNREACHABLE
    if turn.trouble:
        yield Exit.ERROR
    settled = {outcome.check_id: outcome.kind for outcome in turn.outcomes}
    for seen in turn.scan.observations:
        if seen.verdict is Verdict.ERROR:
            yield Exit.ERROR
        elif seen.verdict is Verdict.FAIL:
            yield _OF_OUTCOME[settled[seen.check_id]] if seen.check_id in settled else Exit.DRIFT
