"""Version 2: the outbox, what became of its entries, and how the conversation with the control plane stands."""

from __future__ import annotations

from typing import Final

STATEMENTS: Final = (
    """
    CREATE TABLE outbox (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      entry_id TEXT NOT NULL UNIQUE,
      kind TEXT NOT NULL CHECK (kind IN ('heartbeat', 'telemetry', 'evidence')),
      rank INTEGER NOT NULL CHECK (rank = CASE kind WHEN 'heartbeat' THEN 0 WHEN 'telemetry' THEN 1 ELSE 2 END),
      body BLOB NOT NULL,
      size_bytes INTEGER NOT NULL CHECK (size_bytes = length(body)),
      created_at TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
      tries INTEGER NOT NULL,
      next_try_at TEXT,
      last_error TEXT NOT NULL,
      dead_at TEXT,
      CHECK ((state = 'dead') = (dead_at IS NOT NULL))
    ) STRICT
    """,
    # Each covers what it is for, so that neither order nor sums read the bodies.
    "CREATE INDEX outbox_eviction ON outbox (rank, state = 'waiting', sequence, size_bytes)",
    "CREATE INDEX outbox_sending ON outbox (state, rank = 0 DESC, rank DESC, sequence, next_try_at, size_bytes)",
    "CREATE INDEX outbox_age ON outbox (kind, created_at, state, size_bytes)",
    """
    CREATE TABLE outbox_count (
      kind TEXT NOT NULL,
      fate TEXT NOT NULL,
      number INTEGER NOT NULL,
      PRIMARY KEY (kind, fate)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE uplink (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      failures INTEGER NOT NULL,
      tried_at TEXT,
      succeeded_at TEXT,
      next_try_at TEXT,
      trouble TEXT NOT NULL
    ) STRICT
    """,
)
