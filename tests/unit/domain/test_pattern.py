from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.pattern import DEPTH_MAX, OPERATOR_NAMES, PatternError, compile_pattern
from compliance_agent.domain.pattern_nodes import in_words

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

MATCH = [
    # plain containment: what PostgreSQL's document @> pattern says
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1}, {"a": Decimal("1.0")}),
    ({"a": Decimal("1e0")}, {"a": 1}),
    ({"a": None}, {"a": None}),
    ({"a": {"b": "x"}}, {"a": {"b": "x", "c": 1}}),
    ({"a": {}}, {"a": {"b": 1}}),
    ({"a": []}, {"a": [1, 2]}),
    ({"a": [2, 1, 1]}, {"a": [1, 2, 3]}),
    ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}),
    ({"a": [[1]]}, {"a": [[1, 2], [3]]}),
    ({"a.b": 1}, {"a.b": 1}),
    ({"$$x": 1}, {"$x": 1}),
    # operators
    ({"a": {"$eq": [1, 2]}}, {"a": [1, 2]}),
    ({"a": {"$ne": 1}}, {"a": 2}),
    ({"a": {"$ne": 1}}, {"a": "1"}),
    ({"a": {"$ne": 1}}, {"a": None}),
    ({"a": {"$in": [1, "x"]}}, {"a": "x"}),
    ({"a": {"$nin": [1, "x"]}}, {"a": True}),
    ({"a": {"$ieq": "STRASSE"}}, {"a": "straße"}),
    ({"a": {"$gt": 1}}, {"a": Decimal("1.0000001")}),
    ({"a": {"$gte": 1, "$lt": 2}}, {"a": 1}),
    ({"a": {"$lte": "b"}}, {"a": "a"}),
    ({"a": {"$gt": 2**64}}, {"a": 2**64 + 1}),
    ({"a": {"$exists": True}}, {"a": None}),
    ({"a": {"$exists": False}}, {}),
    ({"a": {"$prefix": "ab"}}, {"a": "abc"}),
    ({"a": {"$suffix": "bc"}}, {"a": "abc"}),
    ({"a": {"$contains": "b"}}, {"a": "abc"}),
    ({"a": {"$contains": 2}}, {"a": [1, Decimal("2.0")]}),
    ({"a": {"$wildcard": "/etc/*.conf"}}, {"a": "/etc/x/y.conf"}),
    ({"a": {"$wildcard": "a?c"}}, {"a": "abc"}),
    ({"a": {"$wildcard": r"a\*"}}, {"a": "a*"}),
    ({"a": {"$wildcard": "*"}}, {"a": "line\nline"}),
    ({"a": {"$regex": "^x+$"}}, {"a": "xx"}),
    ({"a": {"$regex": "b"}}, {"a": "abc"}),
    ({"a": {"$cidr": "192.0.2.0/24"}}, {"a": "192.0.2.7"}),
    ({"a": {"$cidr": ["10.0.0.0/8", "2001:db8::/32"]}}, {"a": "2001:db8::1"}),
    ({"a": {"$not": {"$eq": 1}}}, {"a": 2}),
    ({"a": {"$not": {"$eq": 1}}}, {}),
    ({"a": {"$and": [{"$gt": 1}, {"$lt": 3}]}}, {"a": 2}),
    ({"$or": [{"a": 1}, {"b": 2}]}, {"b": 2}),
    ({"a": [{"$prefix": "x"}]}, {"a": ["y", "xz"]}),
]

