"""Rules that other rules take in: hidden ones, duplicates, and orders that hang on ids alone.

Comparing each rule with each would be quadratic, so rules are found by something that every rule which
they take in must have too: an equal value at some place, a prefix, or a field at all.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from math import floor
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from compliance_agent.domain.constraints import ABSENT, NUMBER, OBJECT, STRING, BudgetError, Place
from compliance_agent.domain.json_value import number_in
from compliance_agent.domain.operators import Missing
from compliance_agent.domain.proof import entails, possible
from compliance_agent.domain.subsumption import STEPS_MAX, implies, place_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.text_constraints import Interval

Keys: TypeAlias = "tuple[str, ...]"

COMPARISONS_MAX: Final = 10_000_000
"""Most pairs of rules that are looked at; some seconds of work."""

PROOFS_MAX: Final = 200_000
"""Most proofs that are tried."""

_LISTED_MAX: Final = 64
"""Most values at one place under which a rule is filed."""

_Mark: TypeAlias = "tuple[str, Keys, Any]"
"""What rules are filed under: how, at which place, and with which value or text."""

_VALUE: Final = "value"
_PREFIX: Final = "prefix"
_RANGE: Final = "range"
_PRESENT: Final = "present"
_ANYTHING: Final = ("anything", (), None)


class Relation(Enum):
    """How a rule is related to another."""

    SAME = "same"
    """The other goes first and matches the same incidents."""
    HIDDEN = "hidden"
    """The other goes first and matches these incidents and more."""
    BEFORE_BY_ID = "before_by_id"
    """The other goes next only by its id, matches these incidents and more, and does something else."""


@dataclass(frozen=True, slots=True)
class Related:
    """A rule, and another that matches every incident that it matches."""

    rule: Rule
    other: Rule
    relation: Relation


@dataclass(slots=True)
class _Profile:
    """What every incident has that a rule matches.

    Attributes:
        rule: Which rule.
        position: Its place in the order of precedence.
        values: Places that hold one of a few values (by key), those values.
        single: The same as pairs, where it is one value.
        prefixes: Places that hold a text with a known start.
        ranges: Places that hold a number between bounds.
        points: Places that hold a number, one that it can be, or that it can be as near to as one likes.
        present: Places that are there.

    """

    rule: Rule
    position: int
    values: dict[Keys, frozenset[Hashable]] = field(default_factory=dict)
    single: frozenset[tuple[Keys, Hashable]] = frozenset()
    prefixes: dict[Keys, str] = field(default_factory=dict)
    ranges: dict[Keys, Interval[int | Decimal]] = field(default_factory=dict)
    points: dict[Keys, int | Decimal] = field(default_factory=dict)
    present: list[Keys] = field(default_factory=list)
    place: Place | None = None


def related_rules(rules: Sequence[Rule]) -> tuple[list[Related], bool]:
    """Return for each rule the first that hides it, else the first that it precedes only by its id.

    Args:
        rules: Enabled ones, in order of precedence.

    Returns:
        What was found, all of it proven; and whether every rule was compared with all that matter.

    """
    profiles = [_profile(rule, position) for position, rule in enumerate(rules)]
    search = _Search(profiles)
    found = []
    try:
        for profile in profiles:
            related = search.first_related(profile)
            if related is not None:
                found.append(related)
    except BudgetError:
        return found, False
    return found, True


def _profile(rule: Rule, position: int) -> _Profile:
    profile = _Profile(rule, position)
    try:
        place = place_of(rule.pattern)
        if possible(place):
            profile.values = _values(place)
            for keys, inner in _needed(place, ()):
                profile.present.append(keys)
                _note(profile, keys, inner)
            certain = set(profile.present)
            profile.present += sorted(_needed_by_parts(place, ()) - certain)
    except (BudgetError, RecursionError):
        pass  # it is filed under nothing and so compared with little
    for keys, few in profile.values.items():
        number = number_in(next(iter(few)))
        if number is not None:
            profile.points.setdefault(keys, number)
    profile.single = frozenset((keys, next(iter(few))) for keys, few in profile.values.items() if len(few) == 1)
    return profile


def _note(profile: _Profile, keys: Keys, place: Place) -> None:
    if place.finite is not None:
        value = next(iter(place.finite.values()))
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            profile.points[keys] = value
    elif place.kinds == STRING and place.text is not None and place.text.prefix:
        profile.prefixes[keys] = place.text.prefix
    elif place.kinds == NUMBER and place.number is not None:
        profile.ranges[keys] = place.number
        point = place.number.low if place.number.low is not None else place.number.high
        if point is not None:
            profile.points[keys] = point


def _values(place: Place) -> dict[Keys, frozenset[Hashable]]:
    """Return the places that certainly hold one of a few values; of an ``$or`` those that every part has."""
    found = dict(_own_values(place, ()))
    for choice in place.choices:
        parts = []
        for node in choice.parts[:_LISTED_MAX]:
            part = Place(OBJECT, place.budget)
            part.add(node)
            if possible(part):
                parts.append(_values(part))
        if len(choice.parts) <= _LISTED_MAX and parts:
            for keys in set.intersection(*(set(part) for part in parts)):
                found.setdefault(keys, parts[0][keys].union(*(part[keys] for part in parts)))
    return found


def _own_values(place: Place, keys: Keys) -> Iterator[tuple[Keys, frozenset[Hashable]]]:
    if place.finite is not None:
        if not any(isinstance(value, Missing) for value in place.finite.values()):
            yield keys, frozenset(place.finite)
    elif place.kinds == OBJECT:
        for key, inner in (place.fields or {}).items():
            yield from _own_values(inner, (*keys, key))


def _needed(place: Place, keys: Keys) -> Iterator[tuple[Keys, Place]]:
    """Yield the fields that are certainly there, outer ones first."""
    for key, inner in (place.fields or {}).items() if place.kinds == OBJECT else ():
        if not inner.kinds & ABSENT:
            yield (*keys, key), inner
            yield from _needed(inner, (*keys, key))


def _needed_by_parts(place: Place, keys: Keys) -> set[Keys]:
    """Return the fields that every part of an ``$or`` needs."""
    found: set[Keys] = set()
    for choice in place.choices:
        parts = []
        for node in choice.parts[:_LISTED_MAX]:
            part = Place(place.kinds, place.budget)
            part.add(node)
            if possible(part):
                parts.append({inner for inner, _ in _needed(part, keys)} | _needed_by_parts(part, keys))
        if len(choice.parts) <= _LISTED_MAX and parts:
            found |= set.intersection(*parts)
    for key, inner in (place.fields or {}).items() if place.kinds == OBJECT else ():
        found |= _needed_by_parts(inner, (*keys, key))
    return found


class _Search:
    """Finds, for a rule, the rules that may take it in, and proves it of one."""

    def __init__(self, profiles: Sequence[_Profile]) -> None:
        self._comparisons = COMPARISONS_MAX
        self._proofs = PROOFS_MAX
        self._files: dict[_Mark, list[_Profile]] = defaultdict(list)
        self._lengths: dict[Keys, set[int]] = defaultdict(set)
        self._levels: dict[Keys, set[int]] = defaultdict(set)
        possible_marks = [list(_marks(profile)) for profile in profiles]
        count = Counter(mark for choices in possible_marks for marks in choices for mark in marks)
        for profile, choices in zip(profiles, possible_marks, strict=True):
            # A rule is filed under what the fewest rules need.
            for mark in min(choices, key=lambda marks: sum(count[mark] for mark in marks)):
                self._files[mark].append(profile)
                if mark[0] == _PREFIX:
                    self._lengths[mark[1]].add(len(mark[2]))
                elif mark[0] == _RANGE:
                    self._levels[mark[1]].add(mark[2][0])

    def _candidates(self, profile: _Profile) -> Iterator[_Profile]:
        """Yield the rules that may take this one in, in order of precedence."""
        files = [self._files[mark] for mark in self._marks_to_look_under(profile) if mark in self._files]
        before = -1
        for one in heapq.merge(*files, key=lambda one: one.position):
            self._comparisons -= 1
            if self._comparisons < 0:
                raise BudgetError
            if one.position != before:
                before = one.position
                yield one

    def _marks_to_look_under(self, profile: _Profile) -> Iterable[_Mark]:
        yield _ANYTHING
        for keys, values in profile.values.items():
            value = next(iter(values))
            yield (_VALUE, keys, value)
            if isinstance(value, str):
                yield from ((_PREFIX, keys, value[:length]) for length in self._lengths.get(keys, ()))
        for keys, prefix in profile.prefixes.items():
            lengths = (length for length in self._lengths.get(keys, ()) if length <= len(prefix))
            yield from ((_PREFIX, keys, prefix[:length]) for length in lengths)
        for keys, point in profile.points.items():
            yield from ((_RANGE, keys, (level, floor(point) >> level)) for level in self._levels.get(keys, ()))
        yield from ((_PRESENT, keys, None) for keys in profile.present)

    def first_related(self, profile: _Profile) -> Related | None:
        """Return the first rule that takes this one in and matters.

        Raises:
            BudgetError: There were too many pairs.

        """
        rule = profile.rule
        for other in self._candidates(profile):
            earlier = other.position < profile.position
            if not earlier and (other.rule.priority != rule.priority or other.rule.source is not rule.source):
                break
            if other is profile or (not earlier and other.rule.action == rule.action):
                continue
            if not _may_take_in(other, profile) or not self._takes_in(other, profile):
                continue
            same = implies(other.rule.pattern, rule.pattern)
            if not earlier and same:
                continue  # the other one is told to be the duplicate
            if not earlier:
                return Related(rule, other.rule, Relation.BEFORE_BY_ID)
            return Related(rule, other.rule, Relation.SAME if same else Relation.HIDDEN)
        profile.place = None
        return None

    def _takes_in(self, other: _Profile, profile: _Profile) -> bool:
        self._proofs -= 1
        if self._proofs < 0:
            raise BudgetError
        try:
            if profile.place is None:
                profile.place = place_of(profile.rule.pattern)
            profile.place.budget.renew(STEPS_MAX)
            return entails(profile.place, other.rule.pattern.root)
        except (BudgetError, RecursionError):
            profile.place = None
            return False


def _marks(profile: _Profile) -> Iterator[list[_Mark]]:
    """Yield what a rule may be filed under: each whole list by itself is enough to find it."""
    for keys, values in profile.values.items():
        if len(values) <= _LISTED_MAX:
            yield [(_VALUE, keys, value) for value in values]
    for keys, prefix in profile.prefixes.items():
        yield [(_PREFIX, keys, prefix)]
    for keys, bounds in profile.ranges.items():
        yield _cells(keys, bounds)
    if not profile.prefixes and all(len(values) > _LISTED_MAX for values in profile.values.values()):
        yield [(_PRESENT, profile.present[-1], None)] if profile.present else [_ANYTHING]


def _cells(keys: Keys, bounds: Interval[int | Decimal]) -> list[_Mark]:
    """Return the cells of a grid in which a range lies; the wider it is, the coarser the grid, so they are few."""
    if bounds.low is None or bounds.high is None:
        return [(_PRESENT, keys, None)]
    low, high = floor(bounds.low), floor(bounds.high)
    level = (high - low).bit_length()
    return [(_RANGE, keys, (level, cell)) for cell in range(low >> level, (high >> level) + 1)]


def _may_take_in(other: _Profile, profile: _Profile) -> bool:
    """Tell whether the values that the other rule needs leave room for all that this one allows."""
    if not other.single <= profile.single:
        return False
    for keys, bounds in profile.ranges.items():
        outer = other.ranges.get(keys)
        if outer is not None and not _may_surround(outer, bounds):
            return False
    return all(
        keys in profile.values and profile.values[keys] <= values
        for keys, values in other.values.items()
        if len(values) > 1
    )


def _may_surround(outer: Interval[int | Decimal], inner: Interval[int | Decimal]) -> bool:
    below = outer.low is None or (inner.low is not None and outer.low <= inner.low)
    return below and (outer.high is None or (inner.high is not None and inner.high <= outer.high))
