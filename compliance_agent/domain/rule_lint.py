"""What is doubtful about a set of rules, found without any incident. Nothing here is a guess.

A finding is an ``error`` when what the rule asks for certainly never happens: it is set aside, or an
earlier rule with another action takes every incident that it matches. It is a ``warning`` when it
costs nothing, or hangs on what else the appliance has: a rule that is merely superfluous, an order
that hangs on ids, a field that no check of the catalogue reports. It is an ``info`` when it may well be
meant so: two rules of one priority that merely overlap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.constraints import BudgetError
from compliance_agent.domain.pattern_nodes import join_path, show
from compliance_agent.domain.proof import possible
from compliance_agent.domain.rule_overlap import Relation, related_rules
from compliance_agent.domain.rule_ties import ties
from compliance_agent.domain.rule_vocabulary import Vocabulary
from compliance_agent.domain.subsumption import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.constraints import Place
    from compliance_agent.domain.rule import QuarantinedRule, Rule
    from compliance_agent.domain.rule_overlap import Related
    from compliance_agent.domain.rule_set import RuleSet
    from compliance_agent.domain.rule_ties import Tie


class FindingKind(StrEnum):
    """What a finding is about."""

    REFUSED = "refused"
    """The rule is set aside: it is malformed, contradictory, or cannot be carried out."""
    DUPLICATE = "duplicate"
    """An earlier rule matches the very same incidents."""
    SHADOWED = "shadowed"
    """An earlier rule matches every incident that this one matches."""
    TIE = "tie"
    """It goes before a more general rule only because of its id."""
    OVERLAP = "overlap"
    """For some incidents it goes before a rule with another action only because of its id."""
    DEAD_ALTERNATIVE = "dead_alternative"
    """A part of an ``$or`` can never hold."""
    UNKNOWN_FIELD = "unknown_field"
    """No incident, or no incident of the checks that the rule is for, has this field."""
    UNKNOWN_VALUE = "unknown_value"
    """No check has this value, or this combination of values."""
    WRONG_TYPE = "wrong_type"
    """The checks report this fact, but never as what the rule compares it with."""


class Severity(StrEnum):
    """How sure it is that the rule does not do what was meant."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubtful thing about one rule.

    Attributes:
        kind: What it is about.
        severity: ``error`` when what the rule asks for certainly never happens.
        rule_id: Which rule.
        place: ``file:line`` of the rule, for people.
        message: What is the matter, one sentence.
        hint: What to do, one sentence; may be empty.
        other_rule_id: The other rule that is involved; empty when there is none.

    """

    kind: FindingKind
    severity: Severity
    rule_id: str
    place: str
    message: str
    hint: str = ""
    other_rule_id: str = ""


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found.

    Attributes:
        findings: In order of file and line, then of kind.
        complete: ``False`` when there were too many rules to compare each with each.

    """

    findings: tuple[Finding, ...]
    complete: bool = True

    @property
    def has_errors(self) -> bool:
        """Tell whether a finding is an error."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


_LINE: Final = re.compile(r"^(.*?):([0-9]+)(?::([0-9]+))?$", re.DOTALL)


def lint(rules: RuleSet, quarantined: Iterable[QuarantinedRule], catalogue: Catalogue) -> LintReport:
    """Return what is doubtful about the rules. Disabled ones are not judged: they never match.

    Args:
        rules: Those that may act.
        quarantined: Those that were set aside.
        catalogue: Says which checks there are and what facts they report.

    """
    findings = [_refused(rule) for rule in quarantined]
    enabled = [rule for rule in rules.rules if rule.enabled]
    related, complete = related_rules(enabled)
    findings += (_of_relation(one) for one in related)
    vocabulary = Vocabulary(catalogue)
    for rule in enabled:
        findings += _of_pattern(rule, vocabulary)
    told = {finding.rule_id for finding in findings}
    findings += (_of_tie(tie) for tie in ties(rules, vocabulary) if tie.rule.rule_id not in told)
    return LintReport(tuple(sorted(findings, key=_order)), complete)


def _order(finding: Finding) -> tuple[str, int, int, str, str, str]:
    found = _LINE.match(finding.place)
    file, line, column = (found[1], int(found[2]), int(found[3] or 0)) if found else (finding.place, 0, 0)
    return (file, line, column, finding.rule_id, finding.kind, finding.message)


def _refused(rule: QuarantinedRule) -> Finding:
    return Finding(FindingKind.REFUSED, Severity.ERROR, rule.rule_id, rule.place, f"set aside: {rule.reason}")


def _of_relation(related: Related) -> Finding:
    rule, other = related.rule, related.other
    if related.relation is Relation.BEFORE_BY_ID:
        message = f"goes before {other.rule_id} only because of its id: both have priority {rule.priority}, "
        message += f"and {other.rule_id} ({other.action}) matches every incident that this rule matches"
        hint = "give the rule that shall go first a lower priority number"
        return Finding(FindingKind.TIE, Severity.WARNING, rule.rule_id, rule.place, message, hint, other.rule_id)
    same_action = rule.action == other.action
    severity = Severity.WARNING if same_action else Severity.ERROR
    ending = "its action is the same" if same_action else f"its action is {other.action}"
    if related.relation is Relation.SAME:
        kind, hint = FindingKind.DUPLICATE, "remove one of the two, or tell them apart by their patterns"
        message = f"matches the same incidents as {other.rule_id}, which goes first; {ending}"
    else:
        kind, hint = FindingKind.SHADOWED, f"give it a lower priority number than {other.priority}, or remove it"
        message = f"is never dispatched: {other.rule_id} goes first and matches every incident of it; {ending}"
    return Finding(kind, severity, rule.rule_id, rule.place, message, hint, other.rule_id)


def _of_tie(tie: Tie) -> Finding:
    rule, other = tie.rule, tie.other
    message = f"both this rule and {other.rule_id} ({other.action}) match {show(tie.witness)}; it goes before "
    message += f"{other.rule_id} only because of its id: both have priority {rule.priority}"
    hint = "if the order matters, give the rule that shall go first a lower priority number"
    return Finding(FindingKind.OVERLAP, Severity.INFO, rule.rule_id, rule.place, message, hint, other.rule_id)


def _of_pattern(rule: Rule, vocabulary: Vocabulary) -> Iterator[Finding]:
    try:
        place = place_of(rule.pattern)
        if not possible(place):
            return
        doubts = [(FindingKind(doubt.kind), doubt.message, doubt.hint) for doubt in vocabulary.doubts(rule, place)]
        doubts += [
            (FindingKind.DEAD_ALTERNATIVE, message, "take it out, or mend it") for message in _dead_alternatives(place)
        ]
    except (BudgetError, RecursionError):
        return
    for kind, message, hint in dict.fromkeys(doubts):
        yield Finding(kind, Severity.WARNING, rule.rule_id, rule.place, message, hint)


def _dead_alternatives(place: Place, path: str = "") -> Iterator[str]:
    for choice in place.choices:
        for number, part in enumerate(choice.parts):
            if not possible(place.assuming(part, without=place.choices)):
                where = join_path(path, "$or")
                yield f"alternative {number} of {where} can never hold together with the rest of the pattern"
    for key, field in (place.fields or {}).items():
        yield from _dead_alternatives(field, join_path(path, key))
