"""Evidence of appliances: kept byte for byte, appended to its chain or refused; a refusal raises an alarm.

Nothing is repaired. An entry that does not continue the chain as it is known here (a gap, a second entry of the same
number, a signature of another key) is not stored, and the chain carries the alarm until a person ends it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from compliance_agent.domain.evidence.drafts import EvidenceKind
from compliance_agent.domain.evidence.profile import ProfileError, read_canonical
from compliance_agent.wire.evidence.dsse import EnvelopeError, key_id, read_envelope, verifies
from compliance_agent.wire.evidence.entry import NO_HASH, PAYLOAD_TYPE, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.evidence.dsse import Envelope


class Fate(StrEnum):
    """What became of one entry."""

    STORED = "stored"
    HAD = "had"
    """It is here already, the same bytes."""
    EARLY = "early"
    """Entries before it have not arrived."""
    REFUSED = "refused"
    """It contradicts what is here, or is no entry."""


@dataclass(frozen=True, slots=True)
class Reception:
    """What became of one entry, and why."""

    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Head:
    seq: int
    sha256: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry that is well-formed; nothing is known of its signature yet."""

    line: bytes
    envelope: Envelope
    chain: str
    seq: int
    previous: str
    kind: str
    at: str
    body: Mapping[str, JsonValue]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.line).hexdigest()


def receive(
    connection: psycopg.Connection, *, site_id: str, appliance_id: str, entry_id: UUID, line: bytes, now: datetime
) -> Reception:
    """Append one entry to its chain, or say why not.

    Args:
        connection: Of the role ``central_agent``, of this site. One caller at a time holds the appliance's row.
        site_id: The site that the credential names.
        appliance_id: The appliance that the credential names.
        entry_id: Idempotency key of the report that carried it.
        line: The envelope, byte for byte.
        now: The time of this turn, UTC.

    """
    try:
        entry = _read(line)
    except (EnvelopeError, ProfileError, KeyError, TypeError, ValueError, RecursionError) as error:
        return Reception(Fate.REFUSED, f"no entry of a chain: {error}"[:300])
    if (site := _text(entry.envelope, "site_id")) != site_id:
        return Reception(Fate.REFUSED, f"an entry of the site {site}"[:300])
    own_key = _lock_appliance(connection, site_id, appliance_id)
    head = _head(connection, site_id, appliance_id, entry.chain)
    if head is not None and entry.seq <= head.seq:
        return _again(connection, site_id, appliance_id, entry, now)
    reception = _judge(entry, head, own_key)
    if reception.fate is Fate.STORED:
        _store(connection, site_id, appliance_id, entry_id, entry, head, own_key)
    else:
        _alarm(connection, site_id, appliance_id, entry.chain, reception.reason, now)
    return reception


def _read(line: bytes) -> _Entry:
    envelope = read_envelope(line)
    if envelope.payload_type != PAYLOAD_TYPE:
        message = f"its type is {envelope.payload_type}"
        raise ValueError(message)
    payload = read_canonical(envelope.payload)
    if not isinstance(payload, dict) or payload.get("schema") != SCHEMA:
        message = f"its schema is not {SCHEMA}"
        raise ValueError(message)
    seq, body = payload["seq"], payload["body"]
    if not isinstance(seq, int) or isinstance(seq, bool) or not 1 <= seq < 1 << 63 or not isinstance(body, dict):
        message = "seq is a number from 1 on, body an object"
        raise ValueError(message)
    chain, kind, at = payload["chain"], payload["kind"], payload["at"]
    if not isinstance(chain, str) or not isinstance(kind, str) or not isinstance(at, str):
        message = "chain, kind and at are texts"
        raise TypeError(message)
    if datetime.fromisoformat(at).tzinfo is None or at[:4] < "2000":
        message = "at is a time with its zone, not before 2000"
        raise ValueError(message)
    if kind == EvidenceKind.KEY_ROTATED.value:
        _key_named(body)
    return _Entry(line, envelope, str(UUID(chain)), seq, str(payload["previous"]), kind, at, body)


def _text(envelope: Envelope, name: str) -> str:
    payload = read_canonical(envelope.payload)
    return str(payload.get(name)) if isinstance(payload, dict) else ""


