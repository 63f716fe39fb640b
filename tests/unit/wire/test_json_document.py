"""JSON as this product reads and writes it."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.errors import InputError
from compliance_agent.wire.json_document import DEPTH_MAX, read_json, read_ndjson, write_json

if TYPE_CHECKING:
    from compliance_agent.errors import InputProblem


def problem_of(text: str | bytes) -> InputProblem:
    with pytest.raises(InputError) as caught:
        read_json(text, source="f.json")
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("1.0", Decimal("1.0")),
        ("1e3", Decimal("1e3")),
        ("0.1", Decimal("0.1")),
        ("-0", 0),
        ("9" * 4000, int("9" * 4000)),
        ("1E-16383", Decimal("1E-16383")),
        ("true", True),
        ("null", None),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\u0000"', "\\u0000"),
        ("\ufeff1", 1),
    ],
)
def test_a_value_is_read_exactly(text: str, expected: object) -> None:
    value = read_json(text, source="f.json")
    assert value == expected
    assert type(value) is type(expected)


def test_of_a_key_that_stands_twice_the_last_value_counts() -> None:
    assert read_json('{"a": 1, "a": 2}', source="f.json") == {"a": 2}


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1), "not JSON"),
        ("{'a': 1}", (1, 2), "not JSON"),
        ("[1,\n x]", (2, 2), "not JSON"),
        ("1 2", (1, 3), "not JSON"),
        ("[NaN]", (1, 2), "NaN"),
        ('["Infinity",\n -Infinity]', (2, 2), "-Infinity"),
        ('"\\u0000"', (1, 2), "NUL"),
        ('"\0"', (1, 2), "not JSON"),
        ('{"a\\u0000": 1}', (1, 4), "NUL"),
        ('"\\ud800"', (1, 2), "surrogate"),
        ('"\\udc00"', (1, 2), "surrogate"),
        ('"\\ud800\\ud800\\udc00"', (1, 2), "surrogate"),
        ('"\\ud800x"', (1, 2), "surrogate"),
        ('"\\ud800\\n"', (1, 2), "surrogate"),
        ('"\ud800"', (1, 2), "surrogate"),
        ('["9"\n, ' + "9" * 4001 + "]", (2, 3), "4,001 digits"),
        ("1e16384", (1, 1), "16,383"),
        ("1e-16384", (1, 1), "16,383"),
        ("1e" + "9" * 9000, (1, 1), "16,383"),
        ("0." + "1" * 16_384, (1, 1), "16,384 digits"),
        ("1" * 4001 + ".5", (1, 1), "4,001 digits"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(text: str, place: tuple[int, int], message: str) -> None:
    problem = problem_of(text)
    assert message in problem.message
    assert (problem.line, problem.column) == place


def test_bytes_that_are_no_utf8_are_refused() -> None:
    assert "UTF-8" in problem_of(b'"\xff"').message


def test_nesting_at_the_bound_is_read_and_beyond_it_refused() -> None:
    read_json("[" * DEPTH_MAX + "]" * DEPTH_MAX, source="f.json")
    problem = problem_of("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1))
    assert (problem.line, problem.column) == (1, DEPTH_MAX + 1)


@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_very_deep_nesting_is_refused_without_a_crash(opener: str) -> None:
    assert "nested deeper" in problem_of(opener * (sys.getrecursionlimit() * 50)).message


def test_brackets_inside_text_are_no_nesting() -> None:
    assert read_json('"' + "[" * 1000 + '\\""', source="f.json") == "[" * 1000 + '"'


def test_many_shallow_arrays_are_no_nesting() -> None:
    assert read_json("[" + "[]," * 1000 + "[]]", source="f.json") == [[]] * 1001


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ([], "[]"),
        ({"a": [1, Decimal("1.50"), None, True, "é\n"]}, '{"a":[1,1.50,null,true,"\\u00e9\\n"]}'),
        ((1, 2), "[1,2]"),
        (Decimal("1E+3"), "1E+3"),
    ],
)
def test_a_value_is_written_compactly_and_exactly(value: Any, text: str) -> None:
    assert write_json(value) == text


@pytest.mark.parametrize("value", [1.5, object(), {"a": {1}}, {1: 2}, b"x"])
def test_what_is_no_json_value_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        write_json(value)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity")])
def test_a_number_that_is_none_is_not_written(value: Decimal) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        write_json(value)


def test_ndjson_numbers_every_line_and_skips_blank_ones() -> None:
    lines = [b'\xef\xbb\xbf{"a": 1}\n', b"\n", b"   \r\n", b'{"b": 1.0}']
    assert list(read_ndjson(lines, source="f")) == [(0, {"a": 1}), (3, {"b": Decimal("1.0")})]


@pytest.mark.parametrize("bad", [b"[1]", b"5", b"{", b"\xff", b'{"a": NaN}'])
def test_a_line_that_is_no_object_is_refused_by_its_number(bad: bytes) -> None:
    with pytest.raises(InputError) as caught:
        list(read_ndjson([b"{}", b"", bad], source="f"))
    assert caught.value.problems[0].line == 3


@pytest.mark.parametrize("text", ['"[{"', r'"\\\""', "{}", "[]"])
@pytest.mark.parametrize("many", [1, 300])
def test_depth_is_counted_exactly_however_many_brackets_there_are(text: str, many: int) -> None:
    siblings = ",".join([text] * many)

    def nested(levels: int) -> bytes:
        return f"[{siblings},{'[' * levels}1{']' * levels}]".encode()

    assert isinstance(read_json(nested(DEPTH_MAX - 1), source="f"), list)
    with pytest.raises(InputError, match="nested deeper"):
        read_json(nested(DEPTH_MAX), source="f")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_ndjson_counts_columns_from_the_start_of_the_line(mark: bytes) -> None:
    with pytest.raises(InputError, match=r"^f:1:10: NaN"):
        list(read_ndjson([mark + b'  {"a":  NaN}\r\n'], source="f"))


def test_ndjson_is_read_lazily() -> None:
    rows = read_ndjson([b"{}", b"x"], source="f")
    assert next(rows) == (0, {})
