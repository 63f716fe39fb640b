"""The workloads of the matching benchmark are what its page says, and each peer gets the same rules."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import statistics
from collections import Counter

import pytest

from benchmarks.matching_engines import NAIVE, PARSED, REFERENCE, Condition, conditions_of, prepared
from benchmarks.matching_measure import Cell, forms_of, measure
from benchmarks.matching_peers import clips_rule, json_logic_rule, jsonpath, mongo_query, rule_engine_text
from benchmarks.matching_plot import spread_out
from benchmarks.matching_report import Results, Verdict, markdown
from benchmarks.matching_workloads import (
    H_CARDINALITIES,
    INCIDENTS,
    RULES,
    RULES_MAX,
    W_KINDS,
    as_json_lines,
    field_set,
    h_rules,
    leaves,
    w_incidents,
    w_rules,
)

PATTERN = {
    "kind": "disk",
    "facts": {"score": {"$gte": 0.1, "$lt": 0.3}, "path": {"$prefix": "C:\\A\\"}, "held": {"$exists": False}},
    "severity": {"$in": ["low", "high"]},
}
CONDITIONS = [
    Condition(("kind",), "eq", "disk"),
    Condition(("facts", "score"), "gte", 0.1),
    Condition(("facts", "score"), "lt", 0.3),
    Condition(("facts", "path"), "prefix", "C:\\A\\"),
    Condition(("facts", "held"), "exists", value=False),
    Condition(("severity",), "in", ["low", "high"]),
]


def digest(value) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


@pytest.mark.parametrize("make", [*INCIDENTS.values(), *RULES.values()])
def test_a_workload_is_the_same_each_time(make) -> None:
    assert digest(make(200)) == digest(make(200))


@pytest.mark.parametrize("make", [*INCIDENTS.values(), *RULES.values()])
def test_a_smaller_workload_is_the_beginning_of_a_larger_one(make) -> None:
    assert make(300)[:100] == make(100)


@pytest.mark.parametrize("make", [*INCIDENTS.values(), *RULES.values()])
def test_more_than_there_is_cannot_be_asked_for(make) -> None:
    with pytest.raises(ValueError, match="not 20001"):
        make(20_001)


def test_incidents_of_w_have_the_size_that_the_page_names() -> None:
    incidents = w_incidents(5_000)
    assert 515 < statistics.mean(map(len, as_json_lines(incidents))) < 535
    assert 21.5 < statistics.mean(sum(1 for _ in leaves(incident)) for incident in incidents) < 23


def test_rules_of_w_are_of_nine_kinds_in_the_shares_that_the_page_names() -> None:
    assert sum(share for share, _ in W_KINDS) == 100
    common = Counter(field_set(rule["incident_pattern"]) for rule in w_rules(RULES_MAX))
    assert common[frozenset({"incident_type", "platform"})] / RULES_MAX == pytest.approx(0.25, abs=0.01)
    assert common[frozenset({"incident_type", "details.score"})] / RULES_MAX == pytest.approx(0.15, abs=0.01)


def test_rules_of_h_have_as_many_sets_of_fields_as_the_page_names() -> None:
    assert len({field_set(rule["incident_pattern"]) for rule in h_rules(RULES_MAX)}) == 2_174


def test_each_rule_of_h_asks_for_two_to_four_fields_one_of_them_of_many_values() -> None:
    for rule in h_rules(500):
        numbers = [int(name[-2:]) for name in field_set(rule["incident_pattern"])]
        assert 2 <= len(numbers) <= 4
        assert any(H_CARDINALITIES[number] >= 100 for number in numbers)


def test_a_pattern_becomes_flat_conditions() -> None:
    assert list(conditions_of(PATTERN)) == CONDITIONS


def test_mongoquery_gets_the_same_rule() -> None:
    assert mongo_query(CONDITIONS) == {
        "kind": "disk",
        "facts.score": {"$gte": 0.1, "$lt": 0.3},
        "facts.path": {"$regex": "^C:\\\\A\\\\"},
        "facts.held": {"$exists": False},
        "severity": {"$in": ["low", "high"]},
    }


def test_json_logic_gets_the_same_rule() -> None:
    assert json_logic_rule(CONDITIONS)["and"] == [
        {"===": [{"var": "kind"}, "disk"]},
        {">=": [{"var": "facts.score"}, 0.1]},
        {"<": [{"var": "facts.score"}, 0.3]},
        {"===": [{"substr": [{"var": "facts.path"}, 0, 5]}, "C:\\A\\"]},
        {"!!": [{"missing": ["facts.held"]}]},
        {"in": [{"var": "severity"}, ["low", "high"]]},
    ]


def test_rule_engine_gets_the_same_rule() -> None:
    assert rule_engine_text(CONDITIONS) == (
        'kind == "disk" and facts.score >= 0.1 and facts.score < 0.3 and facts.path.starts_with("C:\\\\A\\\\")'
        ' and facts.held == null and severity in ["low", "high"]'
    )


def test_clips_gets_the_same_rule() -> None:
    assert clips_rule("R1", CONDITIONS) == (
        '(defrule R1 (incident (kind "disk") (facts.score ?v1&:(and (numberp ?v1) (>= ?v1 0.1) (< ?v1 0.3)))'
        ' (facts.path ?v2&:(and (stringp ?v2) (eq (sub-string 1 5 ?v2) "C:\\\\A\\\\"))) (facts.held nil)'
        ' (severity "low"|"high")) =>)'
    )


def test_postgresql_gets_the_same_rule() -> None:
    assert jsonpath(CONDITIONS) == (
        '$."kind" == "disk" && $."facts"."score" >= 0.1 && $."facts"."score" < 0.3'
        ' && $."facts"."path" starts with "C:\\\\A\\\\" && !exists($."facts"."held")'
        ' && ($."severity" == "low" || $."severity" == "high")'
    )


@pytest.mark.parametrize("workload", ["w", "h"])
def test_index_and_naive_scan_answer_as_the_reference_does(workload) -> None:
    forms = forms_of(workload, 300)
    rules = prepared(RULES[workload](400))
    reference, *others = [engine.make(rules) for engine in (REFERENCE, PARSED, NAIVE)]
    expected = [reference.ids(reference.match(incident)) for incident in forms.fresh("exact")]
    assert any(expected)
    for live, form in zip(others, (PARSED.form, NAIVE.form), strict=True):
        assert [live.ids(live.match(incident)) for incident in forms.fresh(form)] == expected


def test_a_run_measures_every_engine_and_compares_its_answers() -> None:
    cells = measure("w", 20, [PARSED, NAIVE], forms_of("w", 50), lambda _: None, passes=1)
    assert [(cell.engine, cell.incidents, cell.compared, cell.different) for cell in cells] == [
        ("parsed", 50, 50, 0),
        ("naive", 50, 50, 0),
    ]


def cell(engine: str, rate: float, **changes) -> Cell:
    plain = Cell("w", 200, engine, rate, incidents=5_000, passes=9, spread=1.0, build_s=0.0)
    return dataclasses.replace(plain, **changes)


def results(*cells: Cell) -> Results:
    about = {"date": "2026-01-01", "machine": "a machine", "load": [], "command": "make bench-matching"}
    return Results(cells, [], {**about, "orjson_w": 426_000.0})


@pytest.mark.parametrize(("rate", "kept"), [(5_999.0, False), (6_000.0, True)])
def test_a_promise_is_kept_from_its_target_on(rate, kept) -> None:
    verdicts = results(cell("parsed", rate), cell("naive", 100.0)).verdicts()
    assert [(one.target, one.kept) for one in verdicts] == [(60.0, kept)]


@pytest.mark.parametrize(("measured", "kept"), [(8.0, True), (8.1, False)])
def test_a_cost_is_kept_up_to_its_target(measured, kept) -> None:
    assert Verdict("cost", "w", 20_000, 8.0, measured, at_least=False).kept is kept


def test_figures_of_the_field_note_follow_the_speed_of_orjson() -> None:
    assert results().rate("w", 200, "quamina") == 2 * 141_000


def test_the_page_tells_what_a_cell_rests_on_and_what_differed() -> None:
    page = markdown(results(cell("naive", 3.3, incidents=7, compared=50, different=2)))
    assert "3.3 (of 7) [2 of 50 answers differ]" in page


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([], []),
        ([0.1, 0.5], [0.1, 0.5]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.4, 0.5, 0.5, 0.9], [0.3667, 0.4667, 0.5667, 0.9]),
    ],
)
def test_labels_are_moved_apart_around_where_they_belong(heights, expected) -> None:
    assert spread_out(heights, 0.1) == pytest.approx(expected, abs=1e-3)