def _lock_appliance(connection: psycopg.Connection, site_id: str, appliance_id: str) -> bytes | None:
    """Return the key that the appliance enrolled with; two requests of one appliance come here one after the other."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"evidence {site_id} {appliance_id}",))
    row = connection.execute(
        "SELECT public_key FROM appliances WHERE site_id = %s AND appliance_id = %s", (site_id, appliance_id)
    ).fetchone()
    return row[0] if row else None


def _head(connection: psycopg.Connection, site_id: str, appliance_id: str, chain: str) -> _Head | None:
    row = connection.execute(
        "SELECT seq, sha256, public_key FROM evidence_chains"
        " WHERE site_id = %s AND appliance_id = %s AND chain_id = %s",
        (site_id, appliance_id, chain),
    ).fetchone()
    return _Head(*row) if row else None


def _again(connection: psycopg.Connection, site_id: str, appliance_id: str, entry: _Entry, now: datetime) -> Reception:
    row = connection.execute(
        "SELECT envelope FROM evidence_bundles WHERE site_id = %s AND appliance_id = %s AND chain_id = %s AND seq = %s",
        (site_id, appliance_id, entry.chain, entry.seq),
    ).fetchone()
    if row is not None and row[0] == entry.line:
        return Reception(Fate.HAD)
    reason = f"a fork: entry {entry.seq} of the chain is here, and is another one"
    _alarm(connection, site_id, appliance_id, entry.chain, reason, now)
    return Reception(Fate.REFUSED, reason)


def _judge(entry: _Entry, head: _Head | None, own_key: bytes | None) -> Reception:
    """Judge an entry that is ahead of the chain as it is known here."""
    expected = head.seq + 1 if head else 1
    if entry.seq > expected:
        return Reception(Fate.EARLY, f"a gap: entries {expected} to {entry.seq - 1} of the chain have not arrived")
    if entry.previous != (head.sha256 if head else NO_HASH):
        return Reception(Fate.REFUSED, f"a fork: entry {entry.seq} follows another entry than the one that is here")
    key = head.public_key if head else own_key
    if key is None:
        return Reception(Fate.REFUSED, "the appliance has no key here; it has to enrol")
    if entry.envelope.key_id != key_id(key):
        return Reception(Fate.REFUSED, f"entry {entry.seq} is signed by another key than the chain's")
    if not verifies(entry.envelope, key):
        return Reception(Fate.REFUSED, f"tampered with: the signature of entry {entry.seq} is not over its bytes")
    return Reception(Fate.STORED)


def _store(
    connection: psycopg.Connection,
    site_id: str,
    appliance_id: str,
    entry_id: UUID,
    entry: _Entry,
    head: _Head | None,
    own_key: bytes | None,
) -> None:
    connection.execute(
        "INSERT INTO evidence_bundles"
        " (site_id, appliance_id, chain_id, seq, entry_id, entry_sha256, envelope, kind, made_at)"
        " VALUES (%s, %s, %s, %s, %s, decode(%s, 'hex'), %s, %s, %s)",
        (site_id, appliance_id, entry.chain, entry.seq, entry_id, entry.sha256, entry.line, entry.kind, entry.at),
    )
    key = _next_key(entry, head.public_key if head else cast("bytes", own_key))
    new = (
        _Head(entry.seq, entry.sha256, key)
        if head is None
        else replace(head, seq=entry.seq, sha256=entry.sha256, public_key=key)
    )
    connection.execute(
        "INSERT INTO evidence_chains (site_id, appliance_id, chain_id, seq, sha256, public_key)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (site_id, appliance_id, chain_id) DO UPDATE SET"
        " seq = excluded.seq, sha256 = excluded.sha256, public_key = excluded.public_key",
        (site_id, appliance_id, entry.chain, new.seq, new.sha256, new.public_key),
    )


def _next_key(entry: _Entry, key: bytes) -> bytes:
    """Return the key of the entries to come: a rotation, signed by the old key, names a new one."""
    if entry.kind != EvidenceKind.KEY_ROTATED.value:
        return key
    return _key_named(entry.body)


def _key_named(body: Mapping[str, JsonValue]) -> bytes:
    """Return the key that a rotation names.

    Raises:
        ValueError: It names none.

    """
    new = body.get("new_key")
    text = new.get("public_key") if isinstance(new, dict) else None
    if not isinstance(text, str) or len(key := bytes.fromhex(text)) != 32:  # noqa: PLR2004 - of Ed25519
        message = "a rotation names its new key, 64 hex digits"
        raise ValueError(message)
    return key


_ALARM: Final = """
UPDATE evidence_chains SET alarm = %s, alarmed_at = %s
WHERE site_id = %s AND appliance_id = %s AND chain_id = %s AND alarm IS NULL
"""


def _alarm(
    connection: psycopg.Connection, site_id: str, appliance_id: str, chain: str, reason: str, now: datetime
) -> None:
    """Mark the chain, once: the first alarm is the one that tells where to look."""
    connection.execute(_ALARM, (reason, now, site_id, appliance_id, chain))
