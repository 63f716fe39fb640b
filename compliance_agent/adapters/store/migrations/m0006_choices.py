"""Version 6: the gate also remembers which runbook a person chose for an incident."""

from __future__ import annotations

from typing import Final

STATEMENTS: Final = (
    """
    CREATE TABLE gate_record_new (
      kind TEXT NOT NULL CHECK (kind IN ('flap', 'pause', 'waiver', 'approval', 'request', 'forgiven', 'choice')),
      key TEXT NOT NULL,
      document TEXT NOT NULL,
      PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID
    """,
    "INSERT INTO gate_record_new SELECT kind, key, document FROM gate_record",
    "DROP TABLE gate_record",
    "ALTER TABLE gate_record_new RENAME TO gate_record",
)
