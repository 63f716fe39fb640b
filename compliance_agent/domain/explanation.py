"""Why rules do, or do not, match one document: the winner, those it shadows, and the nearest misses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.counterfactual import counterfactual, distance, unsuggested
from compliance_agent.domain.pattern_change import pattern_change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.counterfactual import Counterfactual
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_change import PatternChange
    from compliance_agent.domain.pattern_nodes import Clause
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.rule_set import RuleSet

COMPARED_MAX: Final = 50
"""Most rules whose change is worked out in order to rank them; those beyond keep their precedence."""

COMPARED_BUDGET: Final = 30_000
"""Most steps for the change of one of them, so that all end within seconds, however large the document is."""

_COST_UNKNOWN: Final = 10**9


@dataclass(frozen=True, slots=True)
class RuleExplanation:
    """One rule against one document.

    Attributes:
        rule: The rule.
        clauses: Every clause with its verdict, in the pattern's order.
        matches: True when the pattern matches and the rule is enabled.
        shadowed_by: Id of the rule that goes first, when this one matches too; else ``None``.
        change: The smallest change of the document that makes the pattern match; ``None`` when no
            certain one was found, or none is needed.
        unsuggested: Failing clauses that no value could be made for.
        pattern_change: The smallest change of the pattern; ``None`` when there is none, or none is needed.

    """

    rule: Rule
    clauses: tuple[Clause, ...]
    matches: bool
    shadowed_by: str | None = None
    change: Counterfactual | None = None
    unsuggested: tuple[Clause, ...] = ()
    pattern_change: PatternChange | None = None

    @property
    def failing(self) -> tuple[Clause, ...]:
        """Return the clauses that do not hold."""
        return tuple(clause for clause in self.clauses if not clause.holds)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The rules against one document, the telling ones first.

    Attributes:
        winner: The enabled rule that matches and goes first, or ``None``.
        shadowed: Rules that match too, in order of precedence.
        nearest: Rules that do not match, the nearest first.
        shadowed_more: How many more match.
        nearest_more: How many more do not match.

    """

    winner: RuleExplanation | None
    shadowed: tuple[RuleExplanation, ...]
    nearest: tuple[RuleExplanation, ...]
    shadowed_more: int = 0
    nearest_more: int = 0


def explain_rule(
    rule: Rule, document: Mapping[str, JsonValue], *, winner: Rule | None, change: Counterfactual | None = None
) -> RuleExplanation:
    """Explain one rule; ``winner`` is the one that goes first for this document, ``change`` is known already."""
    clauses = tuple(rule.pattern.explain(document))
    if rule.pattern.matches(document):
        by = winner.rule_id if rule.enabled and winner is not None and winner is not rule else None
        return RuleExplanation(rule, clauses, matches=rule.enabled, shadowed_by=by)
    change = change or counterfactual(rule.pattern, document)
    return RuleExplanation(
        rule,
        clauses,
        matches=False,
        change=change,
        unsuggested=() if change else tuple(unsuggested(rule.pattern, document)),
        pattern_change=pattern_change(rule.pattern, document),
    )


def explain_rules(rules: RuleSet, document: Mapping[str, JsonValue], *, limit: int) -> Explanation:
    """Explain the winner, and at most ``limit`` rules each of those it shadows and of the nearest misses.

    A miss is nearer the less of it fails (``counterfactual.distance``: another check is farther than another
    fact), then when any of it holds, then the less its change costs, then by precedence.
    """
    matching = rules.matching(document)
    winner = matching[0] if matching else None
    matched = {rule.rule_id for rule in matching}
    misses = [rule for rule in rules.rules if rule.rule_id not in matched]
    return Explanation(
        winner=explain_rule(winner, document, winner=winner) if winner else None,
        shadowed=tuple(explain_rule(rule, document, winner=winner) for rule in matching[1 : limit + 1]),
        nearest=tuple(
            explain_rule(rule, document, winner=winner, change=change)
            for rule, change in _nearest(misses, document, limit)
        ),
        shadowed_more=max(0, len(matching) - 1 - limit),
        nearest_more=max(0, len(misses) - limit),
    )


def _nearest(
    misses: list[Rule], document: Mapping[str, JsonValue], limit: int
) -> list[tuple[Rule, Counterfactual | None]]:
    """Return the nearest with the change of each, where it was worked out."""
    far = {rule.rule_id: distance(rule.pattern, document) for rule in misses}
    ranked = sorted(misses, key=lambda rule: (far[rule.rule_id], rule.precedence))
    if len(ranked) > limit > 0:
        worst = far[ranked[limit - 1].rule_id]
        ranked = [rule for rule in ranked if far[rule.rule_id] <= worst]
    changes = {
        rule.rule_id: counterfactual(rule.pattern, document, budget=COMPARED_BUDGET)
        for rule in ranked[: COMPARED_MAX if limit else 0]
    }

    def cost(rule: Rule) -> int:
        change = changes.get(rule.rule_id)
        return change.cost if change else _COST_UNKNOWN

    ranked.sort(key=lambda rule: (far[rule.rule_id], cost(rule), rule.precedence))
    return [(rule, changes.get(rule.rule_id)) for rule in ranked[:limit]]
