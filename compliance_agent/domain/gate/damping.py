"""Exponential damping, as BGP routers do it to routes that flap (RFC 2439; FRR's and Cisco's defaults).

A penalty is added at each flap and halves every half-life. Suppression begins at or above ``suppress`` and ends when
the penalty has decayed to ``reuse``. A steady loop of period P is caught iff P is shorter than the half-life, where
suppress is twice the penalty; hence two tracks: a fast one for loops of minutes and hours, a slow one for daily ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

PENALTY: Final = 1_000.0
"""Added for each relapse and each failed verify (RFC 2439's customary figure)."""


@dataclass(frozen=True, slots=True)
class Damping:
    """One track.

    Attributes:
        half_life_s: Seconds in which a penalty halves.
        suppress: Suppression begins at or above this.
        reuse: It ends when the penalty has decayed to this.
        ceiling: The penalty never exceeds this.

    """

    half_life_s: float
    suppress: float = 2_000.0
    reuse: float = 750.0
    ceiling: float = 12_000.0

    def decayed(self, penalty: float, seconds: float) -> float:
        """Return what is left of a penalty after some seconds; a negative span decays nothing."""
        return penalty * math.exp2(-max(0.0, seconds) / self.half_life_s)

    def raised(self, penalty: float, seconds: float) -> float:
        """Return the penalty after one more flap, ``seconds`` after the last one."""
        return min(self.ceiling, self.decayed(penalty, seconds) + PENALTY)

    def hold_s(self, penalty: float) -> float:
        """Return after how many seconds this penalty has decayed to ``reuse``."""
        return self.half_life_s * math.log2(penalty / self.reuse) if penalty > self.reuse else 0.0


FAST: Final = Damping(half_life_s=21_600.0)
"""6 h: catches every loop shorter than that; a Group Policy refresh (90 to 120 min) at its third return."""

SLOW: Final = Damping(half_life_s=129_600.0)
"""36 h: catches a daily loop at its third return."""
