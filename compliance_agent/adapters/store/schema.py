"""The schema of the state file: it is brought up to date by numbered, forward-only migrations, each one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.store.migrations import MIGRATIONS
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x43_41_67_31
"""Marks the file as ours, in SQLite's own header."""


def schema_version(connection: sqlite3.Connection, *, name: str) -> int:
    """Return the file's schema version, 0 for an empty file.

    Raises:
        StoreError: The file is of a newer version, or is no state file of this product.

    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application_id = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if application_id != APPLICATION_ID and (version or application_id or tables):
        raise StoreError(
            f"{name} is a SQLite file of some other program",
            hint="name another path for the state file, or move that file away",
        )
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{name} was written by a newer version of this program (schema {version}, this one knows up to "
            f"{len(MIGRATIONS)})",
            hint="install that newer version again; going back is not possible with the same state file",
        )
    return version


def migrate(connection: sqlite3.Connection, *, name: str, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Bring the file to the newest version, one transaction per step.

    The version is read again inside each transaction, since two processes may open the file at once.

    Raises:
        StoreError: As :func:`schema_version`.
        sqlite3.Error: A statement failed; the file stays at the version before it.

    """
    while schema_version(connection, name=name) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = schema_version(connection, name=name)
            if version < len(migrations):
                for statement in migrations[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
