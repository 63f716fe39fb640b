"""Plan: observations -> incidents -> rules -> gate -> what would be done. Dry run ends here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from compliance_agent.domain.gate import Allow, Hold, decide, horizon_s
from compliance_agent.domain.incident import Incident, fingerprint, incident_id_for
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.target import Mode
from compliance_agent.engine.dispatch import HANDLERS, NotApplicable, Notification, Request

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.gate import HoldKind
    from compliance_agent.domain.observation import HostFacts, Observation
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.dispatch import Remediation
    from compliance_agent.engine.scan import TargetScan


@dataclass(frozen=True, slots=True)
class Ready:
    """It would be done now.

    Attributes:
        work: What.
        observe: A mode of ``observe`` forbids it: it is reported as ``would_change`` and left undone.

    """

    work: Remediation | Notification
    observe: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing will be done now, and why.

    Attributes:
        kind: The outcome.
        reason: One sentence for people.
        until: When a hold ends, where there is one.
        hold: The gate that holds, where one does.

    """

    kind: OutcomeKind
    reason: str
    until: datetime | None = None
    hold: HoldKind | None = None


Disposition: TypeAlias = Ready | Settled


@dataclass(frozen=True, slots=True)
class PlanItem:
    """What would be done about one incident."""

    incident: Incident
    observation: Observation
    rule: Rule | None
    disposition: Disposition

    @property
    def foretold(self) -> OutcomeKind:
        """Return the outcome that a dry run reports: ``would_change`` for what would be done."""
        return OutcomeKind.WOULD_CHANGE if isinstance(self.disposition, Ready) else self.disposition.kind

    @property
    def reason(self) -> str:
        """Return what would be done, or why nothing is, one sentence."""
        if isinstance(self.disposition, Settled):
            return self.disposition.reason
        summary = f"would {self.disposition.work.summary}"
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


def make_plan(engine: Engine, scan: TargetScan, *, now: datetime) -> tuple[PlanItem, ...]:
    """Return one item for each failed observation of the scan, in order of check id."""
    if scan.host is None:
        return ()
    return tuple(
        _plan_one(engine, scan, scan.host, seen, now=now) for seen in scan.observations if seen.verdict is Verdict.FAIL
    )


def _plan_one(engine: Engine, scan: TargetScan, host: HostFacts, seen: Observation, *, now: datetime) -> PlanItem:
    target = scan.target
    incident = raise_incident(engine, target, host, seen, now=now)
    rule = engine.rules.first(incident.document())
    if rule is None:
        return PlanItem(incident, seen, None, Settled(OutcomeKind.UNMATCHED, "no rule matches this incident"))
    observations = {one.check_id: one for one in scan.observations}
    request = Request(engine, target, seen, host, rule.action.argument, observations)
    work = HANDLERS[rule.action.prefix].prepare(request)
    return PlanItem(incident, seen, rule, _dispose(engine, target, incident, rule, work, now=now))


def _dispose(
    engine: Engine,
    target: Target,
    incident: Incident,
    rule: Rule,
    work: Remediation | Notification | NotApplicable,
    *,
    now: datetime,
) -> Disposition:
    if isinstance(work, NotApplicable):
        return Settled(OutcomeKind.NOT_APPLICABLE, work.reason)
    if isinstance(work, Notification):
        return Ready(work)
    since = now - timedelta(seconds=horizon_s(engine.policy, rule))
    history = engine.store.history(incident.fingerprint, since=since)
    decision = decide(engine.policy, rule, history, now=now)
    if isinstance(decision, Hold):
        return Settled(decision.kind.outcome, decision.reason, decision.until, decision.kind)
    assert isinstance(decision, Allow)  # noqa: S101 - a decision is one of the two
    mode = engine.mode_for(target, work.runbook_id, incident.check_id)
    return Ready(work, observe=mode is Mode.OBSERVE)
