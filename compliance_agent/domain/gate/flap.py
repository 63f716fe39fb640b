"""Flaps: a verified fix that came back. Damped, then tried once, then damped for twice as long.

    closed     --relapse or failed verify, score at the limit, or the third failed verify in a row-->  open
    open       --the hold is over, or a person or a new digest arms it-->  one try, still open: the hold begins anew
    the try    --a verified fix, or no try since the machine was not reached-->  half_open
    the try    --a failed verify or a failed remedy-->  open, twice as long (at most ``hold_max_s``)
    the try    --cut off-->  open, as it is: a crash is no second try
    half_open  --a relapse-->  open, twice as long
    half_open  --the fix lasts for longer than the hold was-->  closed, forgotten

Unreachable machines, deadlines, errors, maintenance and interrupted attempts never count. The state is changed by
events only, each a pure function of the state before it, so that a store can apply them in its own transaction.
A state that a person cleared is carried on beside the new one, so that undoing the clearing forgets nothing that came
since. Times are ``elapsed_s`` of ``domain.timeline``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.gate.writers import likely_writer
from compliance_agent.domain.outcome import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from compliance_agent.domain.gate.policy import FlapPolicy
    from compliance_agent.domain.timeline import Instant

RELAPSES_KEPT_MAX: Final = 20
"""Relapses whose times are kept, the newest ones: what the likely writer is told from."""


class Phase(StrEnum):
    """Where a check on a target stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class FlapEventKind(StrEnum):
    """What changes a flap's state."""

    RELAPSE = "relapse"
    EXCUSED = "excused"
    VERIFY_FAILED = "verify_failed"
    REMEDY_FAILED = "remedy_failed"
    FIXED = "fixed"
    TRIED = "tried"
    NOT_MADE = "not_made"
    ENDED = "ended"
    CLEARED = "cleared"
    ARMED = "armed"
    HELD = "held"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class FlapEvent:
    """One event.

    Attributes:
        kind: What happened.
        at_s: When, ``elapsed_s``.
        wall: The same for people, UTC.
        digest: Rule and runbook as they are now, for ``tried``.
        until_s: For ``held``: how long, ``elapsed_s``.

    """

    kind: FlapEventKind
    at_s: float
    wall: datetime
    digest: str = ""
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FlapState:
    """One check on one target.

    Attributes:
        fast: Penalty on the fast track, as of ``at_s``.
        slow: Penalty on the slow track, as of ``at_s``.
        at_s: When the penalties were last raised.
        phase: See the module.
        opened_wall: When it opened last, UTC; ``None`` when it never did.
        opened_s: The same, ``elapsed_s``.
        hold_s: How long that hold lasts.
        score: The score that opened it.
        cause: What opened it: ``fast``, ``slow`` or ``verifies``.
        failed_verifies: In a row.
        fixed_s: When the last verified fix was made, while it has not come back; ``None`` else.
        relapses: When it came back, UTC, oldest first, as the clock said then.
        relapses_s: The same, ``elapsed_s``: what spans and habits are told from.
        total: How often it ever came back.
        digest: Rule and runbook of the last attempt.
        tried: The same of the attempts since it last closed, so that rules that take turns are no change.
        armed: A person allows one try.
        trying: The single try has begun, and its end is not known.
        told: The end of the hold was reported.
        writer: Who probably changes it back, with the evidence, as it was clear when it first opened; or empty.
        before: As it would be now had a person not cleared it last; ``None`` where nobody did, or that was undone.

    """

    fast: float = 0.0
    slow: float = 0.0
    at_s: float = 0.0
    phase: Phase = Phase.CLOSED
    opened_wall: datetime | None = None
    opened_s: float = 0.0
    hold_s: float = 0.0
    score: float = 0.0
    cause: str = ""
    failed_verifies: int = 0
    fixed_s: float | None = None
    relapses: tuple[datetime, ...] = ()
    relapses_s: tuple[float, ...] = ()
    total: int = 0
    digest: str = ""
    armed: bool = False
    told: bool = False
    writer: str = ""
    tried: tuple[str, ...] = ()
    trying: bool = False
    before: FlapState | None = None

    @property
    def until_s(self) -> float:
        """Return when the hold ends, ``elapsed_s``."""
        return self.opened_s + self.hold_s

    def scores(self, policy: FlapPolicy, now_s: float) -> tuple[float, float]:
        """Return both penalties as they have decayed to now."""
        gone = now_s - self.at_s
        return policy.fast.decayed(self.fast, gone), policy.slow.decayed(self.slow, gone)


DIGESTS_KEPT_MAX: Final = 64
"""Most rules and runbooks that are remembered of one check on one target."""

FRESH: Final = FlapState()


CLEARINGS: Final = frozenset({FlapEventKind.CLEARED, FlapEventKind.ARMED, FlapEventKind.HELD})
"""What a person does to a flap, and may undo."""


