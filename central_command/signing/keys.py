"""The keys of the roles: made once, in a ceremony; the offline ones leave this machine, the online ones stay."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from central_command.errors import CentralError

if TYPE_CHECKING:
    from pathlib import Path

ROOT_KEYS: Final = ("root-1", "root-2", "root-3")
"""Of these two have to sign a root."""

ROOT_THRESHOLD: Final = 2
OFFLINE_KEYS: Final = (*ROOT_KEYS, "targets")
ONLINE_KEYS: Final = ("snapshot", "timestamp", "synced", "promoted", "sites")


class KeysError(CentralError):
    """A key is missing, unreadable, or where it must not be."""


def make_key(path: Path) -> CryptoSigner:
    """Make an Ed25519 key in a new file for its owner alone, and return what signs with it.

    Raises:
        KeysError: The file is there already, or cannot be written.

    """
    signer = CryptoSigner.generate_ed25519()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.private_bytes)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        message = f"the key {path} cannot be made: {error.strerror}"
        raise KeysError(message, hint="a key is never overwritten: name a new folder") from error
    return signer


def read_key(path: Path) -> CryptoSigner:
    """Return what signs with the key of a file.

    Raises:
        KeysError: There is none, it is no Ed25519 key, or others than its owner may read it.

    """
    try:
        mode = path.stat().st_mode
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        message = f"the key {path} cannot be read: {error.strerror}"
        raise KeysError(message, hint="keys are made by: central-command keys init FOLDER") from error
    except (ValueError, TypeError) as error:
        message = f"{path} holds no key in PEM"
        raise KeysError(message, hint="restore it from your copy") from error
    if not isinstance(key, Ed25519PrivateKey):
        message = f"{path} holds no Ed25519 key"
        raise KeysError(message, hint="restore it from your copy")
    if mode & 0o077:
        message = f"others than its owner may read the key {path}"
        raise KeysError(message, hint=f"chmod 600 {path}, and think of who may have read it")
    return CryptoSigner(key)
