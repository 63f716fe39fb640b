"""The schema of the state file: numbered, forward-only migrations, each one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID: Final = 0x43_41_67_31
"""Marks the file as ours, in SQLite's own header."""

# A finished attempt has an outcome and an end, an unfinished one neither: there is no default that
# could turn silence into success.
_V1: Final = (
    """
    CREATE TABLE target (
      target_id TEXT PRIMARY KEY,
      site_id TEXT NOT NULL,
      scanned_at TEXT,
      attempted_at TEXT NOT NULL,
      fault TEXT NOT NULL,
      message TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE observation (
      target_id TEXT NOT NULL,
      check_id TEXT NOT NULL,
      verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fail', 'not_applicable', 'not_assessed', 'error')),
      reason TEXT NOT NULL,
      observed_at TEXT NOT NULL,
      facts TEXT NOT NULL,
      PRIMARY KEY (target_id, check_id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE incident (
      fingerprint TEXT PRIMARY KEY,
      site_id TEXT NOT NULL,
      target_id TEXT NOT NULL,
      check_id TEXT NOT NULL,
      opened_at TEXT NOT NULL,
      last_seen_at TEXT NOT NULL,
      closed_at TEXT
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX incident_place ON incident (target_id, check_id)",
    """
    CREATE TABLE attempt (
      attempt_id TEXT PRIMARY KEY,
      fingerprint TEXT NOT NULL,
      incident_id TEXT NOT NULL,
      site_id TEXT NOT NULL,
      target_id TEXT NOT NULL,
      check_id TEXT NOT NULL,
      rule_id TEXT NOT NULL,
      action TEXT NOT NULL,
      runbook_id TEXT NOT NULL,
      runbook_digest TEXT NOT NULL,
      begun_at TEXT NOT NULL,
      parameters TEXT NOT NULL,
      outcome TEXT CHECK (outcome IN
        ('remediated', 'failed', 'verify_failed', 'interrupted', 'unreachable', 'not_applicable')),
      reason TEXT,
      finished_at TEXT,
      CHECK ((outcome IS NULL) = (finished_at IS NULL) AND (outcome IS NULL) = (reason IS NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX attempt_unfinished ON attempt (fingerprint) WHERE finished_at IS NULL",
    "CREATE INDEX attempt_history ON attempt (fingerprint, finished_at)",
    "CREATE INDEX attempt_age ON attempt (finished_at)",
    """
    CREATE TABLE undo (
      undo_id INTEGER PRIMARY KEY,
      attempt_id TEXT NOT NULL REFERENCES attempt ON DELETE CASCADE,
      succeeded INTEGER NOT NULL CHECK (succeeded IN (0, 1)),
      actor TEXT NOT NULL,
      reason TEXT NOT NULL,
      at TEXT NOT NULL,
      steps TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX undo_once ON undo (attempt_id) WHERE succeeded = 1",
    "CREATE INDEX undo_attempt ON undo (attempt_id)",
    """
    CREATE TABLE outcome (
      outcome_id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      reason TEXT NOT NULL,
      incident_id TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      target_id TEXT NOT NULL,
      check_id TEXT NOT NULL,
      at TEXT NOT NULL,
      rule_id TEXT NOT NULL,
      action TEXT NOT NULL,
      attempt_id TEXT,
      until TEXT,
      steps TEXT NOT NULL,
      last_seen_at TEXT NOT NULL,
      seen_count INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX outcome_last ON outcome (fingerprint, outcome_id)",
    "CREATE INDEX outcome_age ON outcome (last_seen_at, outcome_id)",
    "CREATE INDEX outcome_target ON outcome (target_id, last_seen_at)",
    """
    CREATE TABLE alert (
      alert_id TEXT PRIMARY KEY,
      dedupe_key TEXT NOT NULL,
      kind TEXT NOT NULL,
      name TEXT NOT NULL,
      summary TEXT NOT NULL,
      document TEXT NOT NULL,
      raised_at TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'partly_delivered', 'dead')),
      raised_count INTEGER NOT NULL,
      last_raised_at TEXT NOT NULL,
      settled_at TEXT,
      CHECK ((state = 'pending') = (settled_at IS NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX alert_open ON alert (dedupe_key) WHERE state = 'pending'",
    "CREATE INDEX alert_key ON alert (dedupe_key, settled_at)",
    "CREATE INDEX alert_state ON alert (state, raised_at)",
    """
    CREATE TABLE alert_delivery (
      alert_id TEXT NOT NULL REFERENCES alert ON DELETE CASCADE,
      channel TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
      tries INTEGER NOT NULL,
      last_error TEXT NOT NULL,
      next_try_at TEXT,
      PRIMARY KEY (alert_id, channel)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE dropped (what TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_V1,)
"""Statements by version; ``MIGRATIONS[0]`` leads from an empty file to version 1. Never edit a released one."""


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
