"""The gate: may this remediation run now? A chain of pure decisions over durable memory.

``chain`` has the order; ``flap`` (with ``damping``, ``writers``, ``suppression``), ``tries`` (undone fixes, circuit
breaker, attempts, cooldown, blast limits), ``windows`` and ``people`` (kill switch, waivers, approvals) the parts;
``policy`` the limits. Every answer is a value with a reason, an end, and the command that clears it.
"""

from __future__ import annotations

from compliance_agent.domain.gate.chain import Memory, Wish, all_decisions, decide, horizon_s
from compliance_agent.domain.gate.decision import Allow, Decision, Hold, HoldKind
from compliance_agent.domain.gate.policy import BlastLimits, FlapPolicy, GatePolicy

__all__ = [
    "Allow",
    "BlastLimits",
    "Decision",
    "FlapPolicy",
    "GatePolicy",
    "Hold",
    "HoldKind",
    "Memory",
    "Wish",
    "all_decisions",
    "decide",
    "horizon_s",
]
