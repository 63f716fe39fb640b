"""A migration that fails half way leaves the version before, whole; servers may start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from central_command.store.migrate import current, migrate
from central_command.store.telemetry import keep_partitions
from tests.support.central import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central_command.postgres.server import PostgresServer


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
    assert migrate(empty) == ["0001"]
    assert (current(empty), migrate(empty)) == ("0001", [])


def test_servers_that_start_at_once_make_tables_and_partitions_once(empty) -> None:
    def start(_number: int) -> int:
        migrate(empty)
        with psycopg.connect(empty, autocommit=True) as connection:
            return len(keep_partitions(connection, now=NOW))

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [0, 0, 0, 5]
    assert current(empty) == "0001"
