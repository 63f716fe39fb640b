"""Whether a flap holds, and what people are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.gate.decision import Allow, Hold, HoldKind
from compliance_agent.domain.gate.flap import Phase
from compliance_agent.domain.gate.words import plural, span, when

if TYPE_CHECKING:
    from compliance_agent.domain.gate.decision import Decision
    from compliance_agent.domain.gate.flap import FlapState
    from compliance_agent.domain.gate.policy import FlapPolicy
    from compliance_agent.domain.timeline import Instant


def judge(state: FlapState, policy: FlapPolicy, *, digest: str, unattended: bool, place: str, now: Instant) -> Decision:
    """Tell whether a flap holds.

    Args:
        state: As it is, relapses seen now included.
        policy: How it is damped.
        digest: Rule and runbook as they are now.
        unattended: Whether the runbook may be tried again without a person.
        place: ``TARGET/CHECK``, for the command that clears it.
        now: The turn's instant.

    """
    if state.phase is not Phase.OPEN:
        return Allow()
    if state.armed:
        return Allow("one try after a pause")
    clear = f"compliance-agent flaps clear {place} --reason ..."
    by_person = state.cause == "person" and not state.trying
    if not unattended and not by_person:
        return Hold(HoldKind.FLAP, f"{reason(state, policy)}; a runbook that disrupts is not tried again alone",
                    None, clear)  # fmt: skip
    if state.digest and digest not in {state.digest, *state.tried} and not by_person:
        return Allow("one try, since the rule or the runbook has changed")
    if now.elapsed_s >= state.until_s:
        return Allow("one try after a pause")
    return Hold(HoldKind.FLAP, reason(state, policy), now.wall_at(state.until_s), clear)


def reason(state: FlapState, policy: FlapPolicy) -> str:
    """Return one plain sentence: what, how often, score and limit, likely writer. The same at each scan."""
    if state.trying:
        return "the single try has begun, and its end is not known"
    if state.cause == "person":
        return "a person has put it on hold"
    if state.cause == "verifies":
        return f"{state.failed_verifies} fixes in a row did not pass the fresh check"
    limit = policy.slow.suppress if state.cause == "slow" else policy.fast.suppress
    if state.relapses:
        times = plural(len(state.relapses), "time")
        within = f" in {span(state.relapses_s[-1] - state.relapses_s[0])}" if state.total > 1 else ""
        text = f"it came back {times}{within} after verified fixes (score {state.score:.0f}, limit {limit:.0f})"
    else:
        text = f"fixes do not hold (score {state.score:.0f}, limit {limit:.0f})"
    if state.cause == "trial":
        text += f"; the single try did not last, so the pause is {span(state.hold_s)} now"
    return f"{text}; something else changes it back" + (f", probably {state.writer}" if state.writer else "")


def notice(state: FlapState, policy: FlapPolicy, *, place: str, now: Instant, unattended: bool = True) -> str:
    """Return the whole notice for people: reason, the next single try, the command that clears it."""
    next_try = f"Next single try {when(now.wall_at(state.until_s))}." if unattended else "It is not tried again alone."
    return (
        f"Paused: {place}: {reason(state, policy)}. {next_try} Clear: compliance-agent flaps clear {place} --reason ..."
    )
