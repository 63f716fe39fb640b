"""Contradictory patterns are refused at load with both clauses named, and possible ones never are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest

from compliance_agent.domain.contradiction import find_contradiction
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.text_constraints import Wildcard

EMPTY_NETWORKS: Final = [{"$cidr": "10.0.0.0/8"}, {"$cidr": ["11.0.0.0/8", "::/0"]}]

CONTRADICTORY: Final[list[tuple[dict[str, Any], str, str]]] = [
    # values
    ({"a": {"$eq": 1, "$ne": 1}}, "a", "$eq 1 and $ne 1 can never hold together"),
    ({"a": {"$eq": 1, "$ne": Decimal("1.0")}}, "a", "$eq 1 and $ne 1.0 can never hold together"),
    ({"a": {"$eq": 1, "$in": [2, True, "1"]}}, "a", '$eq 1 and $in [2, true, "1"] can never hold together'),
    ({"a": {"$in": [1, 2], "$nin": [2, 1, 3]}}, "a", "$in [1, 2] and $nin [2, 1, 3] can never hold together"),
    ({"$and": [{"a": 1}, {"a": 2}]}, "$and[1].a", "2 here and 1 at $and[0].a can never hold together"),
    (
        {"$and": [{"a": None}, {"a": {"$exists": False}}]},
        "$and[1].a.$exists",
        "$exists false here and null at $and[0].a",
    ),
    (
        {"a": {"$in": [1, 2], "$ne": 1, "$nin": [2]}},
        "a.$nin",
        "$nin [2] can never hold together with the clauses before",
    ),
    ({"a": {"$eq": [1, 2], "$contains": 3}}, "a", "$eq [1, 2] and $contains 3 can never hold together"),
    ({"a": {"$not": {"$ne": 1}, "$eq": 2}}, "a", '$not {"$ne": 1} and $eq 2 can never hold together'),
    # bounds
    ({"facts": {"number": {"$gt": 5, "$lt": 3}}}, "facts.number", "$gt 5 and $lt 3 can never hold together"),
    ({"a": {"$gt": 5, "$lte": 5}}, "a", "$gt 5 and $lte 5 can never hold together"),
    ({"a": {"$gte": 5, "$lt": Decimal("5.0")}}, "a", "$gte 5 and $lt 5.0 can never hold together"),
    ({"a": {"$gte": 5, "$lte": 5, "$ne": 5}}, "a.$ne", "$ne 5 can never hold together with the clauses before it"),
    ({"a": {"$gt": 5, "$lt": "9"}}, "a", '$gt 5 and $lt "9" can never hold together'),
    ({"a": {"$gt": "b", "$lt": "a"}}, "a", '$gt "b" and $lt "a" can never hold together'),
    ({"a": {"$lt": ""}}, "a.$lt", '$lt "" can never hold here'),
    ({"a": {"$gt": 1, "$not": {"$gt": 0}}}, "a", '$gt 1 and $not {"$gt": 0} can never hold together'),
    # text
    ({"a": {"$eq": "xyz", "$prefix": "ab"}}, "a", '$eq "xyz" and $prefix "ab" can never hold together'),
    ({"$and": [{"a": {"$prefix": "ab"}}, {"a": {"$prefix": "ac"}}]}, "$and[1].a.$prefix", '$prefix "ac" here and'),
    (
        {"a": {"$and": [{"$suffix": "xb"}, {"$suffix": "b"}, {"$suffix": "yb"}]}},
        "a.$and[2].$suffix",
        '$suffix "yb" here',
    ),
    ({"a": {"$prefix": "b", "$lt": "b"}}, "a", '$prefix "b" and $lt "b" can never hold together'),
    ({"a": {"$prefix": "a", "$gt": "b"}}, "a", '$prefix "a" and $gt "b" can never hold together'),
    ({"a": {"$ieq": "SVC", "$prefix": "x"}}, "a", '$ieq "SVC" and $prefix "x" can never hold together'),
    ({"a": {"$ieq": "straße", "$suffix": "sse", "$contains": "x"}}, "a", '$ieq "straße" and $contains "x"'),
    ({"$and": [{"a": {"$ieq": "A"}}, {"a": {"$ieq": "b"}}]}, "$and[1].a.$ieq", '$ieq "b" here and $ieq "A" at'),
    ({"a": {"$prefix": "ab", "$not": {"$prefix": "a"}}}, "a", '$prefix "ab" and $not {"$prefix": "a"}'),
    ({"a": {"$regex": "x+", "$not": {"$regex": "x+"}}}, "a", '$regex "x+" and $not {"$regex": "x+"}'),
    ({"a": {"$wildcard": "C:*", "$prefix": "D"}}, "a", '$wildcard "C:*" and $prefix "D" can never hold together'),
    ({"a": {"$wildcard": "abc", "$suffix": "d"}}, "a", '$wildcard "abc" and $suffix "d" can never hold together'),
    ({"a": {"$eq": "10.1.2.3", "$cidr": "192.0.2.0/24"}}, "a", '$eq "10.1.2.3" and $cidr "192.0.2.0/24"'),
    ({"a": {"$and": EMPTY_NETWORKS}}, "a.$and[1].$cidr", '$cidr ["11.0.0.0/8", "::/0"] here and $cidr "10.0.0.0/8" at'),
    # kinds
    ({"a": {"$gt": 5, "$prefix": "x"}}, "a", '$gt 5 and $prefix "x" can never hold together'),
    ({"a": {"$contains": 1, "$suffix": "x"}}, "a", '$contains 1 and $suffix "x" can never hold together'),
    ({"$and": [{"a": []}, {"a": {}}]}, "$and[1].a", "{} here and [] at $and[0].a can never hold together"),
    ({"$and": [{"a": {"b": 1}}, {"a": "b"}]}, "$and[1].a", '"b" here and b: 1 at $and[0].a.b can never hold together'),
    (
        {"$and": [{"a": {"b": {"$exists": False}}}, {"a": {"$exists": False}}]},
        "$and[1].a.$exists",
        "$exists false here",
    ),
    ({"a": {"$exists": False, "$ne": 1}}, "a", "$exists false and $ne 1 can never hold together"),
    ({"a": {"$exists": True, "$not": {"$exists": True}}}, "a", '$exists true and $not {"$exists": true}'),
    # where a document, or an element, can only be one thing
    ({"$eq": 5}, "$eq", "$eq 5 can never hold here"),
    ({"$exists": False}, "$exists", "$exists false can never hold here"),
    ({"$or": [5, "x"]}, "$or", "no alternative of this $or can ever hold"),
    ({"a": [1, {"$exists": False}]}, "a[1].$exists", "$exists false can never hold here"),
    ({"a": [{"b": {"$gt": 5, "$lt": 3}}]}, "a[0].b", "$gt 5 and $lt 3 can never hold together"),
    # alternatives
    ({"$or": [{"a": {"$gt": 5, "$lt": 3}}, {"$eq": 1}]}, "$or", "no alternative of this $or can ever hold"),
    (
        {"$and": [{"a": 1}, {"$or": [{"a": 2}, {"a": {"$gt": 3}}]}]},
        "$and[1].$or",
        '{"a": {"$gt": 3}}] here and a: 1 at',
    ),
    ({"a": {"$or": [1, 2], "$eq": 3}}, "a", "$or [1, 2] and $eq 3 can never hold together"),
    # negation
    ({"$and": [{"a": 1}, {"$not": {"a": 1}}]}, "$and[1].$not", '$not {"a": 1} here and a: 1 at $and[0].a'),
    ({"$and": [{"a": 1, "b": 2, "c": 3}, {"$not": {"a": 1, "b": 2}}]}, "$and[1].$not", "can never hold together"),
    ({"$and": [{"a": ["x"]}, {"a": {"$not": {"$contains": "x"}}}]}, "$and[1].a.$not", 'here and ["x"] at $and[0].a'),
    ({"$not": {"$or": [{"a": {"$exists": True}}, {"a": {"$exists": False}}]}}, "$not", "can never hold here"),
    ({"$and": [{"$$ref": 1}, {"$$ref": 2}]}, "$and[1].$$ref", "2 here and 1 at $and[0].$$ref can never hold together"),
]

POSSIBLE: Final[list[dict[str, Any]]] = [
    {"a": {"$gt": 3, "$lt": 5}},
    {"a": {"$gte": 5, "$lte": 5}},
    {"a": {"$gt": "a", "$lt": "aa"}},
    {"a": {"$prefix": "ab", "$suffix": "bc"}},
    {"a": {"$and": [{"$prefix": "ab"}, {"$prefix": "abc"}]}},
    {"a": {"$prefix": "b", "$gt": "bb", "$lt": "c"}},
    {"a": {"$ieq": "strasse", "$prefix": "straß"}},
    {"a": {"$contains": "x", "$not": {"$prefix": "x"}}},
    {"a": {"$in": [1, "b"], "$ne": 1}},
    {"a": {"$and": [["x"], {"$contains": "y"}]}},
    {"a": {"$and": [{"b": 1}, {"c": {"$exists": False}}]}},
    {"a": {"$exists": False}},
    {"a": {"b": {"$exists": False}}},
    {"a": [{"$not": {"b": 1}}]},
    {"a": {"$not": {"$exists": True}}},
    {"$not": {"a": 1}},
    {"$and": [{"a": 1}, {"$not": {"a": 1, "b": 2}}]},
    {"$and": [{"a": {"$in": [1, 2]}}, {"$or": [{"a": 3}, {"a": 2}]}]},
    {"a": {"$or": [{"$gt": 5, "$lt": 3}, 7]}},
    {"a": {"$gt": 5, "$not": {"$prefix": "x"}}},
    {"a": {"$and": [{"$cidr": "10.0.0.0/8"}, {"$cidr": "10.1.0.0/16"}]}},
    {"a": {"$regex": "x", "$not": {"$regex": "y"}}},
    {"a": {"$lte": ""}},
    {"a": {"$in": [None, False], "$ne": None}},
]


@pytest.mark.parametrize(("source", "path", "message"), CONTRADICTORY, ids=[str(one[0])[:70] for one in CONTRADICTORY])
def test_a_contradictory_pattern_is_refused_with_its_clauses(source, path, message) -> None:
    with pytest.raises(PatternError) as refused:
        compile_pattern(source)
    assert refused.value.path == path
    assert message in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("source", POSSIBLE, ids=str)
def test_a_possible_pattern_is_taken(source) -> None:
    assert compile_pattern(source).source is source


def test_whoever_studies_patterns_may_have_contradictory_ones() -> None:
    pattern = compile_pattern({"a": {"$gt": 5, "$lt": 3}}, contradictory_too=True)
    assert not pattern.matches({"a": 4})


BIG: Final = list(range(10_000))


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"a": {"$and": [{"$in": [number, *BIG[1:]]} for number in range(50)]}}, id="many long lists"),
        pytest.param({"a": {"$in": BIG, "$nin": BIG[:-1]}}, id="two long lists"),
        pytest.param({"$and": [{"$or": [{"a": n}, {"b": n}, {"c": n}]} for n in range(700)]}, id="many alternatives"),
        pytest.param(
            {"$and": [{"a": {"$in": [str(n) for n in BIG]}}, *({"a": {"$wildcard": f"*{n}*"}} for n in range(2000))]},
            id="many wildcards over many values",
        ),
        pytest.param({"$and": [{"$not": {"a": n, "b": 1}} for n in range(1500)]}, id="many negations"),
    ],
)
def test_what_would_take_too_long_is_taken_as_possible(source) -> None:
    """Found out within a budget of steps; the test's own time limit is the witness."""
    pattern = compile_pattern(source, contradictory_too=True)
    assert find_contradiction(pattern.root, source) is None


def test_long_negations_within_each_other_end() -> None:
    source: dict[str, Any] = {"a": 1}
    for number in range(18):
        source = {"$not": {"$and": [source, {"a": {"$ne": number}}]}}
    pattern = compile_pattern(source, contradictory_too=True)
    assert find_contradiction(pattern.root, source) is None


@pytest.mark.parametrize(
    ("text", "simpler"),
    [
        ("*", ("$prefix", "")),
        ("ab*", ("$prefix", "ab")),
        ("ab**", ("$prefix", "ab")),
        (r"a\*b*", ("$prefix", "a*b")),
        ("*ab", ("$suffix", "ab")),
        ("*ab*", ("$contains", "ab")),
        ("a*b", None),
        ("a?", None),
        ("?*", None),
        ("a*b*", None),
    ],
)
def test_a_wildcard_that_is_a_simpler_operator_is_known_as_that(text, simpler) -> None:
    assert Wildcard.parse(text).simpler() == simpler
