"""A migration that fails half way leaves the version before, whole; servers may start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from central_command.store.migrate import current, migrate
from central_command.store.telemetry import keep_partitions
from tests.support.central import NOW, add_rule, add_runbook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central_command.postgres.server import PostgresServer


_ALL = ["0001", "0002", "0003"]


@pytest.fixture
def empty(server: PostgresServer) -> Iterator[str]:
    """A database without a table."""
    with server.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS unmigrated WITH (FORCE)")
        connection.execute("CREATE DATABASE unmigrated")
        yield psycopg.conninfo.make_conninfo(server.conninfo, dbname="unmigrated")
        connection.execute("DROP DATABASE unmigrated WITH (FORCE)")


def _tables(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
            " AND relname <> 'alembic_version_pkc'"
        ).fetchone()
    return row[0] if row else -1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_migration_that_fails_half_way_has_done_nothing_and_can_be_run_again(empty, monkeypatch, share) -> None:
    real = Path.read_bytes

    def torn(path: Path) -> bytes:
        text = real(path)
        if path.suffix != ".sql":
            return text
        statements = text.split(b";\n\n")
        return b";\n\n".join(statements[: int(len(statements) * share)]) + b";\nSELECT 1/0;"

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", torn)
        with pytest.raises(Exception, match="division by zero"):
            migrate(empty)
    assert (current(empty), _tables(empty)) == (None, 0)
    assert migrate(empty) == _ALL
    assert (current(empty), migrate(empty)) == (_ALL[-1], [])


def test_servers_that_start_at_once_make_tables_and_partitions_once(empty) -> None:
    def start(_number: int) -> int:
        migrate(empty)
        with psycopg.connect(empty, autocommit=True) as connection:
            return len(keep_partitions(connection, now=NOW))

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [0, 0, 0, 5]
    assert current(empty) == _ALL[-1]


def test_decisions_of_the_first_tables_are_kept_by_the_second(empty) -> None:
    migrate(empty, to="0001")
    with psycopg.connect(empty, autocommit=True) as connection:
        add_runbook(connection, "LIN-SSH-001")
        for hand in ("none", "pinned", "vetoed"):
            add_rule(connection, f"RULE-{hand}", hand=hand)
        before = connection.execute("SELECT rule_id, hand, enabled FROM l1_rules ORDER BY 1").fetchall()
        assert migrate(empty, to="0002") == ["0002"]
        assert connection.execute("SELECT rule_id, hand, enabled FROM l1_rules ORDER BY 1").fetchall() == before
        connection.execute("UPDATE l1_rules SET hand = 'disabled' WHERE rule_id = 'RULE-none'")
        assert connection.execute("SELECT rule_id FROM l1_rules WHERE enabled").fetchall() == [("RULE-pinned",)]
