"""Rules of one priority and source of which some incident matches two, and which then do different things.

Which of the two goes first hangs on their ids alone. Told only with a witness: an incident that was made,
that both patterns match, that the checks could report, and that no earlier rule takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, groupby, islice
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.constraints import BudgetError
from compliance_agent.domain.counterfactual_search import BudgetSpentError, Search
from compliance_agent.domain.json_value import Kind, equal, kind_of
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.proof import possible
from compliance_agent.domain.subsumption import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.rule_set import RuleSet
    from compliance_agent.domain.rule_vocabulary import Vocabulary

PAIRS_MAX: Final = 1_000_000
"""Most pairs of rules that are looked at; less than a second of work."""

TRIED_MAX: Final = 5_000
"""Most pairs for which a witness is looked for; about two seconds of work."""

STEPS_MAX: Final = 10_000
"""Most steps of the search for one witness."""

_NESTED: Final = frozenset({Kind.OBJECT, Kind.ARRAY})


@dataclass(frozen=True, slots=True)
class Tie:
    """Two rules and an incident that both match; ``rule`` goes first because of its id."""

    rule: Rule
    other: Rule
    witness: Mapping[str, JsonValue]


def ties(rules: RuleSet, vocabulary: Vocabulary) -> Iterator[Tie]:
    """Yield for each rule the first other one with which it ties. Of very many rules not all pairs are tried."""
    tied: set[str] = set()
    tried = 0
    for rule, other in islice(_pairs(rules), PAIRS_MAX):
        if rule.rule_id in tied or rule.action == other.action or _differ(rule, other):
            continue
        tried += 1
        if tried > TRIED_MAX:
            return
        witness = _witness(rule, other, vocabulary)
        if witness is not None and rules.first(witness) is rule:
            tied.add(rule.rule_id)
            yield Tie(rule, other, witness)


def _pairs(rules: RuleSet) -> Iterator[tuple[Rule, Rule]]:
    enabled = (rule for rule in rules.rules if rule.enabled)
    for _, alike in groupby(enabled, key=lambda rule: (rule.priority, rule.source)):
        yield from combinations(tuple(alike), 2)


def _differ(rule: Rule, other: Rule) -> bool:
    """Tell whether the two ask for different scalars in one field: what is quick to see."""
    for key, wanted in rule.pattern.source.items():
        if key in other.pattern.source and not key.startswith("$"):
            also = other.pattern.source[key]
            if kind_of(wanted) not in _NESTED and kind_of(also) not in _NESTED and not equal(wanted, also):
                return True
    return False


def _witness(rule: Rule, other: Rule, vocabulary: Vocabulary) -> Mapping[str, JsonValue] | None:
    """Return an incident that both rules match; ``None`` when none was found that checks could report."""
    try:
        both = compile_pattern({"$and": [dict(rule.pattern.source), dict(other.pattern.source)]})
        place = place_of(both)
        if not possible(place) or any(True for _ in vocabulary.doubts(rule, place)):
            return None
        for made in Search(STEPS_MAX).solve((both.root, True), {}, ()):
            if isinstance(made, Mapping) and rule.pattern.matches(made) and other.pattern.matches(made):
                return made
    except (PatternError, BudgetError, BudgetSpentError, RecursionError):
        pass
    return None
