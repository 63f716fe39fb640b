"""Two sequential tests: may a canary go on, and has a rule stopped working? One number is kept of all runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class CanaryVerdict(StrEnum):
    """What the canary's runs say so far."""

    GO_ON = "go_on"
    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class CanaryTest:
    """Wald's sequential probability ratio test between a bad and a good rate.

    Attributes:
        bad_rate: A rule that heals only this share must not be enabled.
        good_rate: One that heals this share should be.
        false_accept: Chance to accept at ``bad_rate``, at most about this.
        false_reject: Chance to reject at ``good_rate``, at most about this.

    Source: A. Wald, "Sequential tests of statistical hypotheses", Annals of Mathematical Statistics 16, 1945.

    """

    bad_rate: float = 0.80
    good_rate: float = 0.95
    false_accept: float = 0.01
    false_reject: float = 0.05

    def score(self, successes: int, failures: int) -> float:
        """Return the log likelihood ratio of good against bad; the order of the runs does not matter."""
        gain = math.log(self.good_rate / self.bad_rate)
        loss = math.log((1 - self.good_rate) / (1 - self.bad_rate))
        return successes * gain + failures * loss

    def judge(self, score: float) -> CanaryVerdict:
        """Return what a score means. To be asked after each run, or each batch of them."""
        accept, reject = self.limits()
        if score >= accept:
            return CanaryVerdict.ACCEPT
        if score <= reject:
            return CanaryVerdict.REJECT
        return CanaryVerdict.GO_ON

    def limits(self) -> tuple[float, float]:
        """Return the scores at which the test accepts, and refuses."""
        accept = math.log((1 - self.false_reject) / self.false_accept)
        return accept, math.log(self.false_reject / (1 - self.false_accept))


@dataclass(frozen=True, slots=True)
class DecayTest:
    """Page's cumulative sum test: has a rule that healed ``healthy_rate`` fallen to ``dead_rate``?

    Attributes:
        healthy_rate: What an enabled rule heals.
        dead_rate: What is not worth running.
        limit: The score at which the rule is demoted. At 5 a dead rule is out after 3 runs, and 1,300 healthy runs
            pass between two false alarms (``benchmarks/flywheel.py`` shows both).

    Source: E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954.

    """

    healthy_rate: float = 0.95
    dead_rate: float = 0.70
    limit: float = 5.0

    def step(self, score: float, *, success: bool) -> float:
        """Return the score after one more run. It never falls below 0: a good past excuses nothing."""
        if success:
            return max(0.0, score + math.log(self.dead_rate / self.healthy_rate))
        return score + math.log((1 - self.dead_rate) / (1 - self.healthy_rate))

    def is_out(self, score: float) -> bool:
        """Tell whether the rule has stopped working."""
        return score >= self.limit
