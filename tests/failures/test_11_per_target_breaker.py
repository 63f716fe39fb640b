"""Failure 11: one dead target's logins tripped a global switch, and nothing was healed anywhere.

The circuit breaker is per target: the machine on which everything fails is left alone, the others are not.
"""

from __future__ import annotations

from compliance_agent.domain.gate import Allow, GatePolicy, Hold, HoldKind, Memory, decide
from compliance_agent.domain.outcome import OutcomeKind
from tests.support.gate import MINUTE, WISH, a_try, instant


def test_one_dead_target_holds_up_no_other():
    dead = [a_try(n * MINUTE, OutcomeKind.FAILED, check_id=f"LIN-X-{n:03}") for n in range(5)]
    held = decide(GatePolicy(), WISH, Memory(tries=dead), now=instant(10 * MINUTE))
    assert isinstance(held, Hold)
    assert held.kind is HoldKind.BREAKER
    elsewhere = [a_try(n * MINUTE, OutcomeKind.FAILED, check_id=f"LIN-X-{n:03}", target_id="srv02") for n in range(5)]
    assert decide(GatePolicy(), WISH, Memory(tries=elsewhere), now=instant(10 * MINUTE)) == Allow()
