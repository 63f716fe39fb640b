"""Examine one runbook on one machine, or rehearse it: mend, verify, take it back, and prove that all is as it was.

A rehearsal goes through the code of a turn. It is a person's order, so modes, windows, cooldowns and limits do not
hold it and it uses none of them up; a pause and the runbook's own guards do. See ``docs/adr/0022-rehearsals.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from compliance_agent.domain.evidence.drafts import ActionKind, Place, action_draft
from compliance_agent.domain.file_states import (
    OUTPUT_MAX_BYTES,
    STEP_ID,
    differing,
    files_step,
    read_file_states,
)
from compliance_agent.domain.gate import Hold
from compliance_agent.domain.gate.people import judge_kill_switch
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import Attempt, OutcomeKind
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.engine.dispatch import HANDLERS, Remediation, Request
from compliance_agent.engine.gate import pause_by_file
from compliance_agent.engine.heal import carry_out
from compliance_agent.engine.plan import PlanItem, Ready, raise_incident
from compliance_agent.engine.recover import interrupted_outcome
from compliance_agent.engine.scan import run_bundle, scan_target
from compliance_agent.engine.undo import undo
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from compliance_agent.domain.catalogue import CompiledRunbook, JudgedClauses
    from compliance_agent.domain.file_states import FileStates
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Outcome, StepRecord
    from compliance_agent.domain.target import Target
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.scan import TargetScan
    from compliance_agent.engine.undo import Undone

PREFIX = "run_runbook"
"""The handler that prepares the remedy, as it does for a rule."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What one check found on one machine, and why.

    Attributes:
        runbook: Which.
        parameters: The values that it ran with.
        scan: Its scan alone; without an observation where the machine was not reached.
        clauses: Each clause judged; ``None`` where there are not all facts.
        work: What would mend it; ``None`` where nothing is to be mended or nothing may be done.
        why_not: Why not, where the check fails and nothing may be done.

    """

    runbook: CompiledRunbook
    parameters: Mapping[str, JsonValue]
    scan: TargetScan
    clauses: JudgedClauses | None = None
    work: Remediation | None = None
    why_not: str = ""

    @property
    def observation(self) -> Observation | None:
        """Return what was observed, or ``None``."""
        return self.scan.observations[0] if self.scan.observations else None


def examine(engine: Engine, target: Target, runbook: CompiledRunbook, *, now: datetime) -> Examination:
    """Run one check by itself and judge every clause. Changes nothing, stores nothing."""
    parameters = engine.parameters_for(target, runbook)
    scan = scan_target(engine, target, (runbook,), now=now)
    found = Examination(runbook, parameters, scan)
    seen, host = found.observation, scan.host
    if seen is None or host is None or seen.verdict in {Verdict.ERROR, Verdict.NOT_ASSESSED}:
        return found
    found = replace(found, clauses=runbook.judged_clauses(seen.facts, parameters, host))
    if seen.verdict is not Verdict.FAIL:
        return found
    handler = HANDLERS[PREFIX]
    refused = handler.refusal(runbook.id, engine.catalogue)
    if refused:
        return replace(found, why_not=refused)
    work = handler.prepare(Request(engine, target, seen, host, runbook.id, {seen.check_id: seen}))
    if isinstance(work, Remediation):
        return replace(found, work=work)
    return replace(found, why_not=getattr(work, "reason", ""))


class Ending(StrEnum):
    """How a rehearsal ended. Only ``restored`` proves a runbook."""

    NOT_NEEDED = "not_needed"
    """The check does not fail here: there is nothing to mend."""
    NOT_POSSIBLE = "not_possible"
    """The check fails, and the runbook may not mend it here, or could not take it back."""
    HELD = "held"
    """A person has stopped all healing."""
    FAILED = "failed"
    """The remedy broke, or a fresh check did not pass; nothing was proved of the rollback."""
    NOT_RESTORED = "not_restored"
    """It was mended, and the rollback did not bring back exactly what was."""
    RESTORED = "restored"
    """Mended, verified, taken back; files and facts are what they were."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal showed.

    Attributes:
        examination: The check before anything was changed.
        ending: How it ended.
        reason: One sentence.
        attempt: What was begun, where something was.
        outcome: How the attempt itself ended, where there was one.
        undone: How taking it back went, where it was tried.
        changed: Files that differed between the drift and the mended machine.
        differences: What is not as it was: paths, and clauses of the check.

    """

    examination: Examination
    ending: Ending
    reason: str
    attempt: Attempt | None = None
    outcome: Outcome | None = None
    undone: Undone | None = None
    changed: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Who asked for a rehearsal, and why."""

    actor: str
    reason: str


