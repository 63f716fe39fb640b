"""DSSE, the Dead Simple Signing Envelope (version 1.0.2, github.com/secure-systems-lab/dsse), with Ed25519.

What is signed are the payload's exact bytes together with their type; nobody needs to write a document
again to check it. An envelope is written in one way only, so that no byte of it can change unseen.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from compliance_agent.domain.evidence.profile import canonical_bytes, read_canonical

SIGNATURE_BYTES: Final = 64
PUBLIC_KEY_BYTES: Final = 32


class EnvelopeError(ValueError):
    """Bytes that are no envelope of ours, or not in its one way of writing."""


class Signer(Protocol):
    """Whoever holds a private key."""

    @property
    def public_key(self) -> bytes:
        """Return the raw public key, 32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of the message, 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload. One signature, since one appliance signs.

    Attributes:
        payload: The exact bytes that were signed.
        payload_type: What they are.
        key_id: Which key signed, see :func:`key_id`.
        signature: Over :func:`pae`.

    """

    payload: bytes
    payload_type: str
    key_id: str
    signature: bytes


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding: what the signature is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public_key: bytes) -> str:
    """Return the id of a raw public key: its SHA-256, 64 hex digits."""
    return hashlib.sha256(public_key).hexdigest()


def sign(payload: bytes, payload_type: str, signer: Signer) -> bytes:
    """Return the envelope as bytes."""
    signature = signer.sign(pae(payload_type, payload))
    return write_envelope(Envelope(payload, payload_type, key_id(signer.public_key), signature))


def write_envelope(envelope: Envelope) -> bytes:
    """Return an envelope's one way of writing: canonical JSON, base64 in its standard alphabet with padding."""
    return canonical_bytes(
        {
            "payload": base64.b64encode(envelope.payload).decode(),
            "payloadType": envelope.payload_type,
            "signatures": [{"keyid": envelope.key_id, "sig": base64.b64encode(envelope.signature).decode()}],
        }
    )


def read_envelope(data: bytes) -> Envelope:
    """Read an envelope; every other way of writing the same one is refused.

    Raises:
        EnvelopeError: It is none.

    """
    try:
        envelope = _envelope(read_canonical(data))
    except (KeyError, TypeError, ValueError) as error:
        raise EnvelopeError(f"no envelope: {error}") from error
    if write_envelope(envelope) != data:
        raise EnvelopeError("an envelope that is not written in the one way there is")
    return envelope


def _envelope(value: Any) -> Envelope:  # noqa: ANN401 - a shape that is wrong raises, and is caught
    (signature,) = value["signatures"]
    return Envelope(
        payload=base64.b64decode(value["payload"], validate=True),
        payload_type=str(value["payloadType"]),
        key_id=str(signature["keyid"]),
        signature=base64.b64decode(signature["sig"], validate=True),
    )


def verifies(envelope: Envelope, public_key: bytes) -> bool:
    """Tell whether the envelope's signature is this key's over its payload and type."""
    if len(envelope.signature) != SIGNATURE_BYTES or envelope.key_id != key_id(public_key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            envelope.signature, pae(envelope.payload_type, envelope.payload)
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key_pem(public_key: bytes) -> bytes:
    """Return a raw public key as PEM (SubjectPublicKeyInfo), as OpenSSL reads it."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(pem: bytes) -> bytes:
    """Return the raw key of a PEM file.

    Raises:
        EnvelopeError: It holds no Ed25519 public key.

    """
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise EnvelopeError("no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EnvelopeError("a public key, but not an Ed25519 one")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
