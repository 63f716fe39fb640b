from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.json_value import equal, kind_of
from compliance_agent.domain.pattern import compile_pattern

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

scalars = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text()
keys = st.text(max_size=5).filter(lambda key: not key.startswith("$"))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))
documents = st.dictionaries(keys, values, min_size=1, max_size=5)


@given(documents)
def test_every_document_contains_itself(document) -> None:
    assert compile_pattern(document).matches(document)


@given(documents, keys, values)
def test_containment_survives_a_field_more(document, key, value) -> None:
    wider = {key: value, **document}
    assert compile_pattern(document).matches(wider)


def _thinned(value: JsonValue, keep: st.DataObject) -> JsonValue:
    if isinstance(value, dict):
        return {key: _thinned(item, keep) for key, item in value.items() if keep.draw(st.booleans())}
    if isinstance(value, list):
        return [_thinned(item, keep) for item in value if keep.draw(st.booleans())]
    return value


@given(documents, st.data())
def test_every_document_contains_each_thinned_copy_of_itself(document, data) -> None:
    thinned = _thinned(document, data)
    assert isinstance(thinned, dict)
    if thinned:
        assert compile_pattern(thinned).matches(document)


@given(values, values)
def test_equality_is_symmetric_and_stays_within_one_kind(left, right) -> None:
    assert equal(left, right) == equal(right, left)
    if equal(left, right):
        assert kind_of(left) is kind_of(right)


@given(values, documents)
def test_eq_and_ne_are_opposites_where_the_field_is_there(value, document) -> None:
    there = {**document, "field": value}
    is_equal = compile_pattern({"field": {"$eq": document}}).matches(there)
    differs = compile_pattern({"field": {"$ne": document}}).matches(there)
    assert is_equal != differs


@given(documents, documents)
def test_not_is_the_opposite_and_or_is_either(pattern, document) -> None:
    plain = compile_pattern(pattern).matches(document)
    assert compile_pattern({"$not": pattern}).matches(document) is not plain
    assert compile_pattern({"$or": [pattern, {"\0": 0}]}).matches(document) is plain


@given(documents, documents)
def test_each_clause_of_an_explanation_agrees_with_the_verdict(pattern, document) -> None:
    compiled = compile_pattern(pattern)
    assert all(clause.holds for clause in compiled.explain(document)) == compiled.matches(document)
