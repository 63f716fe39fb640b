"""Version 4: what the gate remembers, the instant kept last, and what people did to it."""

from __future__ import annotations

from typing import Final

STATEMENTS: Final = (
    """
    CREATE TABLE instant (
      instant_id INTEGER PRIMARY KEY CHECK (instant_id = 1),
      wall TEXT NOT NULL,
      boot_id TEXT NOT NULL,
      monotonic_s REAL NOT NULL,
      uptime_s REAL NOT NULL,
      elapsed_s REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE gate_try (
      attempt_id TEXT PRIMARY KEY,
      site_id TEXT NOT NULL,
      target_id TEXT NOT NULL,
      check_id TEXT NOT NULL,
      fingerprint TEXT NOT NULL,
      rule_id TEXT NOT NULL,
      runbook_id TEXT NOT NULL,
      begun_uptime_s REAL NOT NULL,
      begun_s REAL NOT NULL,
      ended_s REAL,
      outcome TEXT,
      reason TEXT NOT NULL,
      undone_s REAL,
      CHECK ((outcome IS NULL) = (ended_s IS NULL))
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX gate_try_uptime ON gate_try (begun_uptime_s)",
    "CREATE INDEX gate_try_target ON gate_try (target_id, begun_s)",
    """
    CREATE TABLE gate_record (
      kind TEXT NOT NULL CHECK (kind IN ('flap', 'pause', 'waiver', 'approval', 'request', 'forgiven')),
      key TEXT NOT NULL,
      document TEXT NOT NULL,
      PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE person_action (
      action_id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      actor TEXT NOT NULL CHECK (actor != ''),
      reason TEXT NOT NULL CHECK (reason != ''),
      at TEXT NOT NULL,
      target_id TEXT NOT NULL,
      check_id TEXT NOT NULL,
      until TEXT,
      details TEXT NOT NULL
    ) STRICT
    """,
)
