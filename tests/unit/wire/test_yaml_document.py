"""YAML as this product reads it: exact, strict, and every problem with its place."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from compliance_agent.errors import InputError
from compliance_agent.wire import yaml_document
from compliance_agent.wire.yaml_document import SIZE_MAX_BYTES, read_yaml, write_yaml

if TYPE_CHECKING:
    from compliance_agent.errors import InputProblem


@pytest.fixture(params=["fastest", "pure"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test with libyaml (where built in) and with pyyaml's own parser."""
    if request.param == "pure":
        monkeypatch.setattr(yaml_document, "_Loader", yaml.SafeLoader)


def problems_of(text: str | bytes) -> tuple[InputProblem, ...]:
    with pytest.raises(InputError) as caught:
        read_yaml(text, source="f.yaml")
    return caught.value.problems


MEANINGS: list[tuple[str, Any]] = [
    ("1", 1),
    ("-17", -17),
    ("0", 0),
    ("1.50", Decimal("1.50")),
    ("0.1", Decimal("0.1")),
    ("-0.5e-3", Decimal("-0.5e-3")),
    ("1e3", Decimal("1e3")),
    ("true", True),
    ("false", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("2026-01-31", "2026-01-31"),
    ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
    ("1.2.3", "1.2.3"),
    ("192.0.2.1:22", "192.0.2.1:22"),
    ("06:00", "06:00"),
    ("yesterday", "yesterday"),
    ("'yes'", "yes"),
    ('"0644"', "0644"),
    ("12_abc", "12_abc"),
]


@pytest.mark.parametrize(("text", "expected"), MEANINGS)
def test_a_plain_scalar_has_one_exact_meaning(text: str, expected: object) -> None:
    value = read_yaml(f"a: {text}\n", source="f.yaml").value
    assert value == {"a": expected}
    assert isinstance(value, dict)
    assert type(value["a"]) is type(expected)


SURPRISES = [
    *("yes", "no", "on", "off", "y", "n", "Yes", "NO", "oN", "Y", "True", "FALSE", "Null", "NULL"),
    *("0644", "-01", "08", "0o644", "0x1F", "0b101", "1_000", "1_0.5", "22:10", "1:2:3", "190:20:30.15"),
    *(".inf", "-.inf", ".NaN", "+5", ".5", "5.", "01.5", "+1.5"),
]


@pytest.mark.parametrize("text", SURPRISES)
def test_a_plain_scalar_that_readers_disagree_about_is_refused_with_its_remedy(text: str) -> None:
    (problem,) = problems_of(f"a: 1\nb: {text}\n")
    assert (problem.line, problem.column, problem.path) == (2, 4, "b")
    assert text in problem.message
    assert "quote it" in problem.hint


@pytest.mark.parametrize("text", SURPRISES)
def test_the_same_text_in_quotes_is_text(text: str) -> None:
    assert read_yaml(f'a: "{text}"\n', source="f.yaml").value == {"a": text}


@pytest.mark.parametrize("text", ["9" * 4001, "1e16384", "0." + "1" * 16_384])
def test_a_number_beyond_the_bounds_is_refused(text: str) -> None:
    (problem,) = problems_of(f"a: {text}\n")
    assert "a number" in problem.message


def test_a_number_at_the_bounds_is_read() -> None:
    value = read_yaml("a: " + "9" * 4000 + "\nb: 1e-16383\n", source="f.yaml").value
    assert value == {"a": int("9" * 4000), "b": Decimal("1e-16383")}


REFUSED = [
    ("a: 1\nb: 2\na: 3\n", (3, 1), "first in line 1"),
    ("a:\n  x: 1\n  x: 2\n", (3, 3), "first in line 2"),
    ("5: a\n", (1, 1), "the key 5 is no text"),
    ("null: a\n", (1, 1), "the key null is no text"),
    ("a: &x 1\n", (1, 4), "anchor"),
    ("<<: {a: 1}\n", (1, 1), "merge key"),
    ("a: !!str 5\n", (1, 4), "tag"),
    ("a: !foo {}\n", (1, 4), "tag"),
    ("!x a: 1\n", (1, 1), "tag"),
    ("? [1, 2]\n: 3\n", (1, 3), "key that is no text"),
    ("on: 1\n", (1, 1), "on without quotes"),
    ("a: 1\n---\nb: 2\n", (2, 1), "more than one document"),
    ("", (0, 0), "holds no document"),
    ("# nothing\n", (0, 0), "holds no document"),
    ("---\n", (0, 0), "holds no document"),
    ("a:\n\tb: 1\n", (2, 1), "a tab"),
    ("a: [1\n", (2, 1), "not YAML"),
    ("a: b: c\n", (1, 5), "not YAML"),
    ("a: \x07\n", (1, 4), "U+0007"),
    ('a: "\\0"\n', (1, 4), "NUL"),
]


@pytest.mark.parametrize(("text", "place", "message"), REFUSED)
def test_what_is_no_part_of_our_yaml_is_refused_at_its_place(text: str, place: tuple[int, int], message: str) -> None:
    problem = problems_of(text)[0]
    assert message in problem.message
    assert (problem.line, problem.column) == place


def test_half_a_surrogate_pair_is_refused() -> None:
    assert problems_of('a: "\\ud800"\n')[0].line == 1


def test_an_alias_is_refused_beside_its_anchor() -> None:
    messages = [problem.message for problem in problems_of("a: &x 1\nb: *x\n")]
    assert messages == ["the anchor &x", "the alias *x"]


def test_every_problem_is_reported_where_reading_can_go_on() -> None:
    problems = problems_of("a: yes\nb: [0644, 1, 22:10]\nc: {d: 1, d: 2}\n")
    assert [(problem.line, problem.path) for problem in problems] == [(1, "a"), (2, "b[0]"), (2, "b[2]"), (3, "c.d")]


def test_problems_before_a_syntax_error_are_kept() -> None:
    assert [problem.line for problem in problems_of("a: yes\nb: [1\n")] == [1, 3]


def test_nesting_at_the_bound_is_read_and_beyond_it_refused() -> None:
    read_yaml("[" * 64 + "]" * 64, source="f.yaml")
    (problem,) = problems_of("[" * 65 + "]" * 65)
    assert "64 levels" in problem.message


def test_very_deep_nesting_is_refused_without_a_crash() -> None:
    assert "64 levels" in problems_of("[" * 20_000)[0].message


def test_a_document_larger_than_a_mebibyte_is_refused() -> None:
    assert "larger" in problems_of(b"#" * (SIZE_MAX_BYTES + 1))[0].message


def test_a_byte_order_mark_is_accepted() -> None:
    document = read_yaml(b"\xef\xbb\xbfa: 1\n", source="f.yaml")
    assert document.value == {"a": 1}
    assert document.position(("a",)) == (1, 1)


def test_bytes_that_are_no_utf8_are_refused_with_their_place() -> None:
    (problem,) = problems_of(b"a: 1\nb: \xff\n")
    assert (problem.line, problem.column) == (2, 4)
    assert "UTF-8" in problem.hint


def test_every_part_knows_its_place() -> None:
    document = read_yaml("targets:\n  - id: a\n  - id: b\n    port: 5\n", source="f.yaml")
    assert document.position(("targets", 1, "port")) == (4, 5)
    assert document.position(("targets", 1)) == (3, 5)


def test_what_is_absent_has_the_place_of_its_nearest_ancestor() -> None:
    document = read_yaml("targets:\n  - id: a\n", source="f.yaml")
    assert document.position(("targets", 0, "port")) == (2, 5)
    assert document.position(("nothing",)) == (1, 1)


def test_a_problem_names_file_line_column_path_and_remedy() -> None:
    document = read_yaml("targets:\n  - port: 0\n", source="f.yaml")
    problem = document.problem(("targets", 0, "port"), "got 0, need 1 or more", "correct it")
    assert str(problem) == "f.yaml:2:5: targets[0].port: got 0, need 1 or more (correct it)"


@pytest.mark.parametrize("text", [*SURPRISES, "2026-01-31", "", "~", "a: b", "# x", "é 😀", "two\nlines", "'", '"'])
def test_written_text_is_read_back(text: str) -> None:
    value = {"k": text, text or "empty": [text]}
    assert read_yaml(write_yaml(value), source="f.yaml").value == value
