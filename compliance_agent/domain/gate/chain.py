"""The chain: every part of the gate, in its order; the first hold wins, all are shown by ``explain``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.gate import flap, people, suppression, tries
from compliance_agent.domain.gate.decision import Allow, Hold, HoldKind
from compliance_agent.domain.gate.windows import window_for
from compliance_agent.domain.gate.words import when

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from compliance_agent.domain.gate.decision import Decision
    from compliance_agent.domain.gate.people import Approval, Pause, Waiver
    from compliance_agent.domain.gate.policy import Disruption, GatePolicy
    from compliance_agent.domain.gate.tries import Try
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.timeline import Instant


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants done, as far as the gate needs to know.

    Attributes:
        rule: The rule that asks.
        fingerprint: Site, target and check.
        tags: Of the target.
        runbook_id: What would run; empty for ``restart_service``.
        disruption: Of the runbook.
        reboot: Of the runbook.
        digest: Of rule and runbook.
        plan_digest: Of exactly what would be done.

    """

    rule: Rule
    fingerprint: str
    site_id: str
    target_id: str
    check_id: str
    incident_id: str = ""
    tags: tuple[str, ...] = ()
    runbook_id: str = ""
    disruption: Disruption = "none"
    reboot: str = "never"
    digest: str = ""
    plan_digest: str = ""

    @property
    def place(self) -> str:
        """Return ``TARGET/CHECK``."""
        return f"{self.target_id}/{self.check_id}"


@dataclass(frozen=True, slots=True)
class Memory:
    """What the durable state knows, as one turn reads it.

    Attributes:
        tries: Attempts at the site that may still count.
        flap: Of the check on the target.
        pause: The kill switch of the command line.
        pause_file: The pause that the kill switch's file asks for now, if it does.
        waiver: For the check on the target.
        approval: For the incident.
        forgiven_s: Target id, or ``TARGET/CHECK``, to when a person cleared it, ``elapsed_s``: tries that began
            before count no more, but for cooldown and limits.

    """

    tries: Sequence[Try] = ()
    flap: flap.FlapState = flap.FRESH
    pause: Pause | None = None
    pause_file: Pause | None = None
    waiver: Waiver | None = None
    approval: Approval | None = None
    forgiven_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Case:
    policy: GatePolicy
    wish: Wish
    memory: Memory
    now: Instant

    @property
    def on_target(self) -> list[Try]:
        least = self.memory.forgiven_s.get(self.wish.target_id, -1.0)
        mine = (past for past in self.memory.tries if past.target_id == self.wish.target_id)
        return [past for past in mine if past.begun_s > least]

    @property
    def here(self) -> list[Try]:
        return [past for past in self.memory.tries if past.fingerprint == self.wish.fingerprint]

    @property
    def unforgiven(self) -> list[Try]:
        least = self.memory.forgiven_s.get(self.wish.place, -1.0)
        return [past for past in self.here if past.begun_s > least]

    @property
    def needs_person(self) -> bool:
        return self.policy.needs_person(self.wish.disruption, self.wish.reboot)


def _flap(case: _Case) -> Decision:
    return suppression.judge(
        case.memory.flap,
        case.policy.flap,
        digest=case.wish.digest,
        unattended=not case.needs_person,
        place=case.wish.place,
        now=case.now,
    )


def _cooldown(case: _Case) -> Decision:
    own = case.wish.rule.cooldown_s
    cooldown_s = case.policy.cooldown_s if own is None else own
    return tries.judge_cooldown(cooldown_s, case.here, case.wish.rule.rule_id, case.now)


def _window(case: _Case) -> Decision:
    is_open, opens, name = window_for(case.policy.windows, case.wish.target_id, case.wish.tags, case.now.wall)
    if is_open:
        return Allow(f"within {name}" if name else "")
    text = f"outside maintenance window {name}" + (f", which opens {when(opens)}" if opens else "")
    return Hold(HoldKind.WINDOW, text, opens)


def _blast(case: _Case) -> Decision:
    wish = case.wish
    return tries.judge_blast(
        case.policy.limits,
        [past for past in case.memory.tries if past.site_id == wish.site_id],
        target_id=wish.target_id,
        runbook_id=wish.runbook_id,
        now=case.now,
    )


def _approval(case: _Case) -> Decision:
    return people.judge_approval(
        case.memory.approval,
        needed=case.needs_person,
        digest=case.wish.plan_digest,
        incident_id=case.wish.incident_id,
        now=case.now,
    )


_Judge: TypeAlias = "Callable[[_Case], Decision]"

CHAIN: Final[Mapping[HoldKind, _Judge]] = {
    HoldKind.KILL_SWITCH: lambda c: people.judge_kill_switch(c.memory.pause_file, c.memory.pause, c.now),
    HoldKind.WAIVER: lambda c: people.judge_waiver(c.memory.waiver, c.now),
    HoldKind.UNDONE: lambda c: tries.judge_undone(c.policy, c.unforgiven, c.wish.place, c.now),
    HoldKind.FLAP: _flap,
    HoldKind.BREAKER: lambda c: tries.judge_breaker(c.policy, c.on_target, c.wish.target_id, c.now),
    HoldKind.ATTEMPTS: lambda c: tries.judge_attempts(c.policy, c.unforgiven, c.wish.place, c.now),
    HoldKind.COOLDOWN: _cooldown,
    HoldKind.WINDOW: _window,
    HoldKind.BLAST_LIMIT: _blast,
    HoldKind.APPROVAL: _approval,
}
"""The parts, in the order in which they are asked: a person last, and only for what would then run."""


def decide(policy: GatePolicy, wish: Wish, memory: Memory, *, now: Instant) -> Decision:
    """Return the first hold, or ``Allow`` with what was special."""
    notes = []
    for judge in CHAIN.values():
        decision = judge(_Case(policy, wish, memory, now))
        if isinstance(decision, Hold):
            return decision
        notes.append(decision.note)
    return Allow("; ".join(note for note in notes if note))


def all_decisions(policy: GatePolicy, wish: Wish, memory: Memory, *, now: Instant) -> list[tuple[HoldKind, Decision]]:
    """Return every part's answer, in the gate's order, for ``explain``."""
    case = _Case(policy, wish, memory, now)
    return [(kind, judge(case)) for kind, judge in CHAIN.items()]


def horizon_s(policy: GatePolicy, rule: Rule | None = None) -> float:
    """Return how far back, in elapsed seconds, tries may still count (limits look back in uptime on their own)."""
    own = rule.cooldown_s if rule and rule.cooldown_s else 0
    return float(max(policy.window_s, policy.cooldown_s, policy.breaker_pause_s, own, tries.DAY_S))
