"""The analysis of patterns is sound: what it proves holds for every document that there is to try.

A small world, where every document can be tried, finds more than a large one: few keys, few values,
and operators whose arguments lie next to each other.
"""

from __future__ import annotations

import itertools
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.contradiction import find_contradiction
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.subsumption import implies
from tests.support.pattern_strategies import random_incident, random_pattern, seeded

if TYPE_CHECKING:
    import random

    from compliance_agent.domain.pattern import Pattern

SCALARS: Final = (
    None,
    True,
    False,
    0,
    1,
    Decimal("1.0"),
    2,
    Decimal("1.5"),
    "",
    "a",
    "A",
    "ab",
    "b",
    "10.0.0.1",
    "ß",
    "ss",
)
INNER: Final[tuple[Any, ...]] = (*SCALARS, [], ["a"], [1, 2], [[1]], {}, {"x": 1})
_ABSENT: Final = object()

DOCUMENTS: Final[list[dict[str, Any]]] = [
    {key: value for key, value in zip(("x", "y"), pair, strict=True) if value is not _ABSENT}
    for pair in itertools.product(
        (*INNER, {"x": "a"}, {"x": "ab", "y": 1}, {"y": []}, [{"x": 1}, "b"], _ABSENT), (0, 1, "a", _ABSENT)
    )
]


def small_clause(rng: random.Random, depth: int) -> Any:
    """Return what may stand at one place."""
    chance = rng.random()
    if chance < 0.2 or depth == 0:
        return rng.choice(SCALARS)
    if chance < 0.3:
        return [small_clause(rng, 0 if rng.random() < 0.7 else depth - 1) for _ in range(rng.randrange(3))]
    if chance < 0.45:
        return small_pattern(rng, depth - 1)
    names = rng.sample(sorted(_ARGUMENTS), rng.choice((1, 1, 1, 2, 2, 3)))
    return {name: _ARGUMENTS[name](rng, depth) for name in names}


def small_pattern(rng: random.Random, depth: int = 3) -> dict[str, Any]:
    """Return a pattern for an object."""
    if depth and rng.random() < 0.35:
        name = rng.choice(("$and", "$or", "$and", "$not"))
        parts = [small_pattern(rng, depth - 1) for _ in range(rng.choice((1, 2, 2, 3)))]
        return {name: parts[0] if name == "$not" else parts}
    return {key: small_clause(rng, depth) for key in rng.choice((("x",), ("x",), ("y",), ("x", "y")))}


def _value(rng: random.Random, _depth: int) -> Any:
    return rng.choice(INNER)


def _values(rng: random.Random, _depth: int) -> list[Any]:
    return [rng.choice(INNER) for _ in range(rng.randrange(1, 4))]


def _text(rng: random.Random, _depth: int) -> str:
    return rng.choice(("a", "ab", "b", "A", "1", "ss", "ß", "10"))


def _limit(rng: random.Random, _depth: int) -> Any:
    return rng.choice((0, 1, Decimal("1.0"), Decimal("1.5"), 2, "", "a", "ab", "b"))


def _parts(rng: random.Random, depth: int) -> list[Any]:
    return [small_clause(rng, depth - 1) for _ in range(rng.randrange(1, 4))]


_ARGUMENTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("$eq", "$ne", "$contains"), _value),
    **dict.fromkeys(("$in", "$nin"), _values),
    **dict.fromkeys(("$prefix", "$suffix", "$ieq"), _text),
    **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _limit),
    **dict.fromkeys(("$and", "$or"), _parts),
    "$not": lambda rng, depth: small_clause(rng, depth - 1),
    "$exists": lambda rng, _depth: rng.random() < 0.5,
    "$wildcard": lambda rng, _depth: rng.choice(("a*", "*b", "*a*", "a", "?", "*", "a*b", "**a", r"\*")),
    "$regex": lambda rng, _depth: rng.choice(("^a", "b$", "a", "^$", "[0-9]")),
    "$cidr": lambda rng, _depth: rng.choice(("10.0.0.0/8", "10.0.0.1/32", ["10.0.0.0/9", "::/0"], "11.0.0.0/8")),
}


def compiled(source: dict[str, Any]) -> Pattern | None:
    """Return the pattern, contradictory or not; nothing when it is malformed (an empty ``$contains``, say)."""
    try:
        return compile_pattern(source, contradictory_too=True)
    except PatternError:
        return None


def judge_small_world(seed: int) -> tuple[int, int]:
    """Try every document against what is proven of some random patterns; return how many proofs there were."""
    rng = seeded(seed)
    sources = [small_pattern(rng) for _ in range(4)]
    sources += [{"$and": sources[:2]}, {"$or": sources[1:3]}, {"$not": sources[3]}]
    patterns = [found for source in sources if (found := compiled(source)) is not None]
    matching = [{index for index, one in enumerate(DOCUMENTS) if pattern.matches(one)} for pattern in patterns]
    contradictions = implications = 0
    for pattern, matched in zip(patterns, matching, strict=True):
        if find_contradiction(pattern.root, pattern.source) is not None:
            contradictions += 1
            assert not matched, (pattern.source, [DOCUMENTS[index] for index in matched])
    for (left, of_left), (right, of_right) in itertools.permutations(zip(patterns, matching, strict=True), 2):
        if implies(left, right):
            implications += 1
            assert of_left <= of_right, (left.source, right.source, DOCUMENTS[next(iter(of_left - of_right))])
    return contradictions, implications


@pytest.mark.parametrize("block", range(6))
def test_what_is_proven_holds_for_every_document_of_a_small_world(block) -> None:
    proofs = [judge_small_world(seed) for seed in range(block * 100, block * 100 + 100)]
    assert sum(one for one, _ in proofs) > 10
    assert sum(one for _, one in proofs) > 100


@given(st.integers(min_value=0, max_value=2**63))
def test_what_is_proven_holds_for_incidents_like_ours(seed) -> None:
    rng = seeded(seed)
    incident, other = random_incident(rng), random_incident(rng)
    left, right = (compiled(random_pattern(rng, incident)) for _ in range(2))
    if left is None or right is None:
        return
    both = compiled({"$and": [left.source, right.source]})
    assert both is not None
    for document in (incident, other):
        if both.matches(document):
            assert find_contradiction(both.root, both.source) is None
        if left.matches(document) and implies(left, right):
            assert right.matches(document)


@given(st.integers(min_value=0, max_value=2**63))
def test_every_pattern_implies_itself_in_other_words(seed) -> None:
    pattern = compiled(small_pattern(seeded(seed)))
    if pattern is None:
        return
    twice = compiled({"$and": [pattern.source, pattern.source]})
    assert twice is not None
    assert implies(pattern, twice) == implies(twice, pattern) == implies(pattern, pattern)


@given(st.integers(min_value=0, max_value=2**63))
def test_loading_refuses_exactly_what_the_whole_analysis_finds(seed) -> None:
    """Loading looks only at patterns with a clause that may be in another's way; it must miss none."""
    source = small_pattern(seeded(seed))
    pattern = compiled(source)
    if pattern is None:
        return
    found = find_contradiction(pattern.root, source)
    if found is None:
        assert compile_pattern(source).source is source
    else:
        with pytest.raises(PatternError) as refused:
            compile_pattern(source)
        assert (refused.value.path, refused.value.message) == (found.path, found.message)
