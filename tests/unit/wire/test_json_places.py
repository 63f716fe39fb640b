"""Each part of a JSON document is found at its line and column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.wire import json_places
from compliance_agent.wire.document import read_document
from compliance_agent.wire.json_places import JsonPlaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.wire.located import Path

LINES = """{ "rules" : [
    {"rule_id": "a", "n": 1},
 {"rule_id": "é", "rule_id": "b",
  "n": [10, [20],30]} ]
}"""

keys = st.text(max_size=3)
leaves = st.none() | st.booleans() | st.integers(-9, 99) | st.floats(allow_nan=False, allow_infinity=False) | keys
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("rules",), (1, 3)),
        (("rules", 0), (2, 5)),
        (("rules", 0, "n"), (2, 22)),
        (("rules", 1, "rule_id"), (3, 19)),
        (("rules", 1, "n"), (4, 3)),
        (("rules", 1, "n", 1, 0), (4, 14)),
        (("rules", 1, "n", 2), (4, 18)),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_part_stands_where_it_is_written_and_of_a_key_that_stands_twice_the_last_counts(
    path: Path, place: tuple[int, int], ending: str, mark: bytes
) -> None:
    assert JsonPlaces(mark + LINES.replace("\n", ending).encode()).get(path) == place


@pytest.mark.parametrize("path", [("none",), ("rules", 2), ("rules", -1), ("rules", "0"), ("rules", 0, "n", 0), (0,)])
def test_what_is_not_there_is_not_found_and_has_the_place_of_what_should_hold_it(path: Path) -> None:
    assert JsonPlaces(LINES).get(path) is None
    document = read_document(LINES, source="f.json")
    assert document.position(path) == document.position(path[:-1])


@given(values, st.sampled_from([None, 0, 2]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_part_of_any_document_is_found(value: Any, indent: int | None, ending: str, plain: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plain).replace("\n", ending)
    places = JsonPlaces(text)
    lines = text.split("\n")
    for path, part in _parts(value, ()):
        line, column = places.get(path) or (0, 0)
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        read, end = json.JSONDecoder().raw_decode(rest)
        if path and isinstance(path[-1], str):
            assert read == path[-1]
            read, _ = json.JSONDecoder().raw_decode(rest[end:].lstrip(": "))
        assert read == part


def _parts(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in items:
        yield from _parts(part, (*path, step))


def test_numbers_that_python_would_not_read_are_passed_by() -> None:
    text = f'{{"a": [{"9" * 5_000}, 1e400000], "b": 1}}'
    assert JsonPlaces(text).get(("b",)) == (1, text.index('"b"') + 1)


def test_a_document_without_a_problem_is_not_gone_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_places, "_scan", None)
    document = read_document(LINES, source="f.json")
    origin = document.origin(("rules", 1))
    monkeypatch.undo()
    assert str(origin) == "f.json:3:2"


def test_a_part_too_deep_in_a_huge_document_has_the_place_of_what_holds_it() -> None:
    depth = 2 * json_places.LEVELS_SCANNED_MAX
    document = read_document("[1,\n" * depth + "[]" + "]" * depth, source="f.json")
    found = [document.position((1,) * level)[0] for level in range(depth + 1)]
    assert found[: json_places.LEVELS_SCANNED_MAX] == list(range(1, json_places.LEVELS_SCANNED_MAX + 1))
    assert found == sorted(found)
    assert found[-1] < depth
