"""Version 1: targets, observations, incidents, attempts, undos, outcomes, alerts."""

from __future__ import annotations

from typing import Final

# A finished attempt has an outcome and an end, an unfinished one neither: there is no default that
# could turn silence into success.
STATEMENTS: Final = (
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
