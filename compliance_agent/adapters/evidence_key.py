"""The key that signs evidence: a file of mode 0600 beside the state file, or a credential that systemd hands over."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from compliance_agent.adapters.ownership import give_to_owner_of_folder
from compliance_agent.errors import CredentialError
from compliance_agent.wire.evidence.dsse import key_id

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE: Final = "evidence.key"
CREDENTIAL: Final = "evidence-key"
"""Name of the systemd credential (``LoadCredential=evidence-key:/path``)."""

_SIZE_MAX: Final = 65_536
_MODE: Final = 0o600


class EvidenceKey:
    """A private key, as ``wire.evidence.dsse.Signer``. It is never shown: neither by ``repr`` nor by pickling."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Hold the key."""
        self._private = private
        self.public_key = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def key_id(self) -> str:
        """Return its id: SHA-256 of the raw public key, hex."""
        return key_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of the message, 64 bytes."""
        return self._private.sign(message)

    def pem(self) -> bytes:
        """Return the private key as a key file holds it: PKCS #8 in PEM, not encrypted."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_key() -> EvidenceKey:
    """Return a fresh key."""
    return EvidenceKey(Ed25519PrivateKey.generate())


def read_key(path: Path, *, is_credential: bool = False) -> EvidenceKey:
    """Read a key file.

    Args:
        path: The file.
        is_credential: That systemd handed it over: it grants the service's user by an access control list, which
            shows as mode 0440, in a folder that nobody else enters.

    Raises:
        CredentialError: It is missing, open to others, or holds no Ed25519 private key.

    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode, data = os.fstat(descriptor).st_mode, file.read(_SIZE_MAX)
    except OSError as error:
        raise CredentialError(
            f"the evidence key {path} cannot be read: {error.strerror or error}",
            hint="restore it from a backup; without it no evidence can be signed",
        ) from error
    if mode & 0o077 and not is_credential:
        raise CredentialError(f"the evidence key {path} may be read by others", hint=f"chmod 600 {path}")
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialError(
            f"the evidence key {path} holds no private key in PEM", hint="restore it from a backup"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise CredentialError(
            f"the evidence key {path} is no Ed25519 key", hint="make one: openssl genpkey -algorithm ed25519"
        )
    return EvidenceKey(key)


def write_key(path: Path, key: EvidenceKey) -> None:
    """Write a key file that does not exist yet: whole or not at all, for its owner alone.

    Raises:
        CredentialError: It exists, or cannot be written.

    """
    draft = path.with_name(f".{path.name}.new")
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # one writer at a time, so a draft that is there was left by a crash
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _MODE)
            try:
                give_to_owner_of_folder(descriptor, path.parent)
                os.write(descriptor, key.pem())
                os.fsync(descriptor)
                os.link(draft, path)  # unlike a rename it never replaces
            finally:
                os.close(descriptor)
                draft.unlink()
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise CredentialError(
            f"the evidence key {path} cannot be written: {error.strerror or error}",
            hint="check owner, mode and mount of its folder",
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class KeyStore:
    """Finds the key that the chain asks for.

    A rotation is: the new key beside the old one (``evidence.key.next``), then the entry by which the
    old key names it, then its file takes the old one's place. A crash between these leaves a chain
    that names one of the two files, and the next use completes or forgets the rotation.
    """

    def __init__(self, path: Path, *, is_ours: bool, is_credential: bool = False) -> None:
        """Name the key file.

        Args:
            path: The key file.
            is_ours: Whether it may be made here; a credential is made by whoever hands it over.
            is_credential: Whether systemd hands it over.

        """
        self._is_credential = is_credential
        self.path = path
        self.is_ours = is_ours
        self._key: EvidenceKey | None = None

    @property
    def next_path(self) -> Path:
        """Return where a rotation puts the new key first."""
        return self.path.with_name(f"{self.path.name}.next")

    def first(self) -> EvidenceKey:
        """Return the key for a chain that has none yet; make it where there is none.

        Raises:
            CredentialError: It cannot be read or made.

        """
        if self._key is None:
            if self.is_ours and not self.path.exists():
                self._make()
            self._key = self._read()
        return self._key

    def of(self, wanted: str) -> EvidenceKey:
        """Return the key of this id.

        Raises:
            CredentialError: The key file is missing, or holds another key.

        """
        if self._key is None or self._key.key_id != wanted:
            self._key = self._find(wanted)
        return self._key

    def stage(self, given: EvidenceKey | None = None) -> EvidenceKey:
        """Put the next key, or a fresh one, beside the current one.

        Raises:
            CredentialError: It cannot be written.

        """
        self.next_path.unlink(missing_ok=True)  # of a rotation that never came to its entry
        key = given or new_key()
        write_key(self.next_path, key)
        return key

    def _make(self) -> None:
        """Make a key, unless another process has just made one: then that one is the key of both."""
        try:
            write_key(self.path, new_key())
        except CredentialError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise

    def _read(self) -> EvidenceKey:
        return read_key(self.path, is_credential=self._is_credential)

    def _find(self, wanted: str) -> EvidenceKey:
        if self.next_path.exists():
            following = read_key(self.next_path)
            if following.key_id == wanted:
                self.next_path.replace(self.path)
                _sync_folder(self.path.parent)
                return following
        found = self._read()
        if found.key_id != wanted:
            raise CredentialError(
                f"the evidence key {self.path} is the key {found.key_id[:16]}…, but the chain's is {wanted[:16]}…",
                hint="restore the right key; if it is lost: compliance-agent evidence replace-key --reason TEXT",
            )
        return found
