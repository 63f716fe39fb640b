"""Documents: what is written is read back, and no input does worse than an InputError."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from compliance_agent.domain.json_value import equal
from compliance_agent.errors import InputError
from compliance_agent.wire.json_document import read_json, read_ndjson, write_json
from compliance_agent.wire.yaml_document import read_yaml, write_yaml
from compliance_agent.wire.yaml_scalars import ScalarRefusedError, plain_scalar

if TYPE_CHECKING:
    from compliance_agent.errors import InputProblem

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | texts


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
    )


def problems_of(read: Any, data: str | bytes) -> tuple[InputProblem, ...]:
    try:
        read(data, source="f")
    except InputError as error:
        return error.problems
    return ()


def same(left: Any, right: Any) -> bool:
    return equal(left, right) and repr(left) == repr(right)


@given(trees(scalars | decimals))
def test_json_that_is_written_is_read_back_exactly(value: Any) -> None:
    assert equal(read_json(write_json(value), source="f"), value)


@given(trees(scalars | decimals))
def test_written_json_is_what_others_read_too(value: Any) -> None:
    assert equal(json.loads(write_json(value), parse_float=Decimal), value)


@given(trees(scalars))
@example({"yes": "0644", "22:10": ["y", "~", "", " x ", "é\u2028😀\x07\x85"]})
@example({"\x85": "long " * 40})
def test_yaml_that_is_written_is_read_back_exactly(value: Any) -> None:
    document = {"value": value}
    assert same(read_yaml(write_yaml(document), source="f").value, document)


@given(st.text() | trees(scalars).map(json.dumps))
def test_any_text_is_read_as_json_or_refused_with_a_place(text: str) -> None:
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems_of(read_json, text))


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_as_documents_or_refused(data: bytes) -> None:
    for read in (read_json, read_yaml):
        problems_of(read, data)
    with contextlib.suppress(InputError):
        list(read_ndjson(data.split(b"\n"), source="f"))


@given(st.text(st.sampled_from("ab:-[]{}&*!#|>'\",.?\n\t 019~<"), max_size=60))
def test_any_text_is_read_as_yaml_or_refused_within_it(text: str) -> None:
    assert all(problem.line <= text.count("\n") + 2 for problem in problems_of(read_yaml, text))


@given(
    st.text(st.sampled_from("0123456789+-._:eExXob~"), min_size=1, max_size=10)
    | st.sampled_from(["yes", "No", "TRUE", "off", "Null", ".Inf", "-.INF", ".nan", "2026-01-01", "1:30:00.5"])
)
def test_a_plain_scalar_that_yaml_1_1_would_convert_is_exact_a_date_or_refused(text: str) -> None:
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    try:
        value = plain_scalar(text)
    except ScalarRefusedError:
        return
    if tag.endswith((":int", ":float")):
        assert isinstance(value, int | Decimal)
        assert not isinstance(value, bool)
        assert Decimal(text) == value
    elif tag.endswith((":bool", ":null")):
        assert value is {"true": True, "false": False}.get(text)
    elif isinstance(value, str):
        assert value == text


@given(st.lists(st.binary(max_size=10).filter(lambda line: b"\n" not in line), max_size=5), st.integers(0, 5))
def test_ndjson_counts_every_line(blanks: list[bytes], position: int) -> None:
    lines = [b" " * len(line) for line in blanks]
    lines.insert(min(position, len(lines)), b"{}")
    assert list(read_ndjson(lines, source="f")) == [(lines.index(b"{}"), {})]
