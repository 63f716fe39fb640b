"""The profile: one value, one way to write it, and no floats."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.evidence.profile import (
    INTEGER_MAX,
    ProfileError,
    canonical_bytes,
    digest_of,
    profile_value,
    read_canonical,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_back(value) -> None:
    assert read_canonical(canonical_bytes(value)) == value


@given(VALUES)
def test_any_json_reader_reads_the_same(value) -> None:
    assert json.loads(canonical_bytes(value)) == value


@given(st.dictionaries(TEXTS, st.integers(0, 9), min_size=2), st.randoms())
def test_the_order_in_which_an_object_was_made_does_not_show(value, random) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical_bytes(dict(items)) == canonical_bytes(value)


def test_keys_are_ordered_by_utf_16_as_rfc_8785_asks() -> None:
    # RFC 8785, section 3.2.3: the example of property sorting, with its expected order.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    written = json.loads(canonical_bytes(dict.fromkeys(keys, 0)), object_pairs_hook=list)
    assert [key for key, _ in written] == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_strings_are_escaped_as_rfc_8785_asks() -> None:
    # RFC 8785, section 3.2.2.2.
    assert canonical_bytes('€$\u000f\nA\'B"\\\\"/') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()


@pytest.mark.parametrize(
    "value", [0.5, float("nan"), 2**53, -(2**53), [1.0], {"a": Decimal(1)}, {1: 2}, "\ud800", object(), b"x"]
)
def test_what_is_not_in_the_profile_is_refused(value) -> None:
    with pytest.raises(ProfileError):
        canonical_bytes(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1.0",
        b"1e3",
        b"NaN",
        b"-Infinity",
        b"-0",
        b" 1",
        b"01",
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'"\\u0041"',
        b"\xff",
        b"9007199254740992",
        b"[" * 100000,
        b'"\\ud800"',
        b'"\\/"',
        b"[1, 2]",
        b"\xef\xbb\xbf1",
    ],
)
def test_every_other_spelling_is_refused(data) -> None:
    with pytest.raises(ProfileError):
        read_canonical(data)


@given(st.integers() | st.decimals(allow_nan=False))
def test_every_number_has_a_place_in_the_profile(number) -> None:
    written = json.loads(canonical_bytes(profile_value(number)))
    assert Decimal(written) == number


def test_a_digest_does_not_depend_on_order_and_depends_on_value() -> None:
    assert digest_of({"a": 1, "b": Decimal("0.5")}) == digest_of({"b": Decimal("0.5"), "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})
