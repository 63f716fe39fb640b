"""The gate's limits, as the settings give them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Final, Literal

from compliance_agent.domain.gate.damping import FAST, SLOW

if TYPE_CHECKING:
    from compliance_agent.domain.gate.damping import Damping
    from compliance_agent.domain.gate.windows import MaintenanceWindow

Disruption = Literal["none", "low", "medium", "high"]
DISRUPTIONS: Final[tuple[Disruption, ...]] = ("none", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class FlapPolicy:
    """How a fix that comes back is damped.

    Attributes:
        fast: The track for loops of minutes and hours.
        slow: The track for daily loops.
        hold_max_s: Longest hold, however often it was doubled, in seconds.
        failed_verifies_max: Failed verifies in a row that open it whatever the score.

    """

    fast: Damping = FAST
    slow: Damping = SLOW
    hold_max_s: float = 604_800.0
    failed_verifies_max: int = 3


@dataclass(frozen=True, slots=True)
class BlastLimits:
    """Most remediations, whatever the rules ask for. Each is a bucket of so many tokens; see ``limits``.

    ``target_hour``: begun on one target within an hour; the others likewise.
    """

    target_hour: int = 20
    target_day: int = 60
    runbook_hour: int = 20
    runbook_day: int = 60
    site_hour: int = 60
    site_day: int = 240

    def lowered_by(self, other: BlastLimits) -> BlastLimits:
        """Return the lower of each: the control plane may lower a limit, never raise it."""
        return BlastLimits(**{one.name: min(getattr(self, one.name), getattr(other, one.name)) for one in fields(self)})


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The gate's limits.

    Attributes:
        cooldown_s: Seconds between two attempts of one rule on one target and check. 300 is the
            figure that the earlier system meant and never enforced.
        attempts_max: Failed attempts within ``window_s`` after which a person is told instead.
        window_s: How far back failed attempts and an undo count, in seconds.
        breaker_failures: Attempts on one target that fail in a row, whatever the check, before it is left alone.
        breaker_pause_s: For how long, in seconds; then one attempt is let through.
        approval_from: Least disruption of a runbook for which a person is asked; ``None`` asks for reboots only.
        flap: How a fix that comes back is damped.
        limits: Most remediations an hour and a day.
        windows: When remediation may run; a target to which none applies may be mended at any time.

    """

    cooldown_s: int = 300
    attempts_max: int = 3
    window_s: int = 86_400
    breaker_failures: int = 5
    breaker_pause_s: int = 3_600
    approval_from: Disruption | None = "high"
    flap: FlapPolicy = field(default_factory=FlapPolicy)
    limits: BlastLimits = field(default_factory=BlastLimits)
    windows: tuple[MaintenanceWindow, ...] = ()

    def needs_person(self, disruption: Disruption, reboot: str) -> bool:
        """Tell whether a runbook of these effects never runs without a person's word."""
        if reboot != "never":
            return True
        return self.approval_from is not None and DISRUPTIONS.index(disruption) >= DISRUPTIONS.index(self.approval_from)

    def lowered(self, limits: BlastLimits) -> GatePolicy:
        """Return the policy with limits lowered by what the control plane says."""
        return replace(self, limits=self.limits.lowered_by(limits))
