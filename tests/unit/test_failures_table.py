"""The table of failures and the files agree: every number, every test, every guard."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.failures.guards import GUARDS

REPOSITORY: Final = Path(__file__).parents[2]
FOLDER: Final = REPOSITORY / "tests" / "failures"
NO_GUARD: Final = {"test_also_orders_that_nobody_signed.py"}
"""Tests of what is not there yet: nothing could be taken out."""


@dataclass(frozen=True)
class Row:
    number: str
    tests: list[str]
    guard: str
    issue: str


def rows() -> list[Row]:
    """Return the rows of both tables; ``also`` in place of a number."""
    found = []
    for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|") or cells[0] in {"number", "failure"} or set(line) <= set("|- "):
            continue
        number = f"{int(cells[0]):02}" if len(cells) == 5 else "also"
        found.append(Row(number, re.findall(r"`(test_\w+\.py)`", cells[-3]), cells[-2], cells[-1]))
    return found


ROWS: Final = rows()


def test_all_forty_stand_in_the_table_once_and_in_order() -> None:
    assert [row.number for row in ROWS if row.number != "also"] == [f"{number:02}" for number in range(1, 41)]


def test_every_file_stands_in_the_table_and_every_file_of_the_table_is_there() -> None:
    named = [name for row in ROWS for name in row.tests]
    there = {path.name for path in FOLDER.glob("test_*.py")} - {"test_guards.py"}
    assert len(named) == len(set(named))
    assert set(named) == there
    for row in ROWS:
        assert row.tests
        assert all(name.startswith(f"test_{row.number}_") for name in row.tests)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.tests[0])
def test_the_guards_of_a_row_are_those_that_are_taken_out(row: Row) -> None:
    guards = [guard for guard in GUARDS if guard.test.split("::")[0] in row.tests]
    files = {guard.file.rpartition("/")[2] for guard in guards}
    named = re.findall(r"`([^`]+)`", row.guard)
    if set(row.tests) <= NO_GUARD:
        assert (guards, named) == ([], [])
        return
    assert guards
    assert {guard.failure for guard in guards} == {row.number}
    assert files == {name for name in named if re.search(r"\.(py|yaml|sh|nix)$", name)}
    text = "".join((REPOSITORY / guard.file).read_text(encoding="utf-8") for guard in guards)
    for name in set(named) - files:
        last = name.rpartition(".")[2] if re.fullmatch(r"[A-Za-z]\w*\.\w+", name) else name
        assert last.removesuffix("...") in text, f"{name} is not in {', '.join(files)}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.tests[0])
def test_what_is_unfinished_is_said_by_the_test_itself(row: Row) -> None:
    issues = re.findall(r"\b(\d+) \(", row.issue)
    assert bool(issues) == (row.issue != "-")
    said = "".join((FOLDER / name).read_text(encoding="utf-8").split('"""')[1] for name in row.tests)
    assert set(issues) == set(re.findall(r"[Ii]ssue (\d+)", said))


def test_nothing_is_left_out_and_nothing_is_true_by_itself() -> None:
    forbidden = re.compile(r"\bskip|xfail|assert True\b")
    assert [path.name for path in FOLDER.glob("test_*.py") if forbidden.search(path.read_text(encoding="utf-8"))] == []
