"""A public host key: the bytes that travel, their type, and how people compare them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class HostKey:
    """One public host key.

    Attributes:
        key_type: As in ``known_hosts``, e.g. ``ssh-ed25519``.
        blob: The key as it travels (RFC 4253, section 6.6); two keys are the same when this is.

    """

    key_type: str
    blob: bytes

    @classmethod
    def from_blob(cls, blob: bytes) -> Self:
        """Return the key of the wire form, which begins with the length and name of its type.

        Raises:
            ValueError: It is no public key.

        """
        length = int.from_bytes(blob[:4], "big")
        name = blob[4 : 4 + length]
        if not 0 < length <= 64 or len(blob) <= 4 + length or not name.isascii():  # noqa: PLR2004 -- field widths
            raise ValueError("not an SSH public key")
        return cls(name.decode("ascii"), blob)

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Return the key of the base64 form that stands in ``known_hosts``.

        Raises:
            ValueError: It is no base64, or no public key.

        """
        try:
            return cls.from_blob(base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise ValueError("not base64") from error

    @property
    def base64(self) -> str:
        """Return the form that stands in ``known_hosts``."""
        return base64.b64encode(self.blob).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """Return ``SHA256:...`` as ``ssh-keygen -l`` prints it."""
        return fingerprint(self)


def fingerprint(key: HostKey) -> str:
    """Return ``SHA256:...`` as ``ssh-keygen -l`` prints it."""
    digest = base64.b64encode(hashlib.sha256(key.blob).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"
