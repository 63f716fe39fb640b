"""Bring a database to this release's tables. Alembic keeps the count; each migration is one numbered SQL file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from central_command.errors import DatabaseError

_FOLDER: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x0CE4_7A11
"""Advisory lock: two servers that start at once migrate one after the other."""

OLDEST_MAJOR: Final = 15
"""The oldest PostgreSQL that the tables work on (``security_invoker`` views)."""


def migrate(conninfo: str, *, to: str = "head") -> list[str]:
    """Run the migrations that are missing, each in its own transaction; return their numbers.

    Args:
        conninfo: As libpq takes it; its role owns the tables.
        to: The number to stop at, e.g. ``0001``.

    Raises:
        DatabaseError: The server is too old, or the database was written by a newer release.

    """
    scripts = ScriptDirectory.from_config(_config())
    done: list[str] = []
    with psycopg.connect(conninfo, autocommit=True) as locked:
        _refuse_old_server(locked)
        locked.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            _refuse_newer_tables(connection, scripts)

            def upgrade(revision: object, _context: MigrationContext) -> object:
                steps = scripts._upgrade_revs(to, revision)  # type: ignore[arg-type]  # noqa: SLF001
                done.extend(step.revision.revision for step in steps)
                return steps

            with EnvironmentContext(_config(), scripts, fn=upgrade) as environment:
                environment.configure(connection=connection, transaction_per_migration=True)
                with environment.begin_transaction():
                    environment.run_migrations()
            connection.commit()
    return done


def current(conninfo: str) -> str | None:
    """Return the number of the newest migration that a database has, ``None`` if it has none."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


def _refuse_old_server(connection: psycopg.Connection) -> None:
    major = connection.info.server_version // 10_000
    if major < OLDEST_MAJOR:
        message = f"PostgreSQL {major} is too old"
        raise DatabaseError(message, hint=f"use {OLDEST_MAJOR} or newer")


def _refuse_newer_tables(connection: sqlalchemy.Connection, scripts: ScriptDirectory) -> None:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None and revision not in {script.revision for script in scripts.walk_revisions()}:
        message = f"the database is at migration {revision}, which this release does not know"
        raise DatabaseError(message, hint="run the release that wrote it, or a newer one; there is no way back")