NO_MATCH = [
    ({"a": 1}, {}),
    ({"a": 1}, {"a": True}),
    ({"a": 0}, {"a": False}),
    ({"a": True}, {"a": 1}),
    ({"a": 1}, {"a": "1"}),
    ({"a": None}, {}),
    ({"a": 1}, {"a": [1]}),
    ({"a": [1]}, {"a": 1}),
    ({"a": {}}, {"a": None}),
    ({"a": []}, {"a": {}}),
    ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}, {"c": 2}]}),
    ({"a": {"b": 1}}, {"a.b": 1}),
    ({"a": 2**53}, {"a": 2**53 + 1}),
    ({"a": "\u00e9"}, {"a": "e\u0301"}),
    ({"a": {"$eq": [2, 1]}}, {"a": [1, 2]}),
    ({"a": {"$ne": 1}}, {"a": Decimal("1.0")}),
    ({"a": {"$ne": 1}}, {}),
    ({"a": {"$in": [1]}}, {"a": True}),
    ({"a": {"$in": [None]}}, {}),
    ({"a": {"$nin": [1]}}, {}),
    ({"a": {"$ieq": "x"}}, {"a": 1}),
    ({"a": {"$gt": 1}}, {"a": 1}),
    ({"a": {"$gt": 1}}, {"a": "2"}),
    ({"a": {"$gt": 0}}, {"a": True}),
    ({"a": {"$gte": 1}}, {"a": None}),
    ({"a": {"$lt": "b"}}, {"a": 1}),
    ({"a": {"$lte": 4}}, {"a": 5}),
    ({"a": {"$exists": True}}, {}),
    ({"a": {"$exists": False}}, {"a": None}),
    ({"a": {"b": {"$exists": False}}}, {}),
    ({"a": {"$prefix": "b"}}, {"a": "abc"}),
    ({"a": {"$prefix": "1"}}, {"a": 1}),
    ({"a": {"$suffix": "b"}}, {"a": "abc"}),
    ({"a": {"$contains": "B"}}, {"a": "abc"}),
    ({"a": {"$contains": 1}}, {"a": [True]}),
    ({"a": {"$wildcard": "a?c"}}, {"a": "ac"}),
    ({"a": {"$wildcard": "a.c"}}, {"a": "abc"}),
    ({"a": {"$regex": "^x+$"}}, {"a": "xxy"}),
    ({"a": {"$regex": "x"}}, {"a": ["x"]}),
    ({"a": {"$regex": "x"}}, {"a": "\ud800"}),
    ({"a": {"$cidr": "192.0.2.0/24"}}, {"a": "192.0.3.1"}),
    ({"a": {"$cidr": "192.0.2.0/24"}}, {"a": "not an address"}),
    ({"a": {"$cidr": "192.0.2.0/24"}}, {"a": "2001:db8::1"}),
    ({"a": {"$not": {"$exists": True}}}, {"a": 1}),
    ({"$and": [{"a": 1}, {"b": 1}]}, {"a": 1}),
    ({"$or": [{"a": 1}, {"b": 2}]}, {"a": 2, "b": 1}),
]

MALFORMED = [
    ({}, ""),
    ([], ""),
    ("x", ""),
    ({"a": {"$nope": 1}}, "a.$nope"),
    ({"a": {"$eq": 1, "b": 2}}, "a"),
    ({"a": {"$in": []}}, "a.$in"),
    ({"a": {"$in": "x"}}, "a.$in"),
    ({"a": {"$in": list(range(10_001))}}, "a.$in"),
    ({"a": {"$ieq": 1}}, "a.$ieq"),
    ({"a": {"$gt": True}}, "a.$gt"),
    ({"a": {"$gt": None}}, "a.$gt"),
    ({"a": {"$exists": 1}}, "a.$exists"),
    ({"a": {"$prefix": ""}}, "a.$prefix"),
    ({"a": {"$contains": ""}}, "a.$contains"),
    ({"a": {"$wildcard": "a\\"}}, "a.$wildcard"),
    ({"a": {"$wildcard": "x" * 1_001}}, "a.$wildcard"),
    ({"a": {"$regex": "("}}, "a.$regex"),
    ({"a": {"$regex": "(?=x)"}}, "a.$regex"),
    ({"a": {"$regex": r"(x)\1"}}, "a.$regex"),
    ({"a": {"$regex": "x" * 1_001}}, "a.$regex"),
    ({"a": {"$cidr": "192.0.2.1/24"}}, "a.$cidr"),
    ({"a": {"$cidr": []}}, "a.$cidr"),
    ({"a": {"$and": []}}, "a.$and"),
    ({"a": {"$or": {"$eq": 1}}}, "a.$or"),
    ({"a": {"$or": [{"$eq": 1}, {"$in": 1}]}}, "a.$or[1].$in"),
    ({"a": [{"$bad": 1}]}, "a[0].$bad"),
    ({"a": 1.5}, "a"),
    ({"a": {"$eq": [1.5]}}, "a.$eq"),
]


