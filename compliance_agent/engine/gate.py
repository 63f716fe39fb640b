"""The gate within a turn: what is asked of it, what the state remembers, what a turn's end means for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compliance_agent.domain.gate import Memory, Wish, all_decisions, decide, horizon_s
from compliance_agent.domain.gate.decision import Hold
from compliance_agent.domain.gate.flap import (
    FRESH,
    FlapEvent,
    FlapEventKind,
    FlapUpdate,
    after,
    outcome_event,
    seen_failing,
)
from compliance_agent.domain.gate.ledger import Charge, GateEnd
from compliance_agent.domain.gate.people import (
    ApprovalRequest,
    judge_kill_switch,
    judge_waiver,
    pause_of_file,
    plan_digest,
)
from compliance_agent.domain.gate.tries import DAY_S
from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.rule import CHOSEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.catalogue import CompiledRunbook
    from compliance_agent.domain.gate import Decision, HoldKind
    from compliance_agent.domain.gate.people import Pause
    from compliance_agent.domain.incident import Incident
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.outcome import Outcome
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.target import Target
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.dispatch import Remediation


@dataclass(frozen=True, slots=True)
class Question:
    """One remediation before the gate.

    Attributes:
        wish: What is wanted.
        relapse: That the check fails again after a verified fix, seen at this scan and not stored yet.

    """

    wish: Wish
    relapse: FlapEvent | None = None


def rule_digest(rule: Rule) -> str:
    """Return the identity of what a rule says: 64 hex digits of SHA-256 over pattern and action."""
    pattern = json.dumps(rule.pattern.source, sort_keys=True, default=str)
    return hashlib.sha256(f"{pattern}\x1f{rule.action}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is wanted."""

    site_id: str
    target_id: str
    check_id: str
    incident_id: str = ""


def question(target: Target, incident: Incident, rule: Rule, work: Remediation) -> Wish:
    """Return what the gate is asked for planned work."""
    place = Place(target.site_id, target.target_id, incident.check_id, incident.incident_id)
    return wish_for(place, rule, work.runbook, tags=target.tags, parameters=work.parameters)


def wish_for(
    place: Place,
    rule: Rule,
    runbook: CompiledRunbook | None,
    *,
    tags: tuple[str, ...],
    parameters: Mapping[str, JsonValue],
) -> Wish:
    """Return what the gate is asked: ``runbook`` is ``None`` for a service that is restarted."""
    effects = runbook.runbook.effects if runbook else None
    said, runbook_digest = rule_digest(rule), runbook.digest if runbook else ""
    return Wish(
        rule=rule,
        fingerprint=fingerprint(place.site_id, place.target_id, place.check_id),
        site_id=place.site_id,
        target_id=place.target_id,
        check_id=place.check_id,
        incident_id=place.incident_id,
        tags=tags,
        runbook_id=runbook.id if runbook else "",
        disruption=effects.disruption if effects else "none",
        reboot=effects.reboot if effects else "never",
        digest=hashlib.sha256(f"{said}{runbook_digest}".encode()).hexdigest(),
        plan_digest=plan_digest(
            incident_id=place.incident_id,
            action=str(rule.action),
            rule_digest=said,
            runbook_digest=runbook_digest,
            parameters=parameters,
        ),
    )


def pause_by_file(engine: Engine, now: Instant) -> Pause | None:
    """Return the pause that the kill switch's file asks for now, if it does."""
    return pause_of_file(engine.kill_switch.order(), engine.store.noted_pause(), now)


def relapse_of(engine: Engine, print_: str, now: Instant) -> FlapEvent | None:
    """Return the relapse that a failing check means now, if it means one."""
    row = engine.store.flap(print_)
    if row is None or row.state.fixed_s is None:
        return None
    by_persons = (
        judge_kill_switch(pause_by_file(engine, now), engine.store.pause(), now),
        judge_waiver(engine.store.waiver(row.target_id, row.check_id), now),
    )
    return seen_failing(row.state, now, excused=any(isinstance(one, Hold) for one in by_persons))


