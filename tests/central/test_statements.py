"""Every SQL statement of the code is prepared against freshly made tables: a column that is not there is found here.

Statements are found in the source, so a new one cannot be forgotten: every text of the package that begins like SQL.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

import central_command
from central_command.store import fold
from central_command.store.telemetry import INGEST

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(central_command.__file__).parent
_VERB = re.compile(
    r"\s*(DELETE FROM|(SELECT|INSERT INTO|UPDATE|WITH)\s(?=.*\b(FROM|SET|VALUES|pg_\w+|set_config)\b))", re.DOTALL
)
_HOLE = re.compile(r"(?<!')\{\w*\}")
_PARAMETER = re.compile(r"%\((\w+)\)s|%s")
# The first word of a statement stands in these, too: pieces that others are made of, or text for people.
_PIECES = {"central_command/store/counts.py": 1, "central_command/store/telemetry.py": 1}


def _texts(file: Path) -> Iterator[tuple[int, str | None]]:
    """Yield the line and text of what begins like SQL; ``None`` for one that is put together from pieces."""
    tree = ast.parse(file.read_text())
    inner = {id(child) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            if _VERB.match(node.value):
                yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            first = node.values[0]
            if isinstance(first, ast.Constant) and _VERB.match(str(first.value) + " FROM"):
                yield node.lineno, None


def _statements() -> dict[str, str]:
    """Return each statement of the package, by where it stands; those put together are taken from their module."""
    found = {}
    for file in sorted(_PACKAGE.rglob("*.py")):
        where = file.relative_to(_PACKAGE.parent)
        for line, text in _texts(file):
            if text is not None and not _HOLE.search(text) and "(%s) AS keys" not in text:
                found[f"{where}:{line}"] = text
    for name, value in vars(fold).items():
        if isinstance(value, str) and _VERB.match(value):
            found[f"fold.{name}"] = value
    counts = importlib.import_module("central_command.store.counts")
    found["counts.differences"] = (
        f"SELECT c.rule_id, ARRAY[{counts._of('c')}], ARRAY[{counts._of('r')}]"  # noqa: S608 - as the module puts it together
        " FROM l1_rule_counts c JOIN l1_rule_recount r USING (site_id, rule_id)"
        f" WHERE ({counts._of('c')}) IS DISTINCT FROM ({counts._of('r')}) ORDER BY c.rule_id"
    )
    return found


def _numbered(text: str) -> str:
    """Return a statement with PostgreSQL's own parameters, the same name the same number."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        name = match[1] or f"#{len(names)}"
        return f"${names.setdefault(name, len(names) + 1)}"

    return _PARAMETER.sub(number, text).replace("%%", "%")


def _prepare(connection: psycopg.Connection, text: str) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(fold._ROWS)
        connection.execute(f"PREPARE one AS {_numbered(text)}")
        connection.execute("DEALLOCATE one")


def test_every_statement_of_the_code_fits_the_tables(conninfo: str) -> None:
    statements = _statements()
    assert len(statements) > 50
    wrong = {}
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for where, text in statements.items():
            try:
                _prepare(connection, text)
            except psycopg.Error as error:
                wrong[where] = f"{error}: {text}"
        _prepare(connection, sql.SQL("{}").format(INGEST).as_string(connection))
    assert wrong == {}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT nothing FROM l1_rules",
        "UPDATE l1_rules SET rule_name = %s",
        "INSERT INTO sites (site_id, appliance_id) VALUES (%s, %s)",
        "DELETE FROM nowhere",
    ],
)
def test_a_statement_that_does_not_fit_is_found(conninfo: str, text: str) -> None:
    assert _VERB.match(text)
    with (
        psycopg.connect(conninfo, autocommit=True) as connection,
        pytest.raises(psycopg.ProgrammingError),
    ):
        _prepare(connection, text)


def test_no_statement_that_is_put_together_is_overlooked() -> None:
    """One more of them has to be added to ``_statements`` by its module, and counted here."""
    together = {}
    for file in sorted(_PACKAGE.rglob("*.py")):
        many = sum(text is None or _HOLE.search(text) is not None for _, text in _texts(file))
        if many and file.name != "fold.py":  # its constants are all taken
            together[str(file.relative_to(_PACKAGE.parent))] = many
    assert together == _PIECES