def after(state: FlapState, event: FlapEvent, policy: FlapPolicy) -> FlapState:
    """Return the state after an event."""
    if event.kind is FlapEventKind.RESTORED:
        return state if state.before is None else state.before
    changed = _CHANGES[event.kind](state, event, policy)
    if event.kind in CLEARINGS:
        return replace(changed, before=replace(state, before=None))
    if state.before is None or event.kind is FlapEventKind.ENDED:  # that another hold ended was not told yet
        return changed
    return replace(changed, before=after(state.before, event, policy))


def taken_back(state: FlapState, made_s: float) -> FlapState:
    """Return the state after a person took the fix back that was made then: unless a later one stands.

    Args:
        state: As it is.
        made_s: When that fix was made, ``elapsed_s``.

    """
    before = None if state.before is None else taken_back(state.before, made_s)
    stands = state.fixed_s is not None and state.fixed_s > made_s
    return replace(state, fixed_s=state.fixed_s if stands else None, before=before)


def _cleared(state: FlapState, _event: FlapEvent, _policy: FlapPolicy) -> FlapState:
    """Forget the scores; the times of past relapses stay, for people, and so does a fix that may come back."""
    kept = FlapState(digest=state.digest, relapses=state.relapses, relapses_s=state.relapses_s)
    return replace(kept, total=state.total, fixed_s=state.fixed_s)


def _held(state: FlapState, event: FlapEvent, _policy: FlapPolicy) -> FlapState:
    hold_s = max(0.0, event.until_s - event.at_s)
    held = replace(state, opened_s=event.at_s, opened_wall=event.wall, hold_s=hold_s, phase=Phase.OPEN)
    return replace(held, armed=False, trying=False, told=False, cause="person", fixed_s=None)


def _tried(state: FlapState, event: FlapEvent, _policy: FlapPolicy) -> FlapState:
    """Use the single try up: until its end is known the hold begins anew, so that no crash makes two of it."""
    state = _forgotten(state, event.at_s)
    others = tuple(one for one in state.tried if one != event.digest)
    state = replace(state, digest=event.digest, tried=(*others, event.digest)[-DIGESTS_KEPT_MAX:], armed=False)
    if state.phase is Phase.CLOSED:
        return state
    begun = replace(state, phase=Phase.OPEN, trying=True, opened_s=event.at_s, opened_wall=event.wall)
    return replace(begun, told=False, fixed_s=None)


def _not_made(state: FlapState, _event: FlapEvent, _policy: FlapPolicy) -> FlapState:
    """Give a single try back that never reached the machine."""
    return replace(state, trying=False, phase=Phase.HALF_OPEN) if state.trying else state


def _fixed(state: FlapState, event: FlapEvent, _policy: FlapPolicy) -> FlapState:
    if state.trying:
        state = replace(state, trying=False, armed=False, phase=Phase.HALF_OPEN)
    fixed_s = None if state.phase is Phase.OPEN else event.at_s  # a person has put it on hold meanwhile
    return replace(state, fixed_s=fixed_s, failed_verifies=0)


def _remedy_failed(state: FlapState, event: FlapEvent, policy: FlapPolicy) -> FlapState:
    """Count nothing, but end a single try: it was one."""
    return _open(state, event, policy, "trial") if _is_trial(state) else state


def _is_trial(state: FlapState) -> bool:
    return state.trying or state.phase is Phase.HALF_OPEN


def seen_failing(state: FlapState, at: Instant, *, excused: bool = False) -> FlapEvent | None:
    """Return the relapse that a failing check means now, or ``None`` when it means none.

    Args:
        state: As it is.
        at: When it was seen.
        excused: A person has paused healing, or accepted the risk: whatever happens meanwhile is theirs, and this
            return never counts.

    """
    if state.fixed_s is None:
        return None
    kind = FlapEventKind.EXCUSED if excused else FlapEventKind.RELAPSE
    return FlapEvent(kind, at.elapsed_s, at.wall)


def outcome_event(kind: OutcomeKind, at_s: float, wall: datetime) -> FlapEvent | None:
    """Return what an attempt's end means for the flap; ``None`` where it means nothing.

    One that was cut off means nothing: what it did is not known, so the single try stays used up.
    """
    meaning = {
        OutcomeKind.UNREACHABLE: FlapEventKind.NOT_MADE,
        OutcomeKind.NOT_APPLICABLE: FlapEventKind.NOT_MADE,
        OutcomeKind.REMEDIATED: FlapEventKind.FIXED,
        OutcomeKind.VERIFY_FAILED: FlapEventKind.VERIFY_FAILED,
        OutcomeKind.FAILED: FlapEventKind.REMEDY_FAILED,
    }.get(kind)
    return None if meaning is None else FlapEvent(meaning, at_s, wall)


