"""Which pattern follows from which: the obvious cases are found, and what does not follow is not claimed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest

from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.subsumption import implies

IMPLIES: Final[list[tuple[dict[str, Any], dict[str, Any]]]] = [
    # fields
    ({"a": 1, "b": 2}, {"a": 1}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}),
    ({"a": {"b": 1}}, {"a": {}}),
    ({"a": {"b": 1}}, {"a": {"$exists": True}}),
    ({"a": {"b": {"$exists": False}}}, {"a": {"$exists": True}}),
    # values
    ({"a": 1}, {"a": Decimal("1.0")}),
    ({"a": 1}, {"a": {"$in": [1, 3]}}),
    ({"a": {"$in": [1, 3]}}, {"a": {"$in": [3, 2, 1]}}),
    ({"a": {"$in": [1]}}, {"a": 1}),
    ({"a": {"$in": [1, 3], "$ne": 3}}, {"a": 1}),
    ({"a": 1}, {"a": {"$ne": 2}}),
    ({"a": {"$gt": 3}}, {"a": {"$nin": [1, 3, "x", None]}}),
    ({"a": {"$nin": [1, 2]}}, {"a": {"$ne": 2}}),
    ({"a": {"$eq": {"b": 1, "c": 2}}}, {"a": {"b": 1}}),
    # bounds
    ({"a": 5}, {"a": {"$gt": 4}}),
    ({"a": {"$gt": 5}}, {"a": {"$gte": 5}}),
    ({"a": {"$gt": 5, "$lt": 7}}, {"a": {"$gt": 4, "$lte": 7}}),
    ({"a": {"$gte": 5, "$lte": 5}}, {"a": 5}),
    ({"a": {"$gt": "b"}}, {"a": {"$gt": "a"}}),
    # text
    ({"a": {"$prefix": "abc"}}, {"a": {"$prefix": "ab"}}),
    ({"a": {"$prefix": "abc"}}, {"a": {"$contains": "bc"}}),
    ({"a": {"$prefix": "ab"}}, {"a": {"$gte": "ab"}}),
    ({"a": {"$prefix": "ab"}}, {"a": {"$lt": "ac"}}),
    ({"a": {"$suffix": "abc"}}, {"a": {"$suffix": "bc"}}),
    ({"a": {"$wildcard": "abc*x"}}, {"a": {"$prefix": "ab", "$suffix": "x"}}),
    ({"a": {"$prefix": "ab"}}, {"a": {"$wildcard": "ab*"}}),
    ({"a": "Print Spooler"}, {"a": {"$ieq": "print spooler"}}),
    ({"a": {"$ieq": "SPOOLER"}}, {"a": {"$ieq": "spooler"}}),
    ({"a": {"$regex": "x+", "$prefix": "a"}}, {"a": {"$regex": "x+"}}),
    ({"a": "xx"}, {"a": {"$regex": "^x+$"}}),
    ({"a": {"$cidr": "10.1.0.0/16"}}, {"a": {"$cidr": ["192.0.2.0/24", "10.0.0.0/8"]}}),
    ({"a": {"$cidr": "10.0.0.0/8"}}, {"a": {"$cidr": ["10.0.0.0/9", "10.128.0.0/9"]}}),
    ({"a": "10.1.2.3"}, {"a": {"$cidr": "10.0.0.0/8"}}),
    # arrays
    ({"a": [1, 2]}, {"a": [2]}),
    ({"a": [1]}, {"a": []}),
    ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}),
    ({"a": ["x"]}, {"a": {"$contains": "x"}}),
    ({"a": {"$contains": 1}}, {"a": [1]}),
    # alternatives and negation
    ({"a": 1}, {"$or": [{"a": 1}, {"b": 2}]}),
    ({"$or": [{"a": 1}, {"a": 2}]}, {"a": {"$in": [1, 2, 3]}}),
    ({"$or": [{"a": 1, "c": 0}, {"b": 2, "c": 0}]}, {"c": 0}),
    ({"$or": [{"a": 1}, {"b": 2}]}, {"$or": [{"b": 2}, {"c": 3}, {"a": 1}]}),
    ({"a": {"$in": ["x", "y"]}}, {"$or": [{"a": "x"}, {"a": "y"}]}),
    ({"$and": [{"$or": [{"a": 1}, {"a": 2}]}, {"a": {"$ne": 1}}]}, {"a": 2}),
    ({"a": 1}, {"$not": {"a": 2}}),
    ({"a": 1}, {"a": {"$not": {"$gt": 3}}}),
    ({"a": {"$exists": False}}, {"$not": {"a": 1}}),
    ({"$not": {"a": 1}}, {"a": {"$not": 1}}),
    ({"a": {"$not": {"$in": [1, 2]}}}, {"$not": {"a": 1}}),
    ({"$not": {"$or": [{"a": 1}, {"b": 1}]}}, {"$not": {"a": 1, "b": 1}}),
    ({"a": {"$not": {"$regex": "x"}}}, {"a": {"$not": {"$regex": "x"}}}),
]

DOES_NOT: Final[list[tuple[dict[str, Any], dict[str, Any]]]] = [
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1}, {"a": True}),
    ({"a": {"$in": [1, 2]}}, {"a": 1}),
    ({"a": {"$gte": 5}}, {"a": {"$gt": 5}}),
    ({"a": {"$gt": 5}}, {"a": {"$lt": 9}}),
    ({"a": {"$gt": 4, "$lt": 6}}, {"a": 5}),
    ({"a": {"$not": {"$gt": 5}}}, {"a": {"$lte": 5}}),
    ({"a": {"$prefix": "ab"}}, {"a": {"$prefix": "abc"}}),
    ({"a": {"$prefix": "ab"}}, {"a": {"$lt": "abx"}}),
    ({"a": {"$prefix": "ab"}}, {"a": {"$wildcard": "ab?*"}}),
    ({"a": {"$ieq": "x"}}, {"a": "x"}),
    ({"a": {"$regex": "x"}}, {"a": {"$regex": "x|y"}}),
    ({"a": {"$cidr": "10.0.0.0/8"}}, {"a": {"$cidr": "10.1.0.0/16"}}),
    ({"a": {"$cidr": ["10.0.0.0/8", "::/0"]}}, {"a": {"$cidr": "10.0.0.0/8"}}),
    ({"a": {"$contains": "x"}}, {"a": ["x"]}),
    ({"a": ["x"]}, {"a": {"$eq": ["x"]}}),
    ({"a": []}, {"a": {"$eq": []}}),
    ({"a": [{"b": 1}]}, {"a": {"$contains": {"b": 1}}}),
    ({"a": [{"b": 1}, {"c": 2}]}, {"a": [{"b": 1, "c": 2}]}),
    ({"a": {"$ne": 1}}, {"a": {"$ne": 2}}),
    ({"$not": {"a": 1}}, {"a": {"$ne": 1}}),
    ({"$or": [{"a": 1}, {"b": 2}]}, {"a": 1}),
    ({"$not": {"a": 1, "b": 1}}, {"$not": {"a": 1}}),
    ({"a": {"$exists": False}}, {"a": {"b": {"$exists": False}}}),
    ({"a": None}, {"a": {"$exists": False}}),
]


@pytest.mark.parametrize(("stronger", "weaker"), IMPLIES, ids=str)
def test_what_follows_is_found(stronger, weaker) -> None:
    assert implies(compile_pattern(stronger), compile_pattern(weaker))


@pytest.mark.parametrize(("left", "right"), DOES_NOT, ids=str)
def test_what_does_not_follow_is_not_claimed(left, right) -> None:
    assert not implies(compile_pattern(left), compile_pattern(right))


def test_a_question_that_takes_too_long_is_answered_with_no() -> None:
    long: dict[str, Any] = {"$and": [{"$or": [{"a": n, "b": n}, {"c": n}, {"d": {"$ne": n}}]} for n in range(300)]}
    assert not implies(compile_pattern(long), compile_pattern({"e": 1}))
