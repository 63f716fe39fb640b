"""What a document points to is there: files, and headings in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")


def headings(text: str) -> set[str]:
    """Return the anchors that a forge makes of a document's headings."""
    titles = re.findall(r"^#+ +(.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(document: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    text = document.read_text(encoding="utf-8")
    dead = []
    for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", _FENCED.sub("", text))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        there = document.parent / name if name else document
        if not there.exists() or (
            anchor and there.suffix == ".md" and anchor not in headings(there.read_text(encoding="utf-8"))
        ):
            dead.append(f"{document}: {link}")
    return dead


def test_every_relative_link_of_every_document_leads_somewhere(root, repository_files) -> None:
    documents = [root / name for name in repository_files if str(name).endswith(".md")]
    assert len(documents) > 20
    assert [link for document in documents for link in dead_links(document)] == []


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("[a](b.md)", []),
        ("[a](b.md#a-heading-of-b)", []),
        ("# Here, too\n[a](#here-too)", []),
        ("[a](https://example.org/x)", []),
        ("`[a](c.md)`\n```\n[a](c.md)\n```\n", []),
        ("[a](c.md)", ["c.md"]),
        ("[a](b.md#another)", ["b.md#another"]),
        ("[a](#nowhere)", ["#nowhere"]),
    ],
)
def test_a_dead_link_is_found(tmp_path, text, dead) -> None:
    (tmp_path / "b.md").write_text("# A *heading* of `b`\n", encoding="utf-8")
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    assert dead_links(tmp_path / "a.md") == [f"{tmp_path / 'a.md'}: {one}" for one in dead]
