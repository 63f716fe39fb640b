"""The numbered, forward-only migrations of the state file.

One module a migration, ``mNNNN_what.py``, with ``STATEMENTS``; append it to ``MIGRATIONS``. ``NNNN`` is the
version that it leads to, which is its place in the tuple. A released one is never edited.
"""

from __future__ import annotations

from typing import Final

from compliance_agent.adapters.store.migrations import (
    m0001_turns,
    m0002_outbox,
    m0003_damage,
    m0004_evidence,
    m0005_gate,
    m0006_choices,
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    m0001_turns.STATEMENTS,
    m0002_outbox.STATEMENTS,
    m0003_damage.STATEMENTS,
    m0004_evidence.STATEMENTS,
    m0005_gate.STATEMENTS,
    m0006_choices.STATEMENTS,
)
"""Statements by version; ``MIGRATIONS[0]`` leads from an empty file to version 1."""
