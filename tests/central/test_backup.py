"""A backup is a file of which the same database can be made again, with its rights, and nothing else."""

from __future__ import annotations

import stat

import psycopg
import pytest
from psycopg import sql

from central_command.cli.main import run
from central_command.errors import DatabaseError
from central_command.postgres.server import PostgresUnavailableError, find_programs
from central_command.store import counts
from central_command.store.backup import back_up, restore
from central_command.store.fold import fold
from tests.support.central import NOW, add_site, as_agent, empty_database, execution, report


@pytest.fixture
def elsewhere(server):
    """A database that was just made: how to reach it."""
    with server.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS elsewhere WITH (FORCE)")
        connection.execute("CREATE DATABASE elsewhere")
    yield psycopg.conninfo.make_conninfo(server.conninfo, dbname="elsewhere")
    with server.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS elsewhere WITH (FORCE)")


def _content(conninfo: str) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
        return {
            name: sorted(
                connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))).fetchall()
            )
            for (name,) in tables
        }


def test_a_restored_database_holds_the_same_and_goes_on_as_the_first(
    conninfo, owner, agent, fleet, elsewhere, tmp_path
) -> None:
    add_site(owner, "site-2", "b")
    reports = [execution(), execution("failed"), execution()]
    report(agent, reports[:2])
    fold(fleet, now=NOW)
    report(agent, reports[2:])  # not folded yet
    assert back_up(conninfo, tmp_path / "one.dump") > 1000
    found = restore(elsewhere, tmp_path / "one.dump")
    assert (found.reports, found.rules, found.appliances, found.differing) == (3, 1, 2, 0)
    assert _content(elsewhere) == _content(conninfo)
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        assert report(connection, reports) == frozenset(), "what was sent before the backup counts once"
        with as_agent(connection, "site-2"):
            assert connection.execute("SELECT count(*) FROM execution_telemetry").fetchone() == (0,)
        connection.execute("SET ROLE central_fleet")
        fold(connection, now=NOW)
        assert counts.differences(connection) == []
        assert connection.execute("SELECT match_count FROM l1_rules").fetchone() == (3,)


def test_a_backup_is_for_its_owner_alone_and_is_never_overwritten(conninfo, owner, tmp_path) -> None:
    path = tmp_path / "one.dump"
    back_up(conninfo, path)
    content = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(DatabaseError, match="is there already"):
        back_up(conninfo, path)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (content, [path])


def test_a_backup_that_fails_leaves_no_file(conninfo, owner, tmp_path) -> None:
    owner.execute("CREATE ROLE stranger LOGIN")
    try:
        with pytest.raises(DatabaseError, match=r"pg_dump failed: .*permission denied"):
            back_up(psycopg.conninfo.make_conninfo(conninfo, user="stranger"), tmp_path / "one.dump")
    finally:
        owner.execute("DROP ROLE stranger")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(conninfo, owner, tmp_path) -> None:
    with pytest.raises(DatabaseError, match="cannot be written"):
        back_up(conninfo, tmp_path / "nowhere" / "one.dump")


def test_a_database_with_anything_in_it_takes_no_backup(conninfo, owner, tmp_path) -> None:
    back_up(conninfo, tmp_path / "one.dump")
    before = _content(conninfo)
    with pytest.raises(DatabaseError, match="is not empty"):
        restore(conninfo, tmp_path / "one.dump")
    assert _content(conninfo) == before


@pytest.mark.parametrize("content", [b"", b"PGDMP", b"no backup at all\n" * 100])
def test_what_is_no_backup_leaves_the_database_empty(elsewhere, tmp_path, content) -> None:
    path = tmp_path / "one.dump"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="pg_restore failed"):
        restore(elsewhere, path)
    assert _content(elsewhere) == {}


def test_half_a_backup_leaves_the_database_empty(conninfo, owner, elsewhere, tmp_path) -> None:
    back_up(conninfo, tmp_path / "one.dump")
    content = (tmp_path / "one.dump").read_bytes()
    (tmp_path / "half.dump").write_bytes(content[: len(content) // 2])
    with pytest.raises(DatabaseError, match="pg_restore failed"):
        restore(elsewhere, tmp_path / "half.dump")
    assert _content(elsewhere) == {}


def test_the_commands_tell_what_they_did(conninfo, owner, agent, elsewhere, tmp_path, capsys) -> None:
    report(agent, [execution()])
    assert run(["--database", conninfo, "backup", str(tmp_path / "one.dump")]) == 0
    assert "bytes" in capsys.readouterr().out
    assert run(["--database", elsewhere, "restore", str(tmp_path / "one.dump")]) == 0
    assert capsys.readouterr().out == (
        "restored: 1 appliances, 1 rules, 1 reports\nthe counters are what the rows say\n"
    )
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        empty_database(connection)
    assert run(["--database", elsewhere, "restore", str(tmp_path / "one.dump")]) == 1
    assert "createdb" in capsys.readouterr().err


def test_a_password_is_in_no_command_line(conninfo, owner, tmp_path, monkeypatch) -> None:
    import subprocess

    seen = []
    real = subprocess.run

    def watched(command, **options):
        seen.append((command, options.get("env") or {}))
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    back_up(psycopg.conninfo.make_conninfo(conninfo, password="hunter2x"), tmp_path / "one.dump")
    assert not any("hunter2x" in str(command) for command, _ in seen)
    assert any(environment.get("PGPASSWORD") == "hunter2x" for _, environment in seen)


def test_a_server_that_is_newer_than_every_pg_dump_is_told_so() -> None:
    with pytest.raises(PostgresUnavailableError, match="PostgreSQL 99"):
        find_programs(99)