@dataclass(slots=True)
class _Stage:
    """One rehearsal under way."""

    engine: Engine
    target: Target
    order: Order
    found: Examination
    work: Remediation
    now: datetime
    attempt: Attempt
    before: FileStates = field(default_factory=dict)


def rehearse(engine: Engine, target: Target, runbook: CompiledRunbook, *, order: Order, instant: Instant) -> Rehearsal:
    """Rehearse one runbook on one machine; the intent and how it ended are stored, and told in evidence.

    The store's own observations, incidents and flaps stay as they are: the next scan sees what is there. What is left
    for the caller to store is the undo itself (``Rehearsal.undone``).

    Raises:
        StoreError: The intent could not be stored; nothing was done then.

    """
    found = examine(engine, target, runbook, now=instant.wall)
    seen = found.observation
    if seen is None or found.work is None:
        return unrehearsed(found)
    if runbook.runbook.rollback is None:
        return Rehearsal(found, Ending.NOT_POSSIBLE, f"{runbook.id} has no rollback, so it is not tried out")
    hold = judge_kill_switch(pause_by_file(engine, instant), engine.store.pause(), instant)
    if isinstance(hold, Hold):
        return Rehearsal(found, Ending.HELD, f"{hold.reason}. To clear: {hold.clear_with}")
    return _rehearse(engine, target, found, found.work, seen, order=order, now=instant.wall)


def unrehearsed(found: Examination) -> Rehearsal:
    """Return the rehearsal of what nothing is done about, and why."""
    seen, unreached = found.observation, found.scan.unreached
    if seen is None:
        return Rehearsal(found, Ending.FAILED, unreached.message if unreached else "the machine said nothing")
    if seen.verdict is not Verdict.FAIL:
        return Rehearsal(found, Ending.NOT_NEEDED, f"the check is {seen.verdict.value}: {seen.reason}")
    return Rehearsal(found, Ending.NOT_POSSIBLE, found.why_not)


def _rehearse(
    engine: Engine,
    target: Target,
    found: Examination,
    work: Remediation,
    seen: Observation,
    *,
    order: Order,
    now: datetime,
) -> Rehearsal:
    assert found.scan.host is not None  # noqa: S101 - a verdict of fail has facts of the host
    incident = raise_incident(engine, target, found.scan.host, seen, now=now)
    item = PlanItem(incident, seen, None, Ready(work))
    attempt = Attempt(
        attempt_id=engine.ids.new_id(),
        fingerprint=incident.fingerprint,
        incident_id=incident.incident_id,
        site_id=target.site_id,
        target_id=target.target_id,
        check_id=incident.check_id,
        rule_id="",
        action=f"{PREFIX}:{found.runbook.id}",
        runbook_id=work.runbook_id,
        runbook_digest=work.digest,
        begun_at=now,
        parameters=work.parameters,
    )
    stage = _Stage(engine, target, order, found, work, now, attempt)
    try:
        stage.before = _files(engine, target)
    except ComplianceAgentError as error:
        return Rehearsal(found, Ending.FAILED, f"nothing was changed: {error.message}")
    engine.store.begin(attempt)  # without a charge: it counts for no limit, no cooldown, no flap
    engine.events.emit("attempt.begun", target=target.target_id, check=incident.check_id, attempt=attempt.attempt_id)
    try:
        outcome, after = carry_out(engine, target, item, work, attempt, now=now)
    except Exception as error:
        broken = replace(interrupted_outcome(attempt, now=now), reason=f"{type(error).__name__}: {error}")
        engine.store.finish(TurnEnd(broken, attachments=_entry(stage, broken, ())))
        raise
    engine.store.finish(TurnEnd(outcome, attachments=_entry(stage, outcome, after)))
    if outcome.kind is not OutcomeKind.REMEDIATED:
        return Rehearsal(found, Ending.FAILED, outcome.reason, attempt, outcome, differences=_left_behind(stage))
    return _take_back(stage, outcome)


