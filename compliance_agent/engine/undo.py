"""Undo: run the rollback of one past attempt, then look at the machine again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compliance_agent.domain.parameters import ParameterError
from compliance_agent.engine.dispatch import execute
from compliance_agent.engine.verify import verify
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.outcome import Attempt
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.dispatch import Execution
    from compliance_agent.engine.verify import Verification


@dataclass(frozen=True, slots=True)
class Undone:
    """How an undo went.

    Attributes:
        execution: The rollback's steps.
        verification: A fresh detect afterwards, for the person to see; it may well fail again.
        digest_changed: The runbook is not the one that ran then.

    """

    execution: Execution
    verification: Verification
    digest_changed: bool


def undo(engine: Engine, target: Target, attempt: Attempt, *, now: datetime) -> Undone:
    """Run the rollback of ``attempt`` on its target.

    Raises:
        ComplianceAgentError: The runbook is gone or has no rollback.
        TransportError: The target cannot be reached, or the conversation broke.

    """
    compiled = engine.catalogue.get(attempt.runbook_id)
    if compiled is None:
        what = attempt.runbook_id or attempt.action
        raise ComplianceAgentError(f"{what} cannot be undone: there is no such runbook on this appliance")
    try:
        steps = compiled.rollback_steps(attempt.parameters, attempt_id=attempt.attempt_id)
    except ParameterError as error:
        raise ComplianceAgentError(
            f"{compiled.id} has changed since then and cannot undo it: {error}", hint="restore the machine by hand"
        ) from error
    if not steps:
        raise ComplianceAgentError(f"{compiled.id} has no rollback", hint="restore the machine by hand")
    with engine.open(target) as session:
        execution = execute(engine, session, steps)
    check = engine.catalogue.get(attempt.check_id) or compiled
    verification = verify(engine, target, check, compiled, now=now)
    return Undone(execution, verification, digest_changed=compiled.digest != attempt.runbook_digest)
