"""What can be asked of the chain of evidence in a state file. Thread-safe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.store.codec import optional_time_value, time_value
from compliance_agent.wire.evidence.chain import Head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from compliance_agent.adapters.store.database import Database

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One entry.

    Attributes:
        seq: From 1.
        segment: The segment that it lies in.
        kind: ``domain.evidence.drafts.EvidenceKind`` as text.
        at: When it happened, UTC.
        target_id: The machine, or empty.
        check_id: The check, or empty.
        actor: Who did it.
        sha256: Hash of ``line``.
        line: The signed envelope.

    """

    seq: int
    segment: int
    kind: str
    at: datetime
    target_id: str
    check_id: str
    actor: str
    sha256: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; a pruned one has no entries any more."""

    segment: int
    month: str
    first_seq: int
    last_seq: int
    last_sha256: str
    first_at: datetime
    last_at: datetime
    size_bytes: int
    pruned_at: datetime | None


@dataclass(frozen=True, slots=True)
class EvidenceStatus:
    """How much evidence there is.

    Attributes:
        head: The end of the chain; ``None`` when there is none yet.
        key_id: The key that signs now; empty when there is no chain yet.
        site_id: The site of the chain; empty when there is none yet.
        entries: Entries that are kept.
        size_bytes: Of their envelopes.
        refused: Entries that stand for one that could not be made safe to sign.
        pruned: Entries that were removed at the end of their retention time.
        first_at: When the oldest kept entry was made, UTC.
        last_at: The same of the newest.

    """

    head: Head | None = None
    key_id: str = ""
    site_id: str = ""
    entries: int = 0
    size_bytes: int = 0
    refused: int = 0
    pruned: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


class EvidenceReader:
    """The read side of the chain."""

    def __init__(self, database: Database) -> None:
        """Read from an open database."""
        self._database = database

    def status(self) -> EvidenceStatus:
        """Return how much there is, and where the chain ends."""
        with self._database.reading():
            chain = self._database.rows("SELECT * FROM evidence_chain")
            refused = self._database.rows("SELECT count(*) FROM evidence WHERE kind = 'refused'")[0][0]
            segments = self.segments()
        if not chain or not segments:
            return EvidenceStatus()
        kept = [one for one in segments if one.pruned_at is None]
        gone = [one for one in segments if one.pruned_at is not None]
        return EvidenceStatus(
            head=Head(chain[0]["chain"], segments[-1].last_seq, segments[-1].last_sha256),
            key_id=chain[0]["key_id"],
            site_id=chain[0]["site_id"],
            entries=sum(one.last_seq - one.first_seq + 1 for one in kept),
            size_bytes=sum(one.size_bytes for one in kept),
            refused=refused,
            pruned=sum(one.last_seq - one.first_seq + 1 for one in gone),
            first_at=min(one.first_at for one in kept),
            last_at=max(one.last_at for one in kept),
        )

    def segments(self) -> list[Segment]:
        """Return all segments, pruned ones too, in order."""
        return [
            Segment(
                segment=row["segment"],
                month=row["month"],
                first_seq=row["first_seq"],
                last_seq=row["last_seq"],
                last_sha256=row["last_sha256"],
                first_at=time_value(row["first_at"]),
                last_at=time_value(row["last_at"]),
                size_bytes=row["size_bytes"],
                pruned_at=optional_time_value(row["pruned_at"]),
            )
            for row in self._database.rows("SELECT * FROM evidence_segment ORDER BY segment")
        ]

    def rows(
        self, *, first_seq: int = 1, last_seq: int | None = None, kind: str = "", target_id: str = ""
    ) -> Iterator[EvidenceRow]:
        """Yield entries in order, a page at a time, so that six years of them need no memory."""
        while True:
            page = self._database.rows(
                "SELECT * FROM evidence WHERE seq >= ?1 AND (?2 IS NULL OR seq <= ?2)"
                " AND (?3 = '' OR kind = ?3) AND (?4 = '' OR target_id = ?4) ORDER BY seq LIMIT ?5",
                (first_seq, last_seq, kind, target_id, _PAGE),
            )
            for row in page:
                yield EvidenceRow(**{**dict(row), "at": time_value(row["at"])})
            if len(page) < _PAGE:
                return
            first_seq = page[-1]["seq"] + 1

    def latest(self, limit: int, *, kind: str = "", target_id: str = "") -> list[EvidenceRow]:
        """Return the newest entries, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM evidence WHERE (?1 = '' OR kind = ?1) AND (?2 = '' OR target_id = ?2)"
            " ORDER BY seq DESC LIMIT ?3",
            (kind, target_id, limit),
        )
        return [EvidenceRow(**{**dict(row), "at": time_value(row["at"])}) for row in reversed(rows)]

    def entry(self, seq: int) -> EvidenceRow | None:
        """Return one entry, or ``None`` if it is not there (any more)."""
        return next(self.rows(first_seq=seq, last_seq=seq), None)
