"""Back a database up into one file, and make a database of such a file again: PostgreSQL's own programs do the work.

The file is the custom format of ``pg_dump``: one consistent state, taken while the server works. It holds what
appliances reported, evidence included, so it is for its owner alone. Keys that sign rules are not in it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from central_command.errors import DatabaseError
from central_command.postgres.server import find_programs
from central_command.store import counts
from central_command.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROLES: Final = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'central_agent') THEN CREATE ROLE central_agent NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'central_fleet') THEN CREATE ROLE central_fleet NOLOGIN; END IF;
END $$
"""
"""Roles belong to the server and not to a database: a backup has none."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored database holds.

    Attributes:
        reports: Rows of telemetry.
        rules: Rules, of any stage.
        appliances: Enrolled appliances.
        differing: Rules whose counters are not what their rows say.

    """

    reports: int
    rules: int
    appliances: int
    differing: int


def back_up(conninfo: str, path: Path) -> int:
    """Write a backup to a new file with mode 0600, whole or not at all; return its size in bytes.

    Raises:
        DatabaseError: The file is there already or cannot be written, or ``pg_dump`` failed.

    """
    if path.exists():
        message = f"{path} is there already"
        raise DatabaseError(message, hint="a backup is never overwritten: give each its own name")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        programs = find_programs(connection.info.server_version // 10_000)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # with mode 0600
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise DatabaseError(message, hint="name a folder that is there and may be written") from error
    try:
        _run(programs / "pg_dump", conninfo, ["--format=custom", "--no-owner", f"--file={name}"])
        subprocess.run([programs / "pg_restore", "--list", name], check=True, stdout=subprocess.DEVNULL)
        os.fsync(descriptor)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    _flush(path.parent)
    return path.stat().st_size


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def restore(conninfo: str, path: Path) -> Restored:
    """Fill an empty database from a backup, in one transaction, bring it to this release, and compare its counters.

    Raises:
        DatabaseError: The database is not empty, the file is no backup or of a newer release, or ``pg_restore`` failed.

    """
    if not path.is_file():
        message = f"there is no file {path}"
        raise DatabaseError(message, hint="name a file that central-command backup wrote")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        programs = find_programs(connection.info.server_version // 10_000)
        tables = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchone()
        if tables != (0,):
            message = f"the database {connection.info.dbname} is not empty"
            raise DatabaseError(message, hint="a backup goes into a database that was just made: createdb NAME")
        connection.execute(_ROLES)
    _run(programs / "pg_restore", conninfo, ["--no-owner", "--single-transaction", "--exit-on-error", str(path)])
    migrate(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        ((reports, rules, appliances),) = connection.execute(
            "SELECT (SELECT count(*) FROM execution_telemetry), (SELECT count(*) FROM l1_rules),"
            " (SELECT count(*) FROM appliances)"
        ).fetchall()
        return Restored(reports, rules, appliances, len(counts.differences(connection)))


def _run(program: Path, conninfo: str, arguments: list[str]) -> None:
    """Run one of PostgreSQL's programs; a password goes by the environment, since all can read command lines."""
    values = psycopg.conninfo.conninfo_to_dict(conninfo)
    environment: Mapping[str, str] = os.environ
    if (password := values.pop("password", None)) is not None:
        environment = {**os.environ, "PGPASSWORD": str(password)}
    target = psycopg.conninfo.make_conninfo("", **values)
    done = subprocess.run(
        [program, f"--dbname={target}", "--no-password", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        message = f"{program.name} failed: {done.stderr.strip() or done.returncode}"
        raise DatabaseError(message, hint="nothing was changed; the role has to own the tables and bypass row security")
