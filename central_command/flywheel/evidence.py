"""How strong the runs of one fix speak for it: rates, bounds, and what clustering by appliance takes away.

Runs of one appliance resemble each other (the same image, the same clinic's habits), so a hundred runs of
five appliances say less than a hundred of a hundred. Everything here is a pure function of tallies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Z_99: Final = 2.3263478740408408
"""99 % quantile of the standard normal distribution: a lower bound errs to one side only."""

_GRID: Final = 64


@dataclass(frozen=True, slots=True)
class Tally:
    """Runs of one fix on one appliance.

    Attributes:
        successes: Runs that were verified and stayed so (durable).
        failures: Runs that failed, failed their verification, or relapsed.

    """

    successes: int
    failures: int

    @property
    def runs(self) -> int:
        """Return how many runs count."""
        return self.successes + self.failures

    def at_most(self, runs: int) -> Tally:
        """Return a tally of no more runs, at no better a rate: one appliance must not outweigh the others."""
        if self.runs <= runs:
            return self
        successes = self.successes * runs // self.runs
        return Tally(successes, runs - successes)


def wilson_lower(successes: float, runs: float, z: float = Z_99) -> float:
    """Return the lower end of Wilson's score interval for a rate, 0 without runs.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    if runs <= 0:
        return 0.0
    rate = successes / runs
    middle = rate + z * z / (2 * runs)
    spread = z * math.sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs))
    return max(0.0, (middle - spread) / (1 + z * z / runs))


def e_value(successes: float, failures: float, null_rate: float) -> float:
    """Return the evidence against "the true rate is at most ``null_rate``"; infinite where a float cannot hold it.

    A mixture of likelihood ratios: each of 64 equally spaced rates above ``null_rate``, with equal weight, against
    ``null_rate`` itself. Under any true rate up to ``null_rate`` each ratio is a non-negative supermartingale that
    starts at 1, and so is their mean. By Ville's inequality the chance that it *ever* reaches ``x``, however often
    one looks, is at most ``1 / x``. Fractional counts (shrunk for clustering) temper the likelihood.

    Sources: J. Ville, "Etude critique de la notion de collectif", 1939; A. Ramdas et al., "Game-theoretic statistics
    and safe anytime-valid inference", Statistical Science 38, 2023.

    Raises:
        ValueError: A count is negative, or ``null_rate`` is not between 0 and 1.

    """
    if successes < 0 or failures < 0 or not 0 < null_rate < 1:
        message = f"no evidence can be computed of {successes} successes, {failures} failures against {null_rate}"
        raise ValueError(message)
    width = (1 - null_rate) / _GRID
    logs = [
        successes * math.log(rate / null_rate) + failures * math.log((1 - rate) / (1 - null_rate))
        for rate in (null_rate + width * (step + 0.5) for step in range(_GRID))
    ]
    highest = max(logs)
    logarithm = highest + math.log(math.fsum(math.exp(one - highest) for one in logs) / _GRID)
    return math.exp(logarithm) if logarithm < math.log(1e300) else math.inf


def intraclass_correlation(tallies: Sequence[Tally]) -> float | None:
    """Return how alike runs of one appliance are: 0 for independent, 1 for always the same; ``None`` if unknowable.

    The analysis-of-variance estimator for binary outcomes in clusters of unequal size, cut to 0..1. It needs two
    appliances, one of them with two runs, and both outcomes: all successes tell nothing about correlation.

    Source: M. S. Ridout, C. G. B. Demetrio, D. Firth, "Estimating intraclass correlation for binary data",
    Biometrics 55, 1999.
    """
    used = [tally for tally in tallies if tally.runs]
    clusters, runs = len(used), sum(tally.runs for tally in used)
    successes = sum(tally.successes for tally in used)
    if clusters < 2 or runs <= clusters or successes in (0, runs):  # noqa: PLR2004 - a pair is the least to compare
        return None
    within_sum = math.fsum(tally.successes * tally.failures / tally.runs for tally in used)
    total_sum = successes * (runs - successes) / runs
    between = (total_sum - within_sum) / (clusters - 1)
    within = within_sum / (runs - clusters)
    typical = (runs - sum(tally.runs**2 for tally in used) / runs) / (clusters - 1)
    if (spread := between + (typical - 1) * within) <= 0:
        return None
    return min(1.0, max(0.0, (between - within) / spread))


def design_effect(tallies: Iterable[Tally], correlation: float) -> float:
    """Return by how much clustering inflates the variance of a mean: ``1 + (m - 1) * correlation``, at least 1.

    ``m`` is the mean size of the cluster that a run stands in (sum of squares over sum), which is the right one for
    unequal clusters.

    Source: L. Kish, "Survey Sampling", 1965, section 5.4.
    """
    sizes = [tally.runs for tally in tallies if tally.runs]
    if not sizes:
        return 1.0
    size = sum(one * one for one in sizes) / sum(sizes)
    return 1 + (size - 1) * correlation
