"""What one write transaction does to the chain of evidence. SQLite's one writer makes it one chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from compliance_agent.adapters.store.codec import time_text, time_value
from compliance_agent.domain.evidence.drafts import EvidenceDraft, EvidenceKind
from compliance_agent.domain.evidence.tally import Tally, count_scan
from compliance_agent.domain.outbox import OutboxClass, OutboxEntry
from compliance_agent.errors import CredentialError, StoreError
from compliance_agent.wire.evidence.entry import (
    NO_HASH,
    Position,
    chain_start_draft,
    key_document,
    seal,
    segment_start_draft,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from compliance_agent.wire.evidence.dsse import Signer
    from compliance_agent.wire.evidence.entry import (
        Sealed,
    )

SEGMENT_ENTRIES_MAX: Final = 10_000
RETENTION_DAYS: Final = 2_192
"""Six years, with two leap days (45 CFR 164.316(b)(2)(i))."""

_DAYS_A_MONTH: Final = 30.4375


class Keys(Protocol):
    """Where the signing key comes from."""

    def first(self) -> Signer:
        """Return the key for a chain that has none yet."""
        ...

    def of(self, wanted: str) -> Signer:
        """Return the key of this id."""
        ...


@dataclass(frozen=True, slots=True)
class Recorder:
    """All that signing needs beside the rows.

    Attributes:
        keys: Where the signing key comes from.
        agent_version: The running program's.
        new_chain_id: Draws the id of a new chain.
        tell: Called with each entry that had to be refused; never raises.
        forward: Whether each entry is reported to the control plane, which keeps the chain's head.

    """

    keys: Keys
    agent_version: str
    new_chain_id: Callable[[], str]
    tell: Callable[[Sealed], None] = field(default=lambda _sealed: None)
    forward: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    """Where the chain ends."""

    chain: str
    key_id: str
    seq: int
    sha256: str
    segment: int
    month: str
    entries: int


def append(connection: sqlite3.Connection, recorder: Recorder, drafts: Iterable[EvidenceDraft]) -> list[Sealed]:
    """Sign drafts into the chain, in order; start the chain, and a new segment, where it is time.

    Raises:
        StoreError: There is no key to sign with. Nothing of the transaction may then be kept.

    """
    sealed: list[Sealed] = []
    for draft in drafts:
        due = _tallied(connection, draft)
        if due is not None:
            sealed += _append_one(connection, recorder, due)
    for one in sealed:
        if one.trouble:
            recorder.tell(one)
    return sealed


def rotate(
    connection: sqlite3.Connection,
    recorder: Recorder,
    new: Signer,
    draft: EvidenceDraft,
    *,
    old_is_lost: bool = False,
) -> Sealed:
    """Name the chain's next key: signed by the old one, or, where that is lost, by the new one itself.

    Raises:
        StoreError: There is no chain yet, or no key to sign with.

    """
    end = _end(connection)
    if end is None:
        raise StoreError("there is no evidence yet, so there is no key to change", hint="run apply or run once")
    signer = new if old_is_lost else _key(recorder, end.key_id)
    body = {**draft.body, "old_key_id": end.key_id, "new_key": key_document(new.public_key)}
    whole = EvidenceDraft(draft.kind, draft.at, draft.site_id, body, draft.actor)
    sealed = _put(connection, recorder, whole, end, signer)
    connection.execute("UPDATE evidence_chain SET key_id = ?", (key_document(new.public_key)["key_id"],))
    return sealed


def report_of(sealed: Sealed) -> OutboxEntry:
    """Return the entry as it travels to the control plane: the very bytes that were signed.

    Its id is a UUIDv8 (RFC 9562) of its hash: derived, so that the same entry is never told as two.
    """
    digest = bytearray.fromhex(sealed.sha256)[:16]
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return OutboxEntry(str(UUID(bytes=bytes(digest))), OutboxClass.EVIDENCE, sealed.draft.at, sealed.line)


def prune(
    connection: sqlite3.Connection, recorder: Recorder, *, retention_days: int, now: datetime
) -> tuple[int, list[Sealed]]:
    """Remove the segments whose retention time is over, and sign that they were.

    A clock that jumps ahead must not cost years of evidence. So time alone removes nothing: as many
    later calendar months as the retention time has must hold entries, too. An appliance that was off
    for a while keeps its evidence longer, never shorter.

    Returns:
        How many entries went, and the entries that say so.

    """
    cutoff = time_text(now - timedelta(days=retention_days))
    months = round(retention_days / _DAYS_A_MONTH)
    over = connection.execute(
        "SELECT s.segment, s.first_seq, s.last_seq, s.last_sha256 FROM evidence_segment AS s"
        " WHERE s.pruned_at IS NULL AND s.last_at < ?1 AND ?2 <="
        " (SELECT count(DISTINCT month) FROM evidence_segment AS later WHERE later.segment > s.segment)"
        " ORDER BY s.segment",
        (cutoff, months),
    ).fetchall()
    end = _end(connection)
    if not over or end is None:
        return 0, []
    site_id = str(connection.execute("SELECT site_id FROM evidence_chain").fetchone()[0])
    last = over[-1]
    body = {
        "segments": [row["segment"] for row in over],
        "first_seq": over[0]["first_seq"],
        "last_seq": last["last_seq"],
        "last_sha256": last["last_sha256"],
        "older_than": cutoff,
        "retention_days": retention_days,
    }
    sealed = _append_one(connection, recorder, EvidenceDraft(EvidenceKind.SEGMENTS_PRUNED, now, site_id, body))
    connection.execute(
        "UPDATE evidence_segment SET pruned_at = ? WHERE pruned_at IS NULL AND segment <= ?",
        (time_text(now), last["segment"]),
    )
    return connection.execute("DELETE FROM evidence WHERE segment <= ?", (last["segment"],)).rowcount, sealed


def _tallied(connection: sqlite3.Connection, draft: EvidenceDraft) -> EvidenceDraft | None:
    """Return the draft as it is to be sealed, or ``None`` for a scan that is only counted."""
    if not draft.alike:
        return draft
    row = connection.execute("SELECT * FROM evidence_tally WHERE target_id = ?", (draft.target_id,)).fetchone()
    tally = None if row is None else _tally(row)
    counted = count_scan(tally, draft.alike, reached=draft.kind is EvidenceKind.SCAN, at=draft.at)
    now = counted.tally
    connection.execute(
        "INSERT OR REPLACE INTO evidence_tally (target_id, sealed, sealed_at, last, scans, unreached, changes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (draft.target_id, now.sealed, time_text(now.sealed_at), now.last, now.scans, now.unreached, now.changes),
    )
    if not counted.is_due:
        return None
    body = {**draft.body, "since": None if counted.before is None else counted.before.since()}
    return EvidenceDraft(draft.kind, draft.at, draft.site_id, body, draft.actor, draft.target_id, draft.check_id)


def _tally(row: sqlite3.Row) -> Tally:
    return Tally(
        sealed=row["sealed"],
        sealed_at=time_value(row["sealed_at"]),
        last=row["last"],
        scans=row["scans"],
        unreached=row["unreached"],
        changes=row["changes"],
    )


def _append_one(connection: sqlite3.Connection, recorder: Recorder, draft: EvidenceDraft) -> list[Sealed]:
    end = _end(connection)
    sealed: list[Sealed] = []
    if end is None:
        sealed.append(_start_chain(connection, recorder, draft))
    elif time_text(draft.at)[:7] > end.month or end.entries >= SEGMENT_ENTRIES_MAX:
        sealed.append(_start_segment(connection, recorder, draft, end))
    if sealed:
        end = _end(connection)
    assert end is not None  # noqa: S101 - a chain was started above where there was none
    sealed.append(_put(connection, recorder, draft, end, _key(recorder, end.key_id)))
    return sealed


def _start_chain(connection: sqlite3.Connection, recorder: Recorder, draft: EvidenceDraft) -> Sealed:
    try:
        signer = recorder.keys.first()
    except CredentialError as error:
        raise StoreError(error.message, hint=error.hint) from error
    key = key_document(signer.public_key)
    end = _End(recorder.new_chain_id(), str(key["key_id"]), 0, NO_HASH, 0, "", 0)
    connection.execute(
        "INSERT INTO evidence_chain (only, chain, site_id, key_id) VALUES (1, ?, ?, ?)",
        (end.chain, draft.site_id, end.key_id),
    )
    opening = chain_start_draft(signer.public_key, at=draft.at, site_id=draft.site_id)
    return _put(connection, recorder, opening, end, signer, new_segment=True)


def _start_segment(connection: sqlite3.Connection, recorder: Recorder, draft: EvidenceDraft, end: _End) -> Sealed:
    row = connection.execute("SELECT * FROM evidence_segment WHERE segment = ?", (end.segment,)).fetchone()
    before = {name: row[name] for name in ("segment", "first_seq", "last_seq", "last_sha256", "first_at", "last_at")}
    signer = _key(recorder, end.key_id)
    opening = segment_start_draft(signer.public_key, before, at=draft.at, site_id=draft.site_id)
    return _put(connection, recorder, opening, end, signer, new_segment=True)


def _key(recorder: Recorder, wanted: str) -> Signer:
    try:
        return recorder.keys.of(wanted)
    except CredentialError as error:
        raise StoreError(error.message, hint=error.hint) from error


def _end(connection: sqlite3.Connection) -> _End | None:
    row = connection.execute(
        "SELECT c.chain, c.key_id, s.segment, s.month, s.first_seq, s.last_seq, s.last_sha256"
        " FROM evidence_chain AS c, evidence_segment AS s ORDER BY s.segment DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    return _End(
        chain=row["chain"],
        key_id=row["key_id"],
        seq=row["last_seq"],
        sha256=row["last_sha256"],
        segment=row["segment"],
        month=row["month"],
        entries=row["last_seq"] - row["first_seq"] + 1,
    )


def _put(
    connection: sqlite3.Connection,
    recorder: Recorder,
    draft: EvidenceDraft,
    end: _End,
    signer: Signer,
    *,
    new_segment: bool = False,
) -> Sealed:
    position = Position(end.chain, end.seq + 1, end.segment + new_segment, end.sha256)
    sealed = seal(draft, position, signer, agent_version=recorder.agent_version)
    at = time_text(draft.at)
    if new_segment:
        connection.execute(
            "INSERT INTO evidence_segment"
            " (segment, month, first_seq, last_seq, last_sha256, first_at, last_at, size_bytes)"
            " VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?5, ?6)",
            (position.segment, max(at[:7], end.month), position.seq, sealed.sha256, at, len(sealed.line)),
        )
    else:
        connection.execute(
            "UPDATE evidence_segment SET last_seq = ?1, last_sha256 = ?2, size_bytes = size_bytes + ?3,"
            " first_at = min(first_at, ?4), last_at = max(last_at, ?4) WHERE segment = ?5",
            (position.seq, sealed.sha256, len(sealed.line), at, position.segment),
        )
    connection.execute(
        "INSERT INTO evidence (seq, segment, kind, at, target_id, check_id, actor, sha256, line)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            position.seq,
            position.segment,
            sealed.draft.kind.value,
            at,
            draft.target_id,
            draft.check_id,
            draft.actor.name,
            sealed.sha256,
            sealed.line,
        ),
    )
    return sealed
