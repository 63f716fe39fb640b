"""Heal: intent, deed, fresh detect, outcome. One incident at a time, one writer per target."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from compliance_agent.domain.gate import Hold, HoldKind
from compliance_agent.domain.outcome import Alert, Attempt, Outcome, OutcomeKind
from compliance_agent.domain.turn_end import TurnEnd
from compliance_agent.engine.dispatch import Execution, Notification, execute
from compliance_agent.engine.gate import ask_each, charge, end_of_attempt, end_without_attempt
from compliance_agent.engine.plan import Ready, Settled, held
from compliance_agent.engine.reporter import Conclusion
from compliance_agent.engine.verify import verify
from compliance_agent.errors import CredentialError, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.domain.bundle import BundleStep
    from compliance_agent.domain.gate.ledger import GateEnd
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import StepRecord
    from compliance_agent.domain.target import Target
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.dispatch import Remediation
    from compliance_agent.engine.plan import Disposition, PlanItem
    from compliance_agent.engine.ports import Session
    from compliance_agent.engine.verify import Verification

_TELL_OF_HOLDS = frozenset({HoldKind.FLAP, HoldKind.BREAKER, HoldKind.ATTEMPTS, HoldKind.APPROVAL})
"""Holds that a person is told of: nothing is suppressed silently."""


def settle(engine: Engine, target: Target, item: PlanItem, *, now: datetime, instant: Instant) -> Outcome:
    """Carry one plan item to its outcome and store it; returns the outcome.

    The gate is asked once more before anything is changed: the items before this one have used up limits, and a
    person may have stopped healing since the plan was made.
    """
    if item.question is not None:
        item = replace(item, answers=tuple(ask_each(engine, item.question, instant)))
        again = next((answer for _, answer in item.answers if isinstance(answer, Hold)), None)
        if again is not None and _is_due(item):
            item = replace(item, disposition=held(again))
    if isinstance(item.disposition, Settled):
        outcome = _put_hold(engine, item, item.disposition, now, instant)
    elif isinstance(item.disposition.work, Notification):
        outcome = _outcome(item, item.disposition.work.kind, item.disposition.work.summary, now)
        _finish(engine, item, outcome, alerts=[_alert(engine, item, item.disposition.work, now)])
    elif item.disposition.observe:
        outcome = _outcome(item, OutcomeKind.WOULD_CHANGE, item.reason, now)
        _finish(engine, item, outcome, gate=_gate_end(engine, item, instant))
    else:
        outcome = _remediate(engine, target, item, item.disposition.work, now=now, instant=instant)
    engine.events.emit(
        "incident.settled",
        target=target.target_id,
        check=item.incident.check_id,
        outcome=outcome.kind.value,
        reason=outcome.reason,
        rule=outcome.rule_id,
    )
    return outcome


def _is_due(item: PlanItem) -> bool:
    return isinstance(item.disposition, Ready) and not item.disposition.observe


def _put_hold(engine: Engine, item: PlanItem, held_by: Settled, now: datetime, instant: Instant) -> Outcome:
    """Store that nothing was done, and tell people where the hold is one that they must know of."""
    outcome = _outcome(item, held_by.kind, held_by.reason, now, until=held_by.until)
    waits_for = item.action if held_by.hold is HoldKind.APPROVAL else ""
    gate = _gate_end(engine, item, instant, waits_for=waits_for)
    _finish(engine, item, outcome, alerts=_alerts_for_hold(engine, item, held_by, now), gate=gate)
    return outcome


def _gate_end(engine: Engine, item: PlanItem, instant: Instant, *, waits_for: str = "") -> GateEnd | None:
    if item.question is None:
        return None
    return end_without_attempt(engine, item.question, now=instant, waits_for=waits_for)


def foretell(item: PlanItem, *, now: datetime) -> Outcome:
    """Return the outcome that a dry run reports. Nothing is stored."""
    until = item.disposition.until if isinstance(item.disposition, Settled) else None
    return _outcome(item, item.foretold, item.reason, now, until=until)


def _remediate(
    engine: Engine, target: Target, item: PlanItem, work: Remediation, *, now: datetime, instant: Instant
) -> Outcome:
    assert item.question is not None  # noqa: S101 - a remediation was put to the gate
    attempt = _attempt(engine, target, item, work, now)
    # The intent is durable before the first byte goes to the target, and so is what it uses up.
    refused = engine.store.begin(attempt, charge(engine, item.question, instant))
    if refused is not None:
        return _put_hold(engine, item, held(refused), now, instant)
    engine.events.emit(
        "attempt.begun", target=target.target_id, check=item.incident.check_id, attempt=attempt.attempt_id
    )
    wish = item.question.wish
    try:
        outcome, observations = carry_out(engine, target, item, work, attempt, now=now)
    except Exception as error:
        # A fault of ours must not leave the attempt open, or the incident would be blocked.
        reason = f"{type(error).__name__}: {error}"
        ended = _outcome(item, OutcomeKind.INTERRUPTED, reason, now, attempt_id=attempt.attempt_id)
        gate = end_of_attempt(engine, wish, ended, now=instant, spent_s=0)
        _finish(engine, item, ended, attempt=attempt, gate=gate)
        raise
    gate = end_of_attempt(engine, wish, outcome, now=instant, spent_s=(outcome.at - now).total_seconds())
    _finish(engine, item, outcome, attempt=attempt, observations=observations, gate=gate)
    return outcome


def _finish(
    engine: Engine,
    item: PlanItem,
    outcome: Outcome,
    *,
    attempt: Attempt | None = None,
    observations: Sequence[Observation] = (),
    alerts: Sequence[Alert] = (),
    gate: GateEnd | None = None,
) -> None:
    """Write how it ended, and all that commits with it, in one transaction."""
    hold = item.disposition.hold if isinstance(item.disposition, Settled) else None
    conclusion = Conclusion(
        outcome,
        item.incident,
        item.rule,
        attempt,
        item.observation,
        observations,
        hold=hold.value if hold else "",
        answers=item.answers,
    )
    attachments = engine.reporter.of_conclusion(conclusion)
    engine.store.finish(TurnEnd(outcome, observations, alerts, attachments, gate))


@dataclass(frozen=True, slots=True)
class _Deed:
    """What was done, or how the conversation broke; and the session that did it, where a new one must confirm it."""

    execution: Execution | str
    way_back: Session | None = None


def carry_out(
    engine: Engine, target: Target, item: PlanItem, work: Remediation, attempt: Attempt, *, now: datetime
) -> tuple[Outcome, tuple[Observation, ...]]:
    """Do it, verify it, and say how it ended and what a fresh detect found.

    Stores nothing: the intent (``attempt``) is durable before this is called, and the end is the caller's to write.
    """
    try:
        session = engine.open(target)
    except (TransportError, CredentialError) as error:  # nothing was sent: the target never answered
        return _outcome(item, OutcomeKind.UNREACHABLE, error.message, now, attempt_id=attempt.attempt_id), ()
    with session:
        done = _execute_or_lose(engine, session, work, attempt)
        if work.confirm_steps(attempt.attempt_id):
            # The old session stays open until a new one works: it is the way back where the new one is refused.
            return _conclude(engine, target, item, work, attempt, _Deed(done, session), now=now)
    return _conclude(engine, target, item, work, attempt, _Deed(done), now=now)


def _execute_or_lose(engine: Engine, session: Session, work: Remediation, attempt: Attempt) -> Execution | str:
    """Run the remediation; a conversation that breaks midway gives its message instead."""
    try:
        return execute(engine, session, work.steps(attempt.attempt_id))
    except TransportError as error:
        return error.message


def _conclude(
    engine: Engine,
    target: Target,
    item: PlanItem,
    work: Remediation,
    attempt: Attempt,
    deed: _Deed,
    *,
    now: datetime,
) -> tuple[Outcome, tuple[Observation, ...]]:
    """Decide how the attempt ended: only a fresh, passing detect makes it ``remediated``."""
    done, way_back = deed.execution, deed.way_back
    check = engine.catalogue.get(item.incident.check_id)
    assert check is not None  # noqa: S101 - the incident was raised from this catalogue
    records = done.records if isinstance(done, Execution) else ()
    spent_s = done.duration_s if isinstance(done, Execution) else 0.0
    trouble = done.trouble if isinstance(done, Execution) else f"the connection broke midway: {done}"
    check_result: Verification | None = None
    if isinstance(done, str) or not trouble:
        confirm = work.confirm_steps(attempt.attempt_id)
        check_result = verify(engine, target, check, work.runbook, now=now, confirm=confirm)
        spent_s += check_result.duration_s
        if check_result.passed:
            reason = f"{work.done}; a fresh check passes"
            healed = _finished(item, OutcomeKind.REMEDIATED, reason, attempt, records, now, spent_s)
            return healed, check_result.observations
    if check_result is not None and check_result.unreached is not None and way_back is None:
        reason = f"{trouble or work.done}; {check_result.trouble}"
        return _finished(item, OutcomeKind.INTERRUPTED, reason, attempt, records, now, spent_s), ()
    kind = OutcomeKind.FAILED if trouble else OutcomeKind.VERIFY_FAILED
    reason = trouble or (check_result.trouble if check_result else "")
    undone, more = _roll_back(engine, target, work, attempt, way_back)
    observations = check_result.observations if check_result else ()
    return _finished(item, kind, f"{reason}{undone}", attempt, (*records, *more), now, spent_s), observations


def _roll_back(
    engine: Engine, target: Target, work: Remediation, attempt: Attempt, way_back: Session | None
) -> tuple[str, tuple[StepRecord, ...]]:
    """Take back a change that failed or cannot be proved; return what to say of it, and the records."""
    steps = work.rollback_steps(attempt.attempt_id)
    if not steps:
        return "", ()
    undone = _execute_by_either(engine, target, steps, way_back)
    if isinstance(undone, str):
        promise = "; the target takes it back by itself" if way_back is not None else ""
        return f"; rolling back failed: {undone}{promise}", ()
    return ("; rolled back" if not undone.trouble else f"; rolling back failed: {undone.trouble}"), undone.records


def _execute_by_either(
    engine: Engine, target: Target, steps: list[BundleStep], way_back: Session | None
) -> Execution | str:
    """Run steps in the session that is still open, or else in another one; where neither works, say why."""
    if way_back is not None:
        with contextlib.suppress(TransportError):
            return execute(engine, way_back, steps)
    try:
        with engine.open(target) as session:
            return execute(engine, session, steps)
    except (TransportError, CredentialError) as error:
        return error.message


def _attempt(engine: Engine, target: Target, item: PlanItem, work: Remediation, now: datetime) -> Attempt:
    assert item.rule is not None  # noqa: S101 - only a rule makes work
    return Attempt(
        attempt_id=engine.ids.new_id(),
        fingerprint=item.incident.fingerprint,
        incident_id=item.incident.incident_id,
        site_id=target.site_id,
        target_id=target.target_id,
        check_id=item.incident.check_id,
        rule_id=item.rule.rule_id,
        action=item.action,
        runbook_id=work.runbook_id,
        runbook_digest=work.digest,
        begun_at=now,
        parameters=work.parameters,
    )


def _finished(
    item: PlanItem,
    kind: OutcomeKind,
    reason: str,
    attempt: Attempt,
    records: tuple[StepRecord, ...],
    now: datetime,
    spent_s: float,
) -> Outcome:
    at = now + timedelta(seconds=spent_s)
    return _outcome(item, kind, reason, at, attempt_id=attempt.attempt_id, steps=records)


def _outcome(
    item: PlanItem,
    kind: OutcomeKind,
    reason: str,
    at: datetime,
    *,
    attempt_id: str | None = None,
    until: datetime | None = None,
    steps: tuple[StepRecord, ...] = (),
) -> Outcome:
    return Outcome(
        kind=kind,
        reason=reason,
        incident_id=item.incident.incident_id,
        fingerprint=item.incident.fingerprint,
        target_id=item.incident.target_id,
        check_id=item.incident.check_id,
        at=at,
        rule_id=item.rule.rule_id if item.rule else "",
        action=item.action,
        attempt_id=attempt_id,
        until=until,
        steps=steps,
    )


def _alerts_for_hold(engine: Engine, item: PlanItem, disposition: Settled, now: datetime) -> list[Alert]:
    if disposition.hold not in _TELL_OF_HOLDS:
        return []
    name = f"{disposition.hold.value} hold" if disposition.hold else "hold"
    summary = f"healing is paused: {disposition.reason}"
    return [_alert(engine, item, Notification(summary, disposition.kind, name), now)]


def _alert(engine: Engine, item: PlanItem, work: Notification, now: datetime) -> Alert:
    incident = item.incident
    check = engine.catalogue.get(incident.check_id)
    title = check.runbook.title if check else incident.check_id
    return Alert(
        dedupe_key=f"{work.kind.value}/{work.name}/{incident.incident_id}",
        kind=work.kind,
        name=work.name,
        summary=f"{incident.target_id}: {incident.check_id}: {item.observation.reason} ({work.summary})",
        document={
            "schema": "alert/v1",
            "kind": work.kind.value,
            "name": work.name,
            "site_id": incident.site_id,
            "target_id": incident.target_id,
            "hostname": incident.hostname,
            "check_id": incident.check_id,
            "title": title,
            "severity": incident.severity,
            "hipaa": list(check.runbook.controls.hipaa) if check else [],
            "incident_id": incident.incident_id,
            "opened_at": incident.opened_at.isoformat(),
            "detected_at": incident.detected_at.isoformat(),
            "observation": item.observation.reason,
            "reason": work.summary,
            "rule_id": item.rule.rule_id if item.rule else "",
            **_hold_document(item.disposition),
        },
        raised_at=now,
    )


def _hold_document(disposition: Disposition) -> dict[str, JsonValue]:
    """Return what an alert says of a hold: its end, and how a person clears it."""
    if not isinstance(disposition, Settled) or disposition.hold is None:
        return {}
    until = disposition.until.isoformat() if disposition.until else None
    return {"hold": disposition.hold.value, "until": until, "clear_with": disposition.clear_with}
