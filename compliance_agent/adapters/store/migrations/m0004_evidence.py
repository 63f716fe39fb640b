"""Version 4: the chain of evidence, its segments, and the tally of scans that got no entry of their own."""

from __future__ import annotations

from typing import Final

# What is signed is never changed, and removed only with its whole segment after that was marked: two
# triggers hold even a fault of ours to it.
STATEMENTS: Final = (
    """
    CREATE TABLE evidence_segment (
      segment INTEGER PRIMARY KEY,
      month TEXT NOT NULL,
      first_seq INTEGER NOT NULL,
      last_seq INTEGER NOT NULL,
      last_sha256 TEXT NOT NULL,
      first_at TEXT NOT NULL,
      last_at TEXT NOT NULL,
      size_bytes INTEGER NOT NULL,
      pruned_at TEXT
    ) STRICT
    """,
    """
    CREATE TABLE evidence (
      seq INTEGER PRIMARY KEY,
      segment INTEGER NOT NULL REFERENCES evidence_segment,
      kind TEXT NOT NULL,
      at TEXT NOT NULL,
      target_id TEXT NOT NULL,
      check_id TEXT NOT NULL,
      actor TEXT NOT NULL,
      sha256 TEXT NOT NULL,
      line BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX evidence_kind ON evidence (kind, seq)",
    "CREATE INDEX evidence_place ON evidence (target_id, seq)",
    """
    CREATE TABLE evidence_chain (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      chain TEXT NOT NULL,
      site_id TEXT NOT NULL,
      key_id TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE evidence_tally (
      target_id TEXT PRIMARY KEY,
      sealed TEXT NOT NULL,
      sealed_at TEXT NOT NULL,
      last TEXT NOT NULL,
      scans INTEGER NOT NULL,
      unreached INTEGER NOT NULL,
      changes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TRIGGER evidence_is_never_changed BEFORE UPDATE ON evidence
    BEGIN SELECT raise(ABORT, 'evidence is never changed'); END
    """,
    """
    CREATE TRIGGER evidence_goes_by_whole_segments BEFORE DELETE ON evidence
    WHEN (SELECT pruned_at FROM evidence_segment WHERE segment = OLD.segment) IS NULL
    BEGIN SELECT raise(ABORT, 'evidence is removed by whole segments after its retention time only'); END
    """,
)
