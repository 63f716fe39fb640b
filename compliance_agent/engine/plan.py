"""Plan: observations -> incidents -> rules -> gate -> what would be done. Dry run ends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from compliance_agent.domain.gate import Hold, HoldKind
from compliance_agent.domain.incident import Incident, fingerprint, incident_id_for
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import CHOSEN, Action, Rule
from compliance_agent.domain.target import Mode
from compliance_agent.engine.admission import refusal
from compliance_agent.engine.dispatch import HANDLERS, NotApplicable, Notification, Request
from compliance_agent.engine.gate import Question, ask, question, relapse_of

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.gate import Decision
    from compliance_agent.domain.observation import HostFacts, Observation
    from compliance_agent.domain.target import Target
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.dispatch import Remediation
    from compliance_agent.engine.scan import TargetScan


@dataclass(frozen=True, slots=True)
class Ready:
    """It would be done now.

    Attributes:
        work: What.
        observe: A mode of ``observe`` forbids it: it is reported as ``would_change`` and left undone.
        note: What the gate said of it: the single try after a pause, an approval; or empty.

    """

    work: Remediation | Notification
    observe: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing will be done now, and why.

    Attributes:
        kind: The outcome.
        reason: One sentence for people.
        until: When a hold ends, where there is one.
        hold: The gate that holds, where one does.
        clear_with: What a person types to end the hold, or empty.

    """

    kind: OutcomeKind
    reason: str
    until: datetime | None = None
    hold: HoldKind | None = None
    clear_with: str = ""


Disposition: TypeAlias = Ready | Settled


@dataclass(frozen=True, slots=True)
class PlanItem:
    """What would be done about one incident.

    Attributes:
        question: What the gate was asked; ``None`` where there was nothing to ask.
        answers: Of each part of the gate, asked once more before the deed; empty in a plan.

    """

    incident: Incident
    observation: Observation
    rule: Rule | None
    disposition: Disposition
    question: Question | None = None
    answers: tuple[tuple[HoldKind, Decision], ...] = ()

    @property
    def foretold(self) -> OutcomeKind:
        """Return the outcome that a dry run reports: ``would_change`` for what would be done."""
        return OutcomeKind.WOULD_CHANGE if isinstance(self.disposition, Ready) else self.disposition.kind

    @property
    def reason(self) -> str:
        """Return what would be done, or why nothing is, one sentence."""
        if isinstance(self.disposition, Settled):
            return self.disposition.reason
        note = f" ({self.disposition.note})" if self.disposition.note else ""
        summary = f"would {self.disposition.work.summary}{note}"
        return f"{summary} (mode is observe)" if self.disposition.observe else summary

    @property
    def action(self) -> str:
        """Return the rule's action, or an empty string."""
        return str(self.rule.action) if self.rule else ""


def raise_incident(engine: Engine, target: Target, host: HostFacts, seen: Observation, *, now: datetime) -> Incident:
    """Return the incident of a failed observation: the open one, or a new one opened now."""
    runbook = engine.catalogue.get(seen.check_id)
    if runbook is None:
        message = f"observation of the unknown check {seen.check_id}"
        raise ValueError(message)
    print_ = fingerprint(target.site_id, target.target_id, seen.check_id)
    opened_at = engine.store.opened_at(print_) or now
    return Incident(
        incident_id=incident_id_for(print_, opened_at),
        site_id=target.site_id,
        target_id=target.target_id,
        hostname=host.hostname,
        platform=host.platform,
        distro=host.os_id,
        check_id=seen.check_id,
        incident_type=runbook.runbook.check_type,
        severity=runbook.runbook.severity,
        opened_at=opened_at,
        detected_at=now,
        facts=seen.facts,
    )


def make_plan(engine: Engine, scan: TargetScan, *, now: datetime, instant: Instant) -> tuple[PlanItem, ...]:
    """Return one item for each failed observation of the scan, in order of check id."""
    if scan.host is None:
        return ()
    return tuple(
        _plan_one(engine, scan, scan.host, seen, now=now, instant=instant)
        for seen in scan.observations
        if seen.verdict is Verdict.FAIL
    )


def _plan_one(
    engine: Engine, scan: TargetScan, host: HostFacts, seen: Observation, *, now: datetime, instant: Instant
) -> PlanItem:
    target = scan.target
    incident = raise_incident(engine, target, host, seen, now=now)
    rule = engine.rules.first(incident.document()) or _chosen(engine, incident, instant)
    if rule is None:
        return PlanItem(incident, seen, None, Settled(OutcomeKind.UNMATCHED, "no rule matches this incident"))
    observations = {one.check_id: one for one in scan.observations}
    request = Request(engine, target, seen, host, rule.action.argument, observations)
    work = HANDLERS[rule.action.prefix].prepare(request)
    if isinstance(work, NotApplicable):
        return PlanItem(incident, seen, rule, Settled(OutcomeKind.NOT_APPLICABLE, work.reason))
    if isinstance(work, Notification):
        return PlanItem(incident, seen, rule, Ready(work))
    asked = Question(question(target, incident, rule, work), relapse_of(engine, incident.fingerprint, instant))
    mode = engine.mode_for(target, work.runbook_id, incident.check_id)
    return PlanItem(incident, seen, rule, _dispose(engine, asked, work, mode, instant), asked)


def _chosen(engine: Engine, incident: Incident, instant: Instant) -> Rule | None:
    """Return what a person chose for an incident that no rule matches, as a rule for it alone."""
    choice = engine.store.choice(incident.incident_id)
    if choice is None or choice.until.is_over(instant):
        return None
    pattern = compile_pattern({"check_id": incident.check_id, "target_id": incident.target_id})
    rule = Rule(CHOSEN, pattern, Action("run_runbook", choice.runbook_id), f"chosen by {choice.actor}: {choice.reason}")
    return None if refusal(rule, engine.catalogue) else rule


def _dispose(engine: Engine, asked: Question, work: Remediation, mode: Mode, instant: Instant) -> Disposition:
    decision = ask(engine, asked, instant)
    observes = mode is Mode.OBSERVE
    if isinstance(decision, Hold) and not (observes and decision.kind is HoldKind.APPROVAL):
        return held(decision)
    return Ready(work, observe=observes, note="" if isinstance(decision, Hold) else decision.note)


def held(hold: Hold) -> Settled:
    """Return what a hold makes of an incident."""
    reason = f"{hold.reason}. To clear: {hold.clear_with}" if hold.clear_with else hold.reason
    return Settled(hold.kind.outcome, reason, hold.until, hold.kind, hold.clear_with)