def memory_of(engine: Engine, asked: Question, now: Instant) -> Memory:
    """Return what the durable state knows, the relapse of this scan included."""
    wish, store = asked.wish, engine.store
    row = store.flap(wish.fingerprint)
    state = FRESH if row is None else row.state
    if asked.relapse is not None and state.fixed_s is not None:
        state = after(state, asked.relapse, engine.policy.flap)
    return Memory(
        tries=store.tries(
            wish.site_id,
            target_id=wish.target_id,
            since_s=now.elapsed_s - horizon_s(engine.policy, wish.rule),
            since_uptime_s=now.uptime_s - max(DAY_S, wish.rule.cooldown_s or 0, engine.policy.cooldown_s),
        ),
        flap=state,
        pause=store.pause(),
        pause_file=pause_by_file(engine, now),
        waiver=store.waiver(wish.target_id, wish.check_id),
        approval=store.approval(wish.incident_id),
        forgiven_s=store.forgiven(),
    )


def ask(engine: Engine, asked: Question, now: Instant) -> Decision:
    """Return the gate's answer. Uses nothing up."""
    return decide(engine.policy, asked.wish, memory_of(engine, asked, now), now=now)


def ask_all(engine: Engine, wish: Wish, now: Instant) -> list[tuple[HoldKind, Decision]]:
    """Return every part's answer, for ``explain``."""
    asked = Question(wish, relapse_of(engine, wish.fingerprint, now))
    return all_decisions(engine.policy, wish, memory_of(engine, asked, now), now=now)


def ask_each(engine: Engine, asked: Question, now: Instant) -> list[tuple[HoldKind, Decision]]:
    """Return every part's answer; the first hold is the gate's."""
    return all_decisions(engine.policy, asked.wish, memory_of(engine, asked, now), now=now)


def charge(engine: Engine, asked: Question, now: Instant) -> Charge:
    """Return what the attempt uses up as it begins."""
    wish = asked.wish
    tried = FlapEvent(FlapEventKind.TRIED, now.elapsed_s, now.wall, digest=wish.digest)
    events = (tried,) if asked.relapse is None else (asked.relapse, tried)
    needs_person = engine.policy.needs_person(wish.disruption, wish.reboot)
    return Charge(
        now=now,
        limits=engine.policy.limits,
        flap=update(engine, wish, events),
        approval=wish.incident_id if needs_person else "",
        plan_digest=wish.plan_digest,
        choice=wish.incident_id if wish.rule.rule_id == CHOSEN else "",
    )


def update(engine: Engine, wish: Wish, events: tuple[FlapEvent, ...]) -> FlapUpdate:
    """Return events for the wish's flap."""
    return FlapUpdate(wish.fingerprint, wish.site_id, wish.target_id, wish.check_id, events, policy=engine.policy.flap)


def end_of_attempt(engine: Engine, wish: Wish, outcome: Outcome, *, now: Instant, spent_s: float) -> GateEnd:
    """Return what an attempt's end means for the gate."""
    ended = now.later(spent_s)
    event = outcome_event(outcome.kind, ended.elapsed_s, ended.wall)
    return GateEnd(ended, update(engine, wish, (event,)) if event else None)


def end_without_attempt(engine: Engine, asked: Question, *, now: Instant, waits_for: str = "") -> GateEnd:
    """Return what is to be kept where nothing was tried: a relapse, and a plan that waits for a person's word."""
    wish = asked.wish
    relapse = update(engine, wish, (asked.relapse,)) if asked.relapse else None
    request = None
    if waits_for:
        request = ApprovalRequest(
            wish.incident_id, wish.target_id, wish.check_id, wish.plan_digest, waits_for, now.wall
        )
    return GateEnd(now, relapse, request)
