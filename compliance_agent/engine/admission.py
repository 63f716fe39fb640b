"""Admission: which of the rules that were read may be dispatched at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.rule import QuarantinedRule
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.engine.dispatch import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.rule import Rule


def refusal(rule: Rule, catalogue: Catalogue) -> str:
    """Return why the rule must not be dispatched, or an empty string."""
    handler = HANDLERS.get(rule.action.prefix)
    if handler is None:
        return f"unknown handler prefix {rule.action.prefix!r}; known: {', '.join(HANDLERS)}"
    return handler.refusal(rule.action.argument, catalogue)


def admit(rules: Iterable[Rule], catalogue: Catalogue) -> tuple[RuleSet, tuple[QuarantinedRule, ...]]:
    """Split rules into those that may act and those that are set aside with a reason."""
    admitted: list[Rule] = []
    quarantined: list[QuarantinedRule] = []
    for rule in rules:
        reason = refusal(rule, catalogue)
        if reason:
            quarantined.append(QuarantinedRule(rule.rule_id, rule.source, reason, str(rule.action), rule.place))
        else:
            admitted.append(rule)
    return RuleSet(admitted), tuple(quarantined)
