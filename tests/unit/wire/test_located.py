"""Places of parts of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.wire.located import Located, find_path, render_path

if TYPE_CHECKING:
    from compliance_agent.wire.located import Path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("targets", 2, "port"), "targets[2].port"),
        (("a", "b c", 0), 'a["b c"][0]'),
        (("facts", "$in"), "facts.$in"),
    ],
)
def test_a_path_is_shown_as_people_write_it(path: Path, text: str) -> None:
    assert render_path(path) == text


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("facts.users[0].$in", ("facts", "users", 0, "$in")),
        ("facts.a.b", ("facts", "a.b")),
        ("facts.users[9]", ("facts", "users")),
        ("facts.nothing", ("facts",)),
        ("", ()),
    ],
)
def test_a_path_in_words_is_found_as_far_as_it_exists(text: str, path: Path) -> None:
    assert find_path({"facts": {"users": [{"$in": 1}], "a.b": 1}}, text) == path


def test_without_lines_a_place_is_the_path() -> None:
    assert Located([], "f.json").place(("rules", 3)) == "f.json: rules[3]"
    assert Located([], "f.json").place(()) == "f.json"


def test_a_document_tells_what_it_holds() -> None:
    document = Located({"a": [1, {"b": None}]}, "f")
    assert document.holds(("a", 1, "b"))
    assert not document.holds(("a", 2))
    assert not document.holds(("a", 1, "c"))
