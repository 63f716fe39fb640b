"""The chain of evidence in memory: the very statements of the file, over a database that is gone at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.store import evidence
from compliance_agent.adapters.store.database import open_memory
from compliance_agent.adapters.store.evidence_reads import EvidenceReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.adapters.store.database import Database
    from compliance_agent.adapters.store.evidence import Recorder
    from compliance_agent.domain.evidence.drafts import EvidenceDraft
    from compliance_agent.domain.outbox import OutboxEntry


class MemoryEvidence:
    """What ``MemoryStore`` keeps of evidence: nothing without a recorder."""

    def __init__(self, recorder: Recorder | None) -> None:
        """Start without entries."""
        self._recorder = recorder
        self._opened: Database | None = None

    @property
    def reader(self) -> EvidenceReader:
        """Return the read side."""
        return EvidenceReader(self._database())

    def append(self, drafts: Sequence[EvidenceDraft]) -> list[OutboxEntry]:
        """Sign drafts into the chain; return what the control plane is to be told of it."""
        if self._recorder is None or not drafts:
            return []
        with self._database().writing() as connection:
            sealed = evidence.append(connection, self._recorder, drafts)
        return [evidence.report_of(one) for one in sealed] if self._recorder.forward else []

    def close(self) -> None:
        """Let it go. May be called twice."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _database(self) -> Database:
        if self._opened is None:
            self._opened = open_memory()
        return self._opened


class EvidenceSide:
    """The part of ``MemoryStore`` that is about evidence."""

    _ledger: MemoryEvidence

    def close(self) -> None:
        """Let the evidence go; the rest needs nothing."""
        self._ledger.close()

    @property
    def evidence(self) -> EvidenceReader:
        """Return the read side of the chain of evidence."""
        return self._ledger.reader
