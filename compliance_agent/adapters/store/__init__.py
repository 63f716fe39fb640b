"""The durable state: one SQLite file, its read-only view, and the same in memory.

``SqliteStore`` and ``MemoryStore`` pass one contract suite. The modules: ``schema`` and ``migrations``,
``database`` (the file: modes, transactions, errors), ``codec`` and ``records`` (values <-> columns,
scrubbing), ``writes``, ``alert_queue``, ``outbox`` and ``pruning`` (what a transaction does), ``reads`` (queries).
"""

from __future__ import annotations

from compliance_agent.adapters.store.memory import MemoryStore
from compliance_agent.adapters.store.read_only import ReadOnlyStore, open_read_only
from compliance_agent.adapters.store.rows import (
    DEFAULT_LIMITS,
    AlertState,
    ChannelDelivery,
    Counts,
    DeadAction,
    DeliveryState,
    Limits,
    OpenIncident,
    OutboxCounts,
    OutboxRow,
    QueuedAlert,
    RecordedOutcome,
    Undo,
)
from compliance_agent.adapters.store.sqlite import ALERT_REPEAT_S, SqliteStore

__all__ = [
    "ALERT_REPEAT_S",
    "DEFAULT_LIMITS",
    "AlertState",
    "ChannelDelivery",
    "Counts",
    "DeadAction",
    "DeliveryState",
    "Limits",
    "MemoryStore",
    "OpenIncident",
    "OutboxCounts",
    "OutboxRow",
    "QueuedAlert",
    "ReadOnlyStore",
    "RecordedOutcome",
    "SqliteStore",
    "Undo",
    "open_read_only",
]
