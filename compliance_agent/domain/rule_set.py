"""The rule set: rules in their order of precedence, found through an index, replaced without a pause."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.pattern_index.index import PatternIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_index.index import Picking
    from compliance_agent.domain.rule import Rule

_GROWTH: Final = 4
"""A new level takes in its neighbour while that has no more than so many times its rules."""

_precedence: Final = attrgetter("precedence")


class _Level:
    """One index, and the rules in it."""

    __slots__ = ("index", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self.index = PatternIndex((rule.pattern, rule) for rule in self.rules)


@dataclasses.dataclass(frozen=True, slots=True)
class _State:
    """What a rule set is made of.

    Attributes:
        rules: All rules in order of precedence.
        by_id: The same by id.
        levels: The largest index first; together they hold the enabled rules, and those that are gone.
        gone: Identities of rules that are in a level but not in the set; the level keeps them alive.

    """

    rules: tuple[Rule, ...]
    by_id: Mapping[str, Rule]
    levels: tuple[_Level, ...]
    gone: frozenset[int]


class RuleSet:
    """Rules in their order of precedence.

    Immutable: a change makes another set, which shares what it can, and whoever uses the old one goes on
    undisturbed. So sets are replaced while other threads match, and no match ever sees half of each.

    The index is a few ``PatternIndex`` of falling size. A rule that is added goes into a new small one,
    which takes in its neighbours while they are not much larger; a rule that is taken out stays in its
    index and is left out of answers (the logarithmic method of Bentley and Saxe, J. Algorithms 1, 1980).
    So a change costs little on average, and at worst once in a while as much as indexing everything.

    Attributes:
        matching: Takes a document and returns every enabled rule whose pattern matches, in order of precedence.

    """

    __slots__ = ("_state", "matching")

    def __init__(self, rules: Iterable[Rule]) -> None:
        """Sort and index the rules; ids must be unique (loading sees to that).

        Raises:
            ValueError: Two rules share an id.

        """
        self._hold(_anew(rules))

    def _hold(self, state: _State) -> None:
        self._state = state
        self.matching: Callable[[Mapping[str, JsonValue]], list[Rule]] = (
            state.levels[0].index.matching if self._is_one_index else partial(_matching, state)
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return all rules, disabled ones included, in order of precedence."""
        return self._state.rules

    def __len__(self) -> int:
        """Return how many rules there are, disabled ones included."""
        return len(self._state.rules)

    def get(self, rule_id: str) -> Rule | None:
        """Return the rule of this id, or ``None``."""
        return self._state.by_id.get(rule_id)

    def first(self, document: Mapping[str, JsonValue]) -> Rule | None:
        """Return the enabled rule that goes first, or ``None``."""
        return next(iter(self.matching(document)), None)

    def matching_one_by_one(self, document: Mapping[str, JsonValue]) -> list[Rule]:
        """Answer as ``matching`` does, by asking every pattern itself: the reference for the index."""
        return [rule for rule in self._state.rules if rule.enabled and rule.pattern.matches(document)]

    def picking(self) -> Picking[Rule] | None:
        """Return what ``PatternIndex.picking`` does, or ``None``: rules were added or taken out since indexing."""
        return self._state.levels[0].index.picking() if self._is_one_index else None

    @property
    def _is_one_index(self) -> bool:
        """Tell whether the only index answers just as the set does, without anything to sort or leave out."""
        return len(self._state.levels) == 1 and not self._state.gone

    def with_rule(self, rule: Rule) -> RuleSet:
        """Return a set that has this rule too, in place of one of the same id."""
        return _holding(_added(_removed(self._state, rule.rule_id), rule))

    def without(self, rule_id: str) -> RuleSet:
        """Return a set without the rule of this id."""
        return _holding(_removed(self._state, rule_id))


def _holding(state: _State) -> RuleSet:
    changed = RuleSet.__new__(RuleSet)
    changed._hold(state)  # noqa: SLF001 - a rule set is made here, without indexing it anew
    return changed


def _matching(state: _State, document: Mapping[str, JsonValue]) -> list[Rule]:
    found: list[Rule] = []
    for level in state.levels:
        found += level.index.matching(document)
    found.sort(key=_precedence)
    return [rule for rule in found if id(rule) not in state.gone]


def _anew(rules: Iterable[Rule]) -> _State:
    ordered = tuple(sorted(rules, key=_precedence))
    by_id: dict[str, Rule] = {}
    for rule in ordered:
        if by_id.setdefault(rule.rule_id, rule) is not rule:
            message = f"rule id {rule.rule_id} stands twice in one rule set"
            raise ValueError(message)
    return _State(ordered, by_id, (_Level(rule for rule in ordered if rule.enabled),), frozenset())


def _removed(state: _State, rule_id: str) -> _State:
    rule = state.by_id.get(rule_id)
    if rule is None:
        return state
    at = bisect_left(state.rules, rule.precedence, key=_precedence)
    rules = (*state.rules[:at], *state.rules[at + 1 :])
    by_id = dict(state.by_id)
    del by_id[rule_id]
    gone = state.gone | {id(rule)} if rule.enabled else state.gone
    if len(gone) > len(rules):
        return _anew(rules)
    return _State(rules, by_id, state.levels, gone)


def _added(state: _State, rule: Rule) -> _State:
    if id(rule) in state.gone:  # this very object was taken out before: an answer could not tell the two apart
        rule = dataclasses.replace(rule)
    at = bisect_left(state.rules, rule.precedence, key=_precedence)
    rules = (*state.rules[:at], rule, *state.rules[at:])
    by_id = {**state.by_id, rule.rule_id: rule}
    if not rule.enabled:
        return _State(rules, by_id, state.levels, state.gone)
    fresh = [rule]
    gone = state.gone
    kept = len(state.levels)
    while kept > 1 and len(state.levels[kept - 1].rules) <= _GROWTH * len(fresh):
        kept -= 1
        taken_in = state.levels[kept].rules
        fresh += [one for one in taken_in if id(one) not in gone]
        gone -= {id(one) for one in taken_in}
    level = _Level(sorted(fresh, key=_precedence))
    return _State(rules, by_id, (*state.levels[:kept], level), gone)
