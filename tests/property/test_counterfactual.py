"""Laws of counterfactuals: what is reported really matches, each edit is needed, and the cost is bounded."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_agent.domain.counterfactual import EDITS_MAX, counterfactual, failing_count, unsuggested
from compliance_agent.domain.edits import EditKind, apply, difference
from compliance_agent.domain.json_value import equal
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.pattern_change import pattern_change
from tests.property.test_analysis import DOCUMENTS, small_pattern
from tests.support.pattern_strategies import seeded

keys = st.sampled_from(["a", "b", "c", "site_id", "platform", "$x"])
texts = st.sampled_from(["", "web-01", "WEB-01", "web-02.example", "/usr/lib/x", "10.0.0.7", "2001:db8::1", "\u00e9"])
numbers = st.integers(-3, 9) | st.sampled_from([Decimal("0.5"), Decimal("4.25"), Decimal("1e40"), 2**64])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
documents = st.dictionaries(keys, values, max_size=5)
some_text = texts.filter(bool)

operators = st.one_of(
    st.fixed_dictionaries({}, optional={"$gt": numbers, "$gte": numbers, "$lt": numbers, "$lte": numbers}).filter(bool),
    st.fixed_dictionaries({}, optional={"$prefix": some_text, "$suffix": some_text, "$contains": some_text}).filter(
        bool
    ),
    st.fixed_dictionaries({"$in": st.lists(scalars, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"$nin": st.lists(scalars, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"$eq": values}),
    st.fixed_dictionaries({"$ne": values}),
    st.fixed_dictionaries({"$ieq": some_text}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$contains": numbers}),
    st.fixed_dictionaries({"$wildcard": st.sampled_from(["*", "web-??", "*.exe", "a\\*b"])}),
    st.fixed_dictionaries({"$regex": st.sampled_from(["^web-[0-9]+$", "^plain$", "x|y"])}),
    st.fixed_dictionaries({"$cidr": st.sampled_from(["10.0.0.0/8", ["2001:db8::/32", "192.0.2.0/24"]])}),
)


def _deeper(inner):
    fields = st.dictionaries(keys.map(lambda key: key.replace("$", "$$")), inner, max_size=3)
    lists = st.lists(inner, min_size=1, max_size=3)
    return (
        fields
        | st.lists(inner, max_size=2)
        | st.fixed_dictionaries({"$not": inner})
        | st.fixed_dictionaries({"$and": lists})
        | st.fixed_dictionaries({"$or": lists})
    )


sources = _deeper(st.recursive(scalars | operators, _deeper, max_leaves=8)).filter(lambda one: isinstance(one, dict))


def compiled(source):
    """Compile a random pattern; one that is refused is no pattern."""
    try:
        return compile_pattern(source)
    except PatternError:
        return None


patterns = sources.map(compiled).filter(bool)


@given(patterns, documents)
@settings(max_examples=300)
def test_an_edited_document_matches_and_every_edit_is_needed(pattern, document) -> None:
    change = counterfactual(pattern, document)
    if change is None:
        return
    assert pattern.matches(apply(document, change.edits))
    assert change.cost == sum(edit.cost for edit in change.edits)
    assert len(change.edits) <= EDITS_MAX
    for index in range(len(change.edits)):
        fewer = change.edits[:index] + change.edits[index + 1 :]
        assert not pattern.matches(apply(document, fewer))


@given(patterns, documents)
def test_a_document_that_matches_needs_no_edit_and_no_other_pattern(pattern, document) -> None:
    change, other = counterfactual(pattern, document), pattern_change(pattern, document)
    matches = pattern.matches(document)
    assert (change is not None and not change.edits) is matches
    assert (other is not None and not other.changes) is matches


@given(patterns, documents)
def test_asking_changes_neither_the_document_nor_the_pattern(pattern, document) -> None:
    before, source = copy.deepcopy(document), copy.deepcopy(pattern.source)
    counterfactual(pattern, document)
    unsuggested(pattern, document)
    pattern_change(pattern, document)
    assert equal(document, before)
    assert equal(pattern.source, source)


@given(patterns, documents)
@settings(max_examples=200)
def test_a_changed_pattern_matches_and_says_all_that_changed(pattern, document) -> None:
    change = pattern_change(pattern, document)
    if change is None or not change.changes:
        return
    assert compile_pattern(change.pattern).matches(document)
    assert change.in_words().count(" -> ") >= len(change.changes)


@given(patterns, documents)
def test_the_failing_clauses_are_counted_as_they_are_explained(pattern, document) -> None:
    assert failing_count(pattern, document) == sum(not clause.holds for clause in pattern.explain(document))


@given(patterns, documents)
def test_a_clause_without_suggestion_fails(pattern, document) -> None:
    failing = {(one.path, one.expected) for one in pattern.explain(document) if not one.holds}
    assert {(one.path, one.expected) for one in unsuggested(pattern, document)} <= failing


@given(documents, documents)
def test_a_difference_applied_gives_the_other_document(old, new) -> None:
    assert equal(apply(old, list(difference(old, new))), new)


@given(patterns, documents)
def test_an_edit_that_is_an_example_stands_for_more_than_itself(pattern, document) -> None:
    change = counterfactual(pattern, document)
    for edit in change.edits if change else ():
        assert edit.in_words(document).startswith(edit.place)
        assert ("for example" in edit.in_words(document)) == edit.example


@given(st.dictionaries(keys.map(lambda key: key.replace("$", "$$")), scalars, min_size=1), documents)
def test_plain_fields_need_an_edit_for_each_that_differs(source, document) -> None:
    change = counterfactual(compile_pattern(source), document)
    asked = {key.replace("$$", "$"): value for key, value in source.items()}
    differing = [key for key, value in asked.items() if key not in document or not equal(document[key], value)]
    assert change is not None
    assert sorted(edit.place for edit in change.edits) == sorted(differing)


@given(patterns, patterns, documents)
def test_of_two_alternatives_none_is_cheaper_than_what_is_told(left, right, document) -> None:
    told = counterfactual(compile_pattern({"$or": [left.source, right.source]}), document)
    for alone in (left, right):
        change = counterfactual(alone, document)
        assert change is None or (told is not None and told.cost <= change.cost)


@given(patterns, documents, st.integers(0, 300))
def test_a_small_budget_gives_no_wrong_answer(pattern, document, budget) -> None:
    change = counterfactual(pattern, document, budget=budget)
    assert change is None or pattern.matches(apply(document, change.edits))


@pytest.mark.parametrize("block", range(4))
def test_in_a_small_world_no_document_that_matches_is_nearer(block) -> None:
    """Left out: expressions and case folding, for which no value is guessed, and arrays, which get elements added."""
    asked = 0
    for seed in range(block * 250, block * 250 + 250):
        rng = seeded(seed)
        pattern = compiled(small_pattern(rng))
        if pattern is None or any(word in str(pattern.source) for word in ("$regex", "$ieq")):
            continue
        matching = [one for one in DOCUMENTS if pattern.matches(one)]
        document = rng.choice(DOCUMENTS)
        if not matching or pattern.matches(document):
            continue
        asked += 1
        nearest = min(sum(edit.cost for edit in difference(document, one)) for one in matching)
        told = counterfactual(pattern, document)
        assert told is not None, (pattern.source, document)
        if all(edit.kind is not EditKind.ADD for edit in told.edits):
            assert told.cost <= nearest, (pattern.source, document, told.edits)
    assert asked > 30