def _take_back(stage: _Stage, outcome: Outcome) -> Rehearsal:
    engine, found = stage.engine, stage.found
    troubles: list[str] = []
    try:
        changed = differing(stage.before, _files(engine, stage.target))
    except ComplianceAgentError as error:
        changed = ()
        troubles.append(error.message)
    try:
        undone = undo(engine, stage.target, stage.attempt, now=stage.now)
    except ComplianceAgentError as error:
        reason = f"the rollback did not get through: {error.message}"
        return Rehearsal(found, Ending.NOT_RESTORED, reason, stage.attempt, outcome, changed=changed)
    if undone.execution.trouble:
        troubles.append(f"the rollback did not get through: {undone.execution.trouble}")
    differences = (*_left_behind(stage), *_other_clauses(stage, undone))
    if differences:
        troubles.append(f"not as it was: {', '.join(differences)}")
    ending = Ending.NOT_RESTORED if troubles else Ending.RESTORED
    reason = "; ".join(troubles) or "mended, verified and taken back; files and facts are what they were"
    return Rehearsal(found, ending, reason, stage.attempt, outcome, undone, changed, differences)


def _left_behind(stage: _Stage) -> tuple[str, ...]:
    """Return the files that are not what they were before; that they could not be read is a difference, too."""
    try:
        return differing(stage.before, _files(stage.engine, stage.target))
    except ComplianceAgentError as error:
        return (error.message,)


def _other_clauses(stage: _Stage, undone: Undone) -> tuple[str, ...]:
    """Return the clauses of the check that see something else than before."""
    seen, host = undone.verification.observations, stage.found.scan.host
    if not seen or host is None or stage.found.clauses is None:
        return (undone.verification.trouble or "the machine could not be asked afterwards",)
    if seen[0].verdict is not Verdict.FAIL:
        return (f"{seen[0].check_id} is {seen[0].verdict.value}: {seen[0].reason}",)
    now = stage.found.runbook.judged_clauses(seen[0].facts, stage.found.parameters, host).passes
    return tuple(
        f"{after.path} was {before.actual}, is {after.actual}"
        for before, after in zip(stage.found.clauses.passes, now, strict=True)
        if before.actual != after.actual
    )


def _files(engine: Engine, target: Target) -> FileStates:
    """Return what the files of the machine are like now.

    Raises:
        ComplianceAgentError: It was not reached, the conversation broke, or it did not say.

    """
    roomy = replace(engine, limits=replace(engine.limits, output_max_bytes=OUTPUT_MAX_BYTES))
    with engine.open(target) as session:
        results, _ = run_bundle(
            roomy, session, [files_step()], timeout_s=engine.limits.scan_timeout_s, stop_on_failure=True
        )
    result = results[STEP_ID]
    if not result.succeeded:
        raise ComplianceAgentError(f"listing the machine's files {result.trouble()}")
    return read_file_states(result.stdout)


def _entry(stage: _Stage, outcome: Outcome, after: tuple[Observation, ...]) -> Attachments:
    """Return the entry of evidence that a person had a runbook tried: never an incident that the agent mended."""
    seen = stage.found.observation
    details: dict[str, JsonValue] = {
        "part": "mended",
        "runbook_digest": stage.attempt.runbook_digest,
        "before": seen.reason if seen else "",
        "outcome": outcome.kind.value,
        "outcome_reason": outcome.reason,
        "after": _observed(after),
        "steps": _steps(outcome.steps),
    }
    return _action(stage.attempt, stage.order, outcome.at, details)


def restoration_entry(rehearsal: Rehearsal, attempt: Attempt, order: Order, *, at: datetime) -> Attachments:
    """Return the entry of evidence that tells how a rehearsed attempt was taken back."""
    undone = rehearsal.undone
    details: dict[str, JsonValue] = {
        "part": "taken back",
        "restored": rehearsal.ending is Ending.RESTORED,
        "reason": rehearsal.reason,
        "differences": list(rehearsal.differences),
        "after": _observed(undone.verification.observations) if undone else [],
        "steps": _steps(undone.execution.records) if undone else [],
    }
    return _action(attempt, order, at, details)


def _action(attempt: Attempt, order: Order, at: datetime, details: Mapping[str, JsonValue]) -> Attachments:
    draft = action_draft(
        ActionKind.REHEARSED,
        Place(attempt.site_id, attempt.target_id, attempt.check_id),
        actor=order.actor,
        reason=order.reason,
        at=at,
        details={"attempt_id": attempt.attempt_id, "runbook_id": attempt.runbook_id, **details},
    )
    return Attachments(evidence=(draft,))


def _observed(seen: Sequence[Observation]) -> list[JsonValue]:
    return [{"check_id": one.check_id, "verdict": one.verdict.value, "reason": one.reason} for one in seen]


def _steps(steps: Sequence[StepRecord]) -> list[JsonValue]:
    return [
        {"step_id": step.step_id, "exit_code": step.exit_code, "output": step.output, "error": step.error}
        for step in steps
    ]
