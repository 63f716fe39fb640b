"""Counterfactuals by example: which change is told, what is never guessed, and what hostile input costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from compliance_agent.domain.counterfactual import EDITS_MAX, counterfactual, failing_count, unsuggested
from compliance_agent.domain.edits import IDENTITY_COST, SUBJECT_COST, Edit, EditKind, apply, difference
from compliance_agent.domain.explanation import explain_rules
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.pattern_change import WIDENED_MAX, pattern_change
from compliance_agent.domain.rule import Action, Rule
from compliance_agent.domain.rule_set import RuleSet


def told(pattern: dict[str, Any], document: dict[str, Any]) -> str | None:
    change = counterfactual(compile_pattern(pattern, contradictory_too=True), document)
    return change.in_words(document) if change else None


CHANGES = [
    # plain values
    ({"a": 1}, {"a": 2}, "a were 1"),
    ({"a": 1}, {}, "a were 1"),
    ({"a": None}, {}, "a were null"),
    ({"a": "x"}, {"a": ["x"]}, 'a were "x"'),
    ({"facts": {"a": 1, "b": 2}}, {"facts": {"b": 2}}, "facts.a were 1"),
    ({"facts": {"a": 1, "b": 2}}, {}, 'facts were {"a": 1, "b": 2}'),
    ({"facts": {"a": 1}}, {"facts": "none"}, 'facts were {"a": 1}'),
    ({"a": 1, "b": 2}, {"c": 3}, "a were 1 and b were 2"),
    ({"$$ref": 1}, {"$ref": 2}, "$ref were 1"),
    ({"a": {}}, {"a": 1}, "a were {}"),
    # arrays
    ({"a": ["x", "y"]}, {"a": ["y"]}, 'a also held "x"'),
    ({"a": ["x", "y"]}, {"a": []}, 'a also held "x" and "y"'),
    ({"a": ["x"]}, {"a": "x"}, 'a were ["x"]'),
    ({"a": [{"n": {"$gt": 3}}]}, {"a": [{"n": 3}]}, 'a also held {"n": 4}'),
    ({"a": [{"$not": None}]}, {}, "a were [true]"),
    # operators, each at its nearest boundary
    ({"a": {"$eq": [1]}}, {"a": [1, 2]}, "a were [1]"),
    ({"a": {"$ne": "x"}}, {"a": "x"}, 'a were something else, for example "other"'),
    ({"a": {"$ne": "x"}}, {}, "a were there, for example true"),
    ({"a": {"$ne": True}}, {"a": True}, "a were false"),
    ({"a": {"$in": [1, 5, 9]}}, {"a": 6}, "a were 5"),
    ({"a": {"$in": ["linux", "nixos"]}}, {"a": "nixpkgs"}, 'a were "nixos"'),
    ({"a": {"$nin": [1, 2, 3]}}, {"a": 2}, "a were something else, for example 4"),
    ({"a": {"$ieq": "W32Time"}}, {"a": "dhcp"}, 'a were "W32Time"'),
    ({"a": {"$gt": 5}}, {"a": 5}, "a were 6"),
    ({"a": {"$gte": 5}}, {"a": 4}, "a were 5"),
    ({"a": {"$lt": 5}}, {"a": 5}, "a were 4"),
    ({"a": {"$lte": 4}}, {"a": 6}, "a were 4"),
    ({"a": {"$gt": Decimal("0.5")}}, {"a": 0}, "a were 1"),
    ({"a": {"$lt": Decimal("0.5")}}, {"a": 1}, "a were 0"),
    ({"a": {"$gt": Decimal("1e5000")}}, {"a": 1}, "a were 1E+5001"),
    ({"a": {"$lt": Decimal("-1e5000")}}, {"a": 1}, "a were -1E+5001"),
    ({"a": {"$gte": "2026-01-01"}}, {"a": "2025"}, 'a were "2026-01-01"'),
    ({"a": {"$gt": "b"}}, {"a": "b"}, 'a were "b0"'),
    ({"a": {"$lt": "b"}}, {"a": "b"}, 'a were ""'),
    ({"a": {"$exists": True}}, {}, "a were there, for example true"),
    ({"a": {"$exists": False}}, {"a": 1}, "a were not there"),
    ({"a": {"$prefix": "web-"}}, {"a": "01"}, 'a were "web-01"'),
    ({"a": {"$prefix": "/usr/lib"}}, {"a": "/usr/bin/x"}, 'a were "/usr/lib"'),
    ({"a": {"$suffix": ".exe"}}, {"a": "setup"}, 'a were "setup.exe"'),
    ({"a": {"$contains": "z"}}, {"a": "xy"}, 'a were "xyz"'),
    ({"a": {"$contains": "z"}}, {"a": ["y"]}, 'a also held "z"'),
    ({"a": {"$contains": 7}}, {}, "a were [7]"),
    ({"a": {"$wildcard": "web-??.*"}}, {"a": "x"}, 'a were "web-xx."'),
    ({"a": {"$cidr": ["10.0.0.0/8", "2001:db8::/32"]}}, {"a": "192.0.2.1"}, 'a were "10.0.0.0"'),
    ({"a": {"$cidr": ["10.0.0.0/8", "2001:db8::/32"]}}, {"a": "2001::1"}, 'a were "2001:db8::"'),
    ({"a": {"$regex": r"^web\.example$"}}, {"a": "x"}, 'a were "web.example"'),
    # several at one place
    ({"a": {"$gt": 5, "$lt": 7}}, {"a": 3}, "a were 6"),
    ({"a": {"$gt": 5, "$lt": 6}}, {"a": 3}, "a were 5.5"),
    ({"a": {"$prefix": "web-", "$suffix": ".example"}}, {"a": "x"}, 'a were "web-.example"'),
    ({"$and": [{"$or": [{"a": 1}, {"b": 2}]}, {"$not": {"a": 1}}]}, {"a": 3}, "b were 2"),
    ({"a": {"$lt": 10, "$nin": [9]}}, {"a": 12}, "a were 8"),
    ({"a": {"$gte": "ab", "$in": ["A", "b"]}}, {"a": 1}, 'a were "b"'),
    ({"a": {"$wildcard": "*.conf", "$ne": ".conf"}}, {}, 'a were "other.conf"'),
    ({"$and": [{"a": {"$gte": 1}}, {"$or": [{"a": False}, {"b": 2}]}]}, {"a": False}, "a were 1 and b were 2"),
    # alternatives: the one with the cheapest change
    ({"$or": [{"a": 1, "b": 2}, {"c": 3}]}, {}, "c were 3"),
    ({"$or": [{"check_id": "B"}, {"facts": {"x": 1}}]}, {"check_id": "A", "facts": {}}, "facts.x were 1"),
    ({"$or": [{"site_id": "B"}, {"check_id": "B"}]}, {"check_id": "A", "site_id": "A"}, 'check_id were "B"'),
    # the smallest break of what must not match
    ({"$not": {"a": 1, "b": 2}}, {"a": 1, "b": 2, "site_id": "x"}, "a were something else, for example 2"),
    ({"a": {"$not": {"$gt": 4}}}, {"a": 6}, "a were 4"),
    ({"a": {"$not": {"$in": [1, 2]}}}, {"a": 1}, "a were something else, for example 0"),
    ({"$not": {"a": ["x"]}}, {"a": ["x", "y", "x"]}, 'a were ["y"]'),
    ({"$not": {"$or": [{"a": 1}, {"b": 1}]}}, {"a": 1, "b": 1}, "a were something else, for example 2 and b were"),
    ({"a": {"$exists": True, "$not": ["x"]}}, {"a": ["x"]}, "a were []"),
    ({"a": {"$not": {"$not": 3}}}, {}, "a were 3"),
    ({"a": {"$ne": Decimal("1e5000")}}, {"a": Decimal("1e5000")}, "a were something else, for example 1E+5001"),
    ({"a": {"$not": None}}, {"a": None}, 'a were something else, for example "other"'),
]


@pytest.mark.parametrize(("pattern", "document", "change"), CHANGES)
def test_the_smallest_change_is_told(pattern: dict[str, Any], document: dict[str, Any], change: str) -> None:
    found = told(pattern, document)
    assert found is not None
    assert found == change or (change.endswith("were") and found.startswith(change))


def test_a_document_that_matches_needs_no_edit() -> None:
    change = counterfactual(compile_pattern({"a": 1}), {"a": 1})
    assert change is not None
    assert (change.edits, change.cost) == ((), 0)


@pytest.mark.parametrize(
    ("pattern", "document", "places"),
    [
        ({"a": {"$regex": "^a+$"}, "b": 1}, {"b": 1}, ["a"]),
        ({"a": {"$regex": "^a+$"}, "b": 1}, {"b": 2}, ["a"]),
        ({"$not": {}}, {"a": 1}, [""]),
        ({"a": {"$gt": 5, "$lt": 5}}, {"a": 3}, []),
        ({"a": [{"$regex": "x|y"}]}, {"a": []}, ["a"]),
    ],
)
def test_what_cannot_be_certain_is_not_guessed(
    pattern: dict[str, Any], document: dict[str, Any], places: list[str]
) -> None:
    compiled = compile_pattern(pattern, contradictory_too=True)
    assert counterfactual(compiled, document) is None
    assert [clause.path for clause in unsuggested(compiled, document)] == places


def test_identity_is_changed_last() -> None:
    fields = {"site_id": IDENTITY_COST, "check_id": SUBJECT_COST, "severity": 1}
    for field, cost in fields.items():
        change = counterfactual(compile_pattern({field: "x"}), {field: "y"})
        assert change is not None
        assert change.cost == cost


def test_so_many_edits_are_told_and_no_more() -> None:
    most = compile_pattern({f"k{number}": 1 for number in range(EDITS_MAX)})
    beyond = compile_pattern({f"k{number}": 1 for number in range(EDITS_MAX + 1)})
    change = counterfactual(most, {})
    assert change is not None
    assert len(change.edits) == EDITS_MAX
    assert counterfactual(beyond, {}) is None


HOSTILE = [
    ({"$or": [{f"k{n}": {"$gt": n}} for n in range(3_000)]}, {}),
    ({"$and": [{f"k{n}": {"$gt": n}} for n in range(3_000)]}, {}),
    ({f"k{n}": n for n in range(9_000)}, {f"z{n}": n for n in range(100_000)}),
    ({"a": [{"x": n} for n in range(3_000)]}, {"a": [{"x": -n} for n in range(20_000)]}),
    ({"a": {"$in": list(range(9_000))}}, {"a": -5}),
    ({"a": {"$prefix": "x" * 100_000}}, {"a": "y" * 1_000_000}),
]


@pytest.mark.parametrize(("pattern", "document"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_input_ends(pattern: dict[str, Any], document: dict[str, Any]) -> None:
    compiled = compile_pattern(pattern)
    change = counterfactual(compiled, document)
    assert change is None or compiled.matches(apply(document, change.edits))
    unsuggested(compiled, document)
    pattern_change(compiled, document)


def test_no_budget_is_no_answer() -> None:
    assert counterfactual(compile_pattern({"a": 1}), {}, budget=0) is None
    assert unsuggested(compile_pattern({"a": {"$regex": "x|y"}}), {}, budget=0) == []


def test_of_alternatives_the_nearest_counts() -> None:
    pattern = compile_pattern({"$and": [{"$or": [{"a": 1, "b": 2}, {"c": 3}]}, {"d": {"$gt": 1, "$lt": 5}}]})
    assert failing_count(pattern, {}) == 3
    assert failing_count(pattern, {"c": 3, "d": 7}) == 1


# --- edits -------------------------------------------------------------------------------------


def test_edits_leave_the_document_as_it_is() -> None:
    document: dict[str, Any] = {"a": {"b": [1]}, "c": 2}
    edits = [
        Edit(("a", "b"), EditKind.ADD, 2),
        Edit(("a", "d"), EditKind.SET, 3),
        Edit(("c",), EditKind.REMOVE),
    ]
    assert apply(document, edits) == {"a": {"b": [1, 2], "d": 3}}
    assert document == {"a": {"b": [1]}, "c": 2}


@pytest.mark.parametrize("edit", [Edit(("a", "b"), EditKind.SET, 1), Edit(("a",), EditKind.ADD, 1)])
def test_an_edit_that_does_not_fit_is_refused(edit: Edit) -> None:
    with pytest.raises(ValueError, match=r"^a"):
        apply({"a": "text"}, [edit])


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        ({"a": [1]}, {"a": [1, 2, 3]}, [("add", 2), ("add", 3)]),
        ({"a": [1]}, {"a": [2, 1]}, [("set", [2, 1])]),
        ({"a": [1, 2]}, {"a": [1]}, [("set", [1])]),
        ({"a": 1}, {"a": Decimal("1.0")}, []),
        ({"a": 1}, {"a": True}, [("set", True)]),
        ({"a": {"b": 1}}, {"a": {}}, [("remove", None)]),
    ],
)
def test_a_difference_names_the_smallest_parts(old: Any, new: Any, edits: list[tuple[str, Any]]) -> None:
    assert [(edit.kind.value, edit.value) for edit in difference(old, new)] == edits


# --- changes of the pattern --------------------------------------------------------------------

WIDENED = [
    ({"f": {"score": {"$lte": 4}}}, {"f": {"score": 6}}, "f.score: $lte 4 -> $lte 6", {"f": {"score": {"$lte": 6}}}),
    ({"a": {"$gt": 5, "$lt": 9}}, {"a": 5}, "a: $gt 5 -> $gte 5", {"a": {"$gte": 5, "$lt": 9}}),
    ({"a": {"$gt": 5, "$gte": 6}}, {"a": 3}, "a: $gt 5 -> (left out); a: $gte 6 -> $gte 3", {"a": {"$gte": 3}}),
    ({"a": "x", "b": 1}, {"a": "y", "b": 1}, 'a: "x" -> $in ["x", "y"]', {"a": {"$in": ["x", "y"]}, "b": 1}),
    ({"a": "W32"}, {"a": "w32"}, 'a: "W32" -> $ieq "W32"', {"a": {"$ieq": "W32"}}),
    ({"a": {"$eq": 1}}, {"a": 2}, "a: $eq 1 -> $in [1, 2]", {"a": {"$in": [1, 2]}}),
    ({"a": {"$in": [1, 2]}}, {"a": 3}, "a: $in [1, 2] -> $in [1, 2, 3]", {"a": {"$in": [1, 2, 3]}}),
    ({"a": {"$nin": [1, 2]}}, {"a": 2}, "a: $nin [1, 2] -> $nin [1]", {"a": {"$nin": [1]}}),
    ({"a": {"$nin": [2]}, "b": 1}, {"a": 2, "b": 1}, "a: $nin [2] -> (left out)", {"b": 1}),
    (
        {"a": {"$cidr": "10.0.0.0/8"}},
        {"a": "192.0.2.1"},
        'a: $cidr "10.0.0.0/8" -> $cidr ["10.0.0.0/8", "192.0.2.1"]',
        {"a": {"$cidr": ["10.0.0.0/8", "192.0.2.1"]}},
    ),
    ({"a": {"$regex": "^a+$"}, "b": 1}, {"a": "b", "b": 1}, 'a: $regex "^a+$" -> (left out)', {"b": 1}),
    ({"a": ["x", "y"]}, {"a": ["y"]}, 'a: ["x", "y"] -> ["y"]', {"a": ["y"]}),
    ({"$$ref": 1}, {"$ref": 2}, "$ref: 1 -> $in [1, 2]", {"$$ref": {"$in": [1, 2]}}),
    (
        {"$and": [{"a": 1}, {"b": {"$lte": 4}}]},
        {"a": 1, "b": 7},
        "b: $lte 4 -> $lte 7",
        {"$and": [{"a": 1}, {"b": {"$lte": 7}}]},
    ),
    (
        {"$or": [{"a": {"$lt": 2}}, {"b": 1, "c": 2}]},
        {"a": 5},
        "a: $lt 2 -> $lte 5",
        {"$or": [{"a": {"$lte": 5}}, {"b": 1, "c": 2}]},
    ),
]


@pytest.mark.parametrize(("pattern", "document", "words", "changed"), WIDENED)
def test_failing_clauses_are_widened_or_left_out(
    pattern: dict[str, Any], document: dict[str, Any], words: str, changed: dict[str, Any]
) -> None:
    found = pattern_change(compile_pattern(pattern), document)
    assert found is not None
    assert (found.in_words(), found.pattern) == (words, changed)


@pytest.mark.parametrize(
    ("pattern", "document"),
    [
        ({"a": 1}, {}),
        ({"a": {"$exists": False}}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": 1}),
        ({"a": {"$cidr": "10.0.0.0/8"}}, {"a": "no address"}),
        ({f"k{n}": 1 for n in range(WIDENED_MAX + 1)}, {f"k{n}": 2 for n in range(WIDENED_MAX + 1)}),
    ],
)
def test_a_pattern_of_which_nothing_would_be_left_is_not_offered(pattern: Any, document: Any) -> None:
    assert pattern_change(compile_pattern(pattern), document) is None


# --- the rules of one document -----------------------------------------------------------------


def rules(*patterns: dict[str, Any], **more: Any) -> RuleSet:
    return RuleSet(
        Rule(f"R{number}", compile_pattern(pattern), Action("alert", "x"), **more)
        for number, pattern in enumerate(patterns)
    )


def test_a_rule_that_matches_after_another_is_shadowed_by_it() -> None:
    found = explain_rules(rules({"a": 1}, {"b": 1}, {"c": 1}), {"a": 1, "b": 1}, limit=5)
    assert found.winner is not None
    assert (found.winner.rule.rule_id, found.winner.shadowed_by) == ("R0", None)
    assert [(one.rule.rule_id, one.shadowed_by) for one in found.shadowed] == [("R1", "R0")]
    assert [one.rule.rule_id for one in found.nearest] == ["R2"]


def test_misses_rank_by_failing_clauses_then_cost_then_precedence() -> None:
    found = explain_rules(
        rules({"a": 1, "b": 1}, {"site_id": 1}, {"check_id": 1}, {"c": 1}, {"b": 1}), {"x": 1}, limit=4
    )
    assert [one.rule.rule_id for one in found.nearest] == ["R3", "R4", "R1", "R0"]
    assert (found.winner, found.nearest_more) == (None, 1)


def test_a_rule_for_this_check_is_nearer_than_rules_for_other_checks() -> None:
    others = [{"check_id": f"LIN-{number}"} for number in range(60)]
    mine = {"check_id": "LIN-99", "facts": {"number": {"$gt": 4}, "user": "root"}}
    found = explain_rules(rules(*others, mine), {"check_id": "LIN-99", "facts": {"number": 1}}, limit=1)
    assert [one.rule.rule_id for one in found.nearest] == ["R60"]


def test_of_two_rules_that_miss_by_one_clause_the_one_that_is_about_the_incident_is_nearer() -> None:
    unrelated, mine = {"severity": "critical"}, {"check_id": "LIN-99", "hostname": {"$regex": "^web-[0-9]+$"}}
    found = explain_rules(rules(unrelated, mine), {"check_id": "LIN-99", "hostname": "db"}, limit=2)
    assert [one.rule.rule_id for one in found.nearest] == ["R1", "R0"]


def test_an_alternative_that_fails_by_less_counts() -> None:
    either = {"$or": [{"check_id": "LIN-1"}, {"a": 1, "b": 1}]}
    found = explain_rules(rules({"check_id": "LIN-1"}, either), {"check_id": "LIN-9"}, limit=2)
    assert [one.rule.rule_id for one in found.nearest] == ["R1", "R0"]


def test_a_disabled_rule_whose_pattern_matches_is_the_nearest_miss() -> None:
    found = explain_rules(rules({"a": 1}, enabled=False), {"a": 1}, limit=5)
    (miss,) = found.nearest
    assert (miss.matches, miss.failing, miss.change, miss.shadowed_by) == (False, (), None, None)


def test_what_is_not_shown_is_counted() -> None:
    found = explain_rules(rules({"a": 1}, {"a": 1}, {"a": 1}, {"b": 1}, {"c": 1}), {"a": 1}, limit=0)
    assert (found.shadowed, found.shadowed_more) == ((), 2)
    assert (found.nearest, found.nearest_more) == ((), 2)
