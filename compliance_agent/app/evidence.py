"""Evidence: its settings, and what signs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from compliance_agent.adapters.evidence_key import CREDENTIAL, KEY_FILE, KeyStore
from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.store.evidence import RETENTION_DAYS, Recorder
from compliance_agent.adapters.version import version
from compliance_agent.domain.runbook import Model
from compliance_agent.errors import CredentialError, StoreError
from compliance_agent.wire.validation import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

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
        return KeyStore(Path(folder) / CREDENTIAL, is_ours=False)
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