@pytest.mark.parametrize(("pattern", "document"), MATCH)
def test_the_document_matches(pattern, document) -> None:
    assert compile_pattern(pattern).matches(document)


@pytest.mark.parametrize(("pattern", "document"), NO_MATCH)
def test_the_document_does_not_match(pattern, document) -> None:
    assert not compile_pattern(pattern).matches(document)


@pytest.mark.parametrize(("pattern", "path"), MALFORMED)
def test_a_malformed_pattern_is_refused_with_its_path(pattern, path) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)
    assert caught.value.path == path


def test_a_pattern_nested_too_deep_is_refused() -> None:
    pattern: JsonValue = {"a": 1}
    for _ in range(DEPTH_MAX):
        pattern = {"a": pattern}
    with pytest.raises(PatternError, match="nested deeper"):
        compile_pattern(pattern)


def test_a_pattern_nested_ten_thousand_deep_is_refused_without_a_crash() -> None:
    pattern: JsonValue = {"a": 1}
    for _ in range(10_000):
        pattern = {"a": pattern}
    with pytest.raises(PatternError, match="nested deeper"):
        compile_pattern(pattern)


def test_a_pattern_with_too_many_clauses_is_refused() -> None:
    with pytest.raises(PatternError, match="10000"):
        compile_pattern({f"k{number}": 1 for number in range(10_001)})


def test_every_operator_stands_in_the_tables_on_both_sides() -> None:
    def used(cases):
        return {name for name in OPERATOR_NAMES for pattern, _ in cases if f"'{name}'" in repr(pattern)}

    assert used(MATCH) == OPERATOR_NAMES
    assert used(NO_MATCH) == OPERATOR_NAMES


def test_a_regex_that_explodes_elsewhere_answers() -> None:
    assert not compile_pattern({"a": {"$regex": "^(a+)+$"}}).matches({"a": "a" * 50_000 + "b"})


@pytest.mark.parametrize(("pattern", "document"), MATCH + NO_MATCH)
def test_the_explanation_agrees_with_the_verdict(pattern, document) -> None:
    compiled = compile_pattern(pattern)
    assert all(clause.holds for clause in compiled.explain(document)) == compiled.matches(document)


def test_the_first_failing_clause_is_named_with_what_stood_there() -> None:
    clause = compile_pattern({"facts": {"tries": {"$lte": 4}}}).first_failing({"facts": {"tries": 6}})
    assert clause is not None
    assert (clause.path, clause.expected, clause.actual) == ("facts.tries", "$lte 4", "6")


def test_a_missing_field_is_shown_as_missing_not_as_null() -> None:
    clause = compile_pattern({"a": 1}).first_failing({})
    assert clause is not None
    assert clause.actual == "(missing)"


def test_of_several_alternatives_the_nearest_one_is_explained():
    pattern = compile_pattern({"a": {"$or": [{"value": {"$gte": 1}}, {"exists": False}]}})
    clause = pattern.first_failing({"a": {"value": 0, "exists": True}})
    assert clause is not None
    assert in_words(clause) == "a.value is 0, expected at least 1"


def test_a_clause_without_an_operator_is_put_in_words_as_it_stands():
    clause = compile_pattern({"a": "no"}).first_failing({"a": "yes"})
    assert clause is not None
    assert in_words(clause) == 'a is "yes", expected "no"'
