"""What an earlier control plane left is taken whole, or not at all, with the line that is wrong."""

from __future__ import annotations

import psycopg
import pytest

from central_command.errors import CentralError
from central_command.store.database import Database
from central_command.store.ids import new_id
from central_command.store.imports import import_lines
from scripts import notes_data
from tests.support.central import NOW


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "line 2: Expecting property name"),
        (b"[]", "line 2: it is no object"),
        (b'{"kind": "rule"}', "line 2: lacks 'runbook_id'"),
    ],
)
def test_a_wrong_line_is_named_and_no_rule_is_taken(conninfo, line, problem) -> None:
    with Database(conninfo) as database, pytest.raises(CentralError, match=problem):
        import_lines(database, [next(notes_data.lines()), line], actor="test", now=NOW, new_id=new_id)
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT count(*) FROM l1_rules").fetchone() == (0,)
