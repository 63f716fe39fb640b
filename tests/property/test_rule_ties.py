"""Ties between rules are certain: both rules match the incident that is told, and no earlier one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import Action, Rule
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.domain.rule_ties import ties
from compliance_agent.domain.rule_vocabulary import Vocabulary
from tests.support.pattern_strategies import random_incident, random_pattern, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.constraints import Place
    from compliance_agent.domain.rule_vocabulary import Doubt


class AllIsReported(Vocabulary):
    """Checks that could report any incident."""

    def __init__(self) -> None:
        """Need no catalogue."""

    def doubts(self, rule: Rule, place: Place) -> Iterator[Doubt]:
        """Yield nothing."""
        del rule, place
        yield from ()


@pytest.mark.parametrize("seed", range(6))
def test_a_tie_is_told_with_an_incident_that_shows_it(seed) -> None:
    rng = seeded(f"ties {seed}")
    incidents = [random_incident(rng) for _ in range(4)]
    rules = RuleSet(
        Rule(
            f"R-{number}",
            compile_pattern(random_pattern(rng, rng.choice(incidents)), contradictory_too=True),
            Action("alert", rng.choice("xyz")),
            priority=rng.randrange(3),
        )
        for number in range(40)
    )
    found = list(ties(rules, AllIsReported()))
    assert found
    for tie in found:
        assert rules.matching_one_by_one(tie.witness)[0] is tie.rule
        assert tie.other in rules.matching_one_by_one(tie.witness)
        assert tie.other.action != tie.rule.action
        assert (tie.other.priority, tie.other.source) == (tie.rule.priority, tie.rule.source)
