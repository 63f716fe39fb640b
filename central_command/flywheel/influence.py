"""How much one appliance may say about a rule of the fleet: by itself nothing, neither for it nor against it.

An appliance can lie, or be broken in a way of its own. So a rule's runs are kept in sixteen groups, by a hash of rule
and appliance, and a verdict has to stand with any one group left out. A group holds the whole of an appliance: whatever
it reports, it moves its own group, and there is always a look without it. A rule that has run in one group alone is
judged by that one, as nobody else can tell.

What this costs: a dead rule is demoted after four runs on four appliances, instead of three. What it does not stop: an
appliance that claims successes without end slows the demotion of a dead rule; ``RUNS_A_DAY`` bounds how much.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from central_command.flywheel.sequential import CanaryVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central_command.flywheel.sequential import CanaryTest, DecayTest

GROUPS: Final = 16

RUNS_A_DAY: Final = 20
"""Runs of one appliance, the first of each day (UTC, by our clock), that the decay test of a rule hears of."""

RUNS_IN_PROMOTION: Final = 20
"""Runs of one appliance that speak for a pattern; of more, their rate. At a correlation of .3 these are worth 3.0
independent runs, and any number of them 3.3: no honest fleet loses much, and none is held back by its busiest box."""


def group_of(rule_id: str, site_id: str, appliance_id: str) -> int:
    """Return the group of an appliance, 0 to 15: always the same for one rule, and other neighbours for each."""
    return hashlib.sha256(f"group\n{rule_id}\n{site_id}\n{appliance_id}".encode()).digest()[0] % GROUPS


@dataclass(frozen=True, slots=True)
class Decay:
    """The decay test of a rule, with each group left out.

    Attributes:
        score: Of all runs.
        without: Of all runs but those of one group, for each group; empty before the first run.
        groups: Bit mask of the groups that had a run.

    """

    score: float = 0.0
    without: tuple[float, ...] = ()
    groups: int = 0

    def step(self, test: DecayTest, group: int, *, success: bool) -> Decay:
        """Return the test after one more run of a group."""
        before = self.without or (0.0,) * GROUPS
        return Decay(
            score=test.step(self.score, success=success),
            without=tuple(
                one if index == group else test.step(one, success=success) for index, one in enumerate(before)
            ),
            groups=self.groups | 1 << group,
        )

    @property
    def confirmed(self) -> float:
        """Return the score that stands with any one group left out; with a single group, that of all."""
        if self.groups.bit_count() < 2:  # noqa: PLR2004 - a second one can confirm
            return self.score
        return min(self.without)


def canary_verdict(test: CanaryTest, successes: Sequence[int], failures: Sequence[int]) -> CanaryVerdict:
    """Return what a canary's runs say, and go on saying with any one group left out.

    Args:
        test: The test.
        successes: Runs that lasted, by group.
        failures: Runs that failed or relapsed, by group.

    """
    good, bad = sum(successes), sum(failures)
    used = [(s, f) for s, f in zip(successes, failures, strict=True) if s + f]
    left_out = used if len(used) > 1 else [(0, 0)]
    verdicts = {test.judge(test.score(good - s, bad - f)) for s, f in left_out}
    return verdicts.pop() if len(verdicts) == 1 else CanaryVerdict.GO_ON
