"""Evidence: its settings, and what signs it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from compliance_agent.adapters.evidence_key import CREDENTIAL, KEY_FILE, KeyStore, read_key
from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.store.evidence import RETENTION_DAYS, Recorder
from compliance_agent.adapters.version import version
from compliance_agent.domain.runbook import Model
from compliance_agent.errors import CredentialError, StoreError
from compliance_agent.wire.validation import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from compliance_agent.adapters.store.sqlite import SqliteStore
    from compliance_agent.domain.evidence.drafts import EvidenceDraft
    from compliance_agent.wire.evidence.entry import Sealed

_CREDENTIALS_FOLDER: Final = "CREDENTIALS_DIRECTORY"


def _as_path(value: object) -> object:
    return Path(value) if isinstance(value, str) else value


def _absolute(value: Path | None) -> Path | None:
    if value is not None and not value.is_absolute():
        raise RefusedError(f"got {str(value)!r}, need an absolute path", "write it from / on")
    return value


class EvidenceSettings(Model):
    """The signed chain of what was found, done and decided."""

    key_file: Annotated[Path | None, BeforeValidator(_as_path), AfterValidator(_absolute)] = Field(
        default=None, description="Ed25519 key that signs it; without one the systemd credential, else one made here."
    )
    retention_days: int = Field(
        default=RETENTION_DAYS,
        ge=RETENTION_DAYS,
        le=36_600,
        description="How long evidence is kept; six years (45 CFR 164.316) is the least.",
    )


def key_store(settings: EvidenceSettings, state_dir: Path) -> KeyStore:
    """Return where the signing key comes from: the settings, else a systemd credential, else the state folder."""
    if settings.key_file is not None:
        return KeyStore(settings.key_file, is_ours=False)
    folder = os.environ.get(_CREDENTIALS_FOLDER)
    if folder and (Path(folder) / CREDENTIAL).is_file():
        return KeyStore(Path(folder) / CREDENTIAL, is_ours=False, is_credential=True)
    return KeyStore(state_dir / KEY_FILE, is_ours=True)


def make_recorder(keys: KeyStore, *, forward: bool, tell: Callable[[Sealed], None]) -> Recorder:
    """Return what signs evidence.

    Args:
        keys: Where the signing key comes from.
        forward: Whether each entry is reported to the control plane, too.
        tell: Called with each entry that had to be refused.

    """
    return Recorder(keys, version(), SystemIds().new_id, tell, forward=forward)


def ensure_key(keys: KeyStore, wanted: str) -> None:
    """See that evidence can be signed, before anything is done that would need it; make the very first key.

    Args:
        keys: Where the key comes from.
        wanted: Id of the chain's key; empty where there is no chain yet.

    Raises:
        StoreError: It cannot.

    """
    try:
        if wanted:
            keys.of(wanted)
        else:
            keys.first()
    except CredentialError as error:
        raise StoreError(error.message, hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class ChangedKey:
    """What changing the key did.

    Attributes:
        seq: The entry that names the new key.
        key_id: The new key.
        to_install: Where somebody must put the new key by hand; ``None`` where that is done.

    """

    seq: int
    key_id: str
    to_install: Path | None


def change_key(
    keys: KeyStore, store: SqliteStore, draft: EvidenceDraft, new_key: Path | None, *, lost: bool
) -> ChangedKey:
    """Name a new key in the chain and go on with it.

    Args:
        keys: Where the key comes from.
        store: The state, with what signs evidence.
        draft: The entry, with who and why.
        new_key: A key that was made elsewhere; ``None`` makes one here.
        lost: The old key is gone, so the new one vouches for itself.

    Raises:
        StoreError: There is no chain yet, the old key cannot be used, or it is said to be lost and is there.
        CredentialError: The new key cannot be read, or not be made here.

    """
    if new_key is None and not keys.is_ours:
        raise CredentialError(
            f"the evidence key {keys.path} is handed to the agent, which cannot replace it",
            hint="make a new one (openssl genpkey -algorithm ed25519), name it with --new-key, then hand that over",
        )
    if lost:
        _refuse_a_key_that_is_there(keys, store.evidence.status().key_id)
    fresh = (
        keys.stage(read_key(new_key) if new_key is not None else None) if keys.is_ours else read_key(_given(new_key))
    )
    sealed = store.rotate_key(fresh, draft, old_is_lost=lost)
    if keys.is_ours:
        keys.of(fresh.key_id)
    return ChangedKey(sealed.position.seq, fresh.key_id, None if keys.is_ours else keys.path)


def _refuse_a_key_that_is_there(keys: KeyStore, wanted: str) -> None:
    """Refuse to give up a key that can still vouch for the next one: a replacement cannot be taken back."""
    with suppress(CredentialError):
        keys.of(wanted)
        raise StoreError(
            f"the evidence key {keys.path} is there and can vouch for a new one",
            hint="change it by: compliance-agent evidence rotate-key --reason TEXT",
        )


def _given(path: Path | None) -> Path:
    assert path is not None  # noqa: S101 - refused above
    return path