def _raised(state: FlapState, event: FlapEvent, policy: FlapPolicy) -> FlapState:
    gone = event.at_s - state.at_s
    fast, slow = policy.fast.raised(state.fast, gone), policy.slow.raised(state.slow, gone)
    return replace(state, fast=fast, slow=slow, at_s=max(state.at_s, event.at_s))


def _relapsed(state: FlapState, event: FlapEvent, policy: FlapPolicy) -> FlapState:
    state = _forgotten(state, event.at_s)
    raised = replace(
        _raised(state, event, policy),
        fixed_s=None,
        relapses=(*state.relapses, event.wall)[-RELAPSES_KEPT_MAX:],
        relapses_s=(*state.relapses_s, event.at_s)[-RELAPSES_KEPT_MAX:],
        total=state.total + 1,
    )
    return _judged(raised, event, policy)


def _verify_failed(state: FlapState, event: FlapEvent, policy: FlapPolicy) -> FlapState:
    raised = replace(_raised(state, event, policy), failed_verifies=state.failed_verifies + 1, fixed_s=None)
    return _judged(raised, event, policy)


def _judged(state: FlapState, event: FlapEvent, policy: FlapPolicy) -> FlapState:
    """Open it where the score, the verifies, or a single try that did not help ask for it."""
    if _is_trial(state):
        return _open(state, event, policy, "trial")
    if state.phase is Phase.OPEN:
        return state
    if state.fast >= policy.fast.suppress:
        return _open(state, event, policy, "fast")
    if state.slow >= policy.slow.suppress:
        return _open(state, event, policy, "slow")
    if state.failed_verifies >= policy.failed_verifies_max:
        return _open(state, event, policy, "verifies")
    return state


def _open(state: FlapState, event: FlapEvent, policy: FlapPolicy, cause: str) -> FlapState:
    score, hold_s = state.fast, policy.fast.hold_s(state.fast)
    if cause == "slow":
        score, hold_s = state.slow, policy.slow.hold_s(state.slow)
    if cause == "trial":
        hold_s = max(2 * state.hold_s, hold_s)
        score = max(state.fast, state.slow)
    # By the clock as it is now, whatever it said then. The pauses themselves blur the habit later.
    writer = likely_writer([event.wall + timedelta(seconds=at_s - event.at_s) for at_s in state.relapses_s])
    return replace(
        state,
        writer=str(writer) if writer and cause != "trial" else state.writer,
        phase=Phase.OPEN,
        opened_wall=event.wall,
        opened_s=event.at_s,
        hold_s=min(policy.hold_max_s, max(hold_s, policy.fast.half_life_s)),
        score=score,
        cause=cause,
        fixed_s=None,
        armed=False,
        trying=False,
        told=False,
    )


def _forgotten(state: FlapState, now_s: float) -> FlapState:
    """Close a half-open one whose fix has lasted for longer than the hold was."""
    if state.phase is Phase.HALF_OPEN and state.fixed_s is not None and now_s - state.fixed_s > state.hold_s:
        return replace(state, phase=Phase.CLOSED, hold_s=0.0, cause="", score=0.0, tried=())
    return state


_CHANGES: Final[Mapping[FlapEventKind, Callable[[FlapState, FlapEvent, FlapPolicy], FlapState]]] = {
    FlapEventKind.RELAPSE: _relapsed,
    FlapEventKind.EXCUSED: lambda state, _event, _policy: replace(state, fixed_s=None),
    FlapEventKind.VERIFY_FAILED: _verify_failed,
    FlapEventKind.REMEDY_FAILED: _remedy_failed,
    FlapEventKind.FIXED: _fixed,
    FlapEventKind.TRIED: _tried,
    FlapEventKind.NOT_MADE: _not_made,
    FlapEventKind.ENDED: lambda state, _event, _policy: replace(state, told=True),
    FlapEventKind.CLEARED: _cleared,
    FlapEventKind.ARMED: lambda state, _event, _policy: replace(state, armed=True),
    FlapEventKind.HELD: _held,
}


@dataclass(frozen=True, slots=True)
class FlapRow:
    """A flap's state with its place, as the store keeps it."""

    fingerprint: str
    site_id: str
    target_id: str
    check_id: str
    state: FlapState

    @property
    def place(self) -> str:
        """Return ``TARGET/CHECK``."""
        return f"{self.target_id}/{self.check_id}"


@dataclass(frozen=True, slots=True)
class FlapUpdate:
    """Events for one flap; the store applies them to what it holds, in its own transaction."""

    fingerprint: str
    site_id: str
    target_id: str
    check_id: str
    events: tuple[FlapEvent, ...]
    policy: FlapPolicy

    def applied(self, row: FlapRow | None) -> FlapRow:
        """Return the row after the events."""
        state = FRESH if row is None else row.state
        for event in self.events:
            state = after(state, event, self.policy)
        return FlapRow(self.fingerprint, self.site_id, self.target_id, self.check_id, state)
