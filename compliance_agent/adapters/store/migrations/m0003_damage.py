"""Version 3: what was damaged and restored from which snapshot, and what a person did about dead rows."""

from __future__ import annotations

from typing import Final

STATEMENTS: Final = (
    """
    CREATE TABLE restoration (
      restoration_id INTEGER PRIMARY KEY,
      at TEXT NOT NULL,
      reason TEXT NOT NULL,
      kept_as TEXT NOT NULL,
      snapshot_at TEXT
    ) STRICT
    """,
    """
    CREATE TABLE dead_letter_action (
      action_id INTEGER PRIMARY KEY,
      at TEXT NOT NULL,
      actor TEXT NOT NULL,
      action TEXT NOT NULL CHECK (action IN ('retry', 'drop')),
      entry_id TEXT NOT NULL,
      kind TEXT NOT NULL,
      reason TEXT NOT NULL
    ) STRICT
    """,
)
