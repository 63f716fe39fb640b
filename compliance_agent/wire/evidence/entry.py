"""An entry: a draft scrubbed, put in its place in the chain, and signed. The one place where evidence is signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.evidence.drafts import AGENT, EvidenceDraft, EvidenceKind, refused_draft, time_text
from compliance_agent.domain.evidence.profile import ProfileError, canonical_bytes, profile_value
from compliance_agent.domain.scrub import ScrubError, scrub_document, scrub_surely
from compliance_agent.wire.evidence.dsse import key_id, sign

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.evidence.dsse import Signer

SCHEMA: Final = "evidence/v1"
PAYLOAD_TYPE: Final = "application/vnd.compliance-agent.evidence.v1+json"
NO_HASH: Final = "0" * 64
"""``previous`` of a chain's first entry."""

PAYLOAD_MAX_BYTES: Final = 65_536
"""Largest payload; texts and lists of a larger one are cut shorter until it fits."""

_LIMITS: Final = ((2_000, 200), (400, 50), (80, 10))
"""Most characters of a text and most items of a list: what is tried, in this order."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the chain an entry stands.

    Attributes:
        chain: UUID of the chain: one an appliance.
        seq: From 1, without gaps.
        segment: From 1; segments are what is exported and pruned whole.
        previous: :func:`line_hash` of the entry before; ``NO_HASH`` for the first.

    """

    chain: str
    seq: int
    segment: int
    previous: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed entry.

    Attributes:
        position: Where it stands.
        draft: What it tells; another one than was asked for where that had to be refused.
        line: The envelope, as it is kept and exported; no byte of it may change.
        sha256: Its hash, which the next entry names.
        trouble: Why the draft was refused; empty when it was not.

    """

    position: Position
    draft: EvidenceDraft
    line: bytes
    sha256: str
    trouble: str = ""


def line_hash(line: bytes) -> str:
    """Return the hash by which the chain is linked: SHA-256 over the envelope's exact bytes, without a newline."""
    return hashlib.sha256(line).hexdigest()


def seal(draft: EvidenceDraft, position: Position, signer: Signer, *, agent_version: str) -> Sealed:
    """Scrub, write and sign one entry.

    A draft of which the scrubber is not sure, or that the profile cannot hold, is not signed: an entry
    that says so, with its ids and without its text, takes its place.
    """
    trouble = ""
    try:
        payload = payload_bytes(draft, position, agent_version=agent_version)
    except (ScrubError, ProfileError, TypeError, RecursionError) as error:
        trouble = f"{type(error).__name__}: {error}"
        draft = refused_draft(draft, "it could not be made safe to sign")
        payload = payload_bytes(draft, position, agent_version=agent_version)
    line = sign(payload, PAYLOAD_TYPE, signer)
    return Sealed(position, draft, line, line_hash(line), trouble)


def payload_bytes(draft: EvidenceDraft, position: Position, *, agent_version: str) -> bytes:
    """Return the bytes that are signed.

    Raises:
        ScrubError: The scrubber is not sure of a text.
        ProfileError: It does not fit the profile or the largest size.
        TypeError: It holds a value that is no JSON value of this product.

    """
    for length_max, items_max in _LIMITS:
        payload = _payload(draft, position, agent_version, length_max, items_max)
        if len(payload) <= PAYLOAD_MAX_BYTES:
            return payload
    raise ProfileError(f"an entry of more than {PAYLOAD_MAX_BYTES} bytes, however much is cut")


def _payload(draft: EvidenceDraft, position: Position, agent_version: str, length_max: int, items_max: int) -> bytes:
    body = _shorten(draft.body, items_max)
    assert isinstance(body, Mapping)  # noqa: S101 - a body is an object
    name = draft.actor.name if draft.actor == AGENT else scrub_surely(draft.actor.name)[:length_max]
    return canonical_bytes(
        profile_value(
            {
                "schema": SCHEMA,
                "chain": position.chain,
                "seq": position.seq,
                "segment": position.segment,
                "previous": position.previous,
                "kind": draft.kind.value,
                "at": time_text(draft.at),
                "site_id": draft.site_id,
                "actor": {"kind": draft.actor.kind, "name": name},
                "agent": {"name": "compliance-agent", "version": agent_version},
                "body": scrub_document(body, length_max=length_max),
            }
        )
    )


def _shorten(value: JsonValue, items_max: int) -> JsonValue:
    """Return the value with long lists cut; what was cut off is counted in its place."""
    if isinstance(value, Mapping):
        return {key: _shorten(item, items_max) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        kept: list[JsonValue] = [_shorten(item, items_max) for item in value[:items_max]]
        return [*kept, f"[{len(value) - items_max} more]"] if len(value) > items_max else kept
    return value


def chain_start_draft(public_key: bytes, *, at: datetime, site_id: str) -> EvidenceDraft:
    """Return a chain's first entry."""
    return EvidenceDraft(EvidenceKind.CHAIN_STARTED, at, site_id, {"key": key_document(public_key)})


def segment_start_draft(
    public_key: bytes, before: Mapping[str, JsonValue], *, at: datetime, site_id: str
) -> EvidenceDraft:
    """Return a later segment's first entry: the key in use, and what the segment before was."""
    body: dict[str, JsonValue] = {"key": key_document(public_key), "before": dict(before)}
    return EvidenceDraft(EvidenceKind.SEGMENT_STARTED, at, site_id, body)


def key_document(public_key: bytes) -> dict[str, JsonValue]:
    """Return a public key as entries write it: raw, in hex, which no scrubber takes for a secret."""
    return {"key_id": key_id(public_key), "algorithm": "ed25519", "public_key": public_key.hex()}
