"""Rules from the control plane, believed only as The Update Framework says: verified, fresh, never older than before.

The library ``tuf`` decides what to believe; here are the line that it fetches by, and the bounds. The server may be
lost to an enemy: then no rule that the offline keys did not allow, and none that is older than what was seen, gets in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
from urllib3.exceptions import HTTPError

from compliance_agent.adapters.control_plane.exchange import bearer, exchange
from compliance_agent.adapters.http_line import retry_after_s
from compliance_agent.adapters.synced_rules import TRUSTED_ROOT
from compliance_agent.adapters.whole_file import sync_folder
from compliance_agent.domain.serving import CHANNELS, FLEET_ROLES, SYNCED, fleet_path, site_path
from compliance_agent.errors import CredentialError
from compliance_agent.wire.synced_rules import SyncedBundle, SyncedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from compliance_agent.adapters.control_plane.exchange import Address, Exchange

FULL_LOOK_EVERY: Final = timedelta(hours=1)
"""In between it is enough that the server still has the timestamp that was verified: a new root can wait so long."""

RULES_MAX_BYTES: Final = 5_000_000
_CONFIG: Final = UpdaterConfig(
    max_root_rotations=32,
    max_delegations=8,
    root_max_length=65_536,
    timestamp_max_length=16_384,
    snapshot_max_length=262_144,
    targets_max_length=1_048_576,
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the control plane brought.

    Attributes:
        bundle: The rules, all of one state; ``None`` where nothing is new, or nothing could be believed.
        trouble: Why not, one sentence; empty when all went well.
        is_refused: True for what was answered and must not be believed, false for no answer.
        retry_after_s: What the control plane asked to wait.

    """

    bundle: SyncedBundle | None = None
    trouble: str = ""
    is_refused: bool = False
    retry_after_s: float | None = None


@dataclass(slots=True)
class _Answers:
    """What was seen of answers beside their bodies."""

    etag: str = ""
    retry_after_s: float | None = None


class _Fetcher(FetcherInterface):
    """Fetches over one exchange, with the credential."""

    def __init__(self, line: Exchange, authorization: str, seen: _Answers) -> None:
        self._line = line
        self._headers = {"Authorization": authorization}
        self._seen = seen

    def _fetch(self, url: str) -> Iterator[bytes]:
        response = self._line.ask("GET", url, headers=self._headers)
        if response.status_code != requests.codes.ok:
            self._seen.retry_after_s = retry_after_s(response.headers)
            response.close()
            raise DownloadHTTPError(f"answered {response.status_code}", response.status_code)
        if url.endswith("/timestamp.json"):
            self._seen.etag = response.headers.get("ETag", "")
        return self._chunks(response)

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        try:
            with response:
                yield from response.iter_content(65_536)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise DownloadError(f"the answer broke off: {type(error).__name__}") from error
        if self._line.is_over:
            raise DownloadError("the answer took too long")


@dataclass(slots=True)
class SignedRules:
    """The signed rules of one control plane for one site. Not thread-safe.

    Attributes:
        folder: Holds the trusted root, and what was verified last; for the agent alone.
        address: Of the control plane.
        token_file: Path of the credential.
        site_id: Whose own rules are looked for, too.

    """

    folder: Path
    address: Address
    token_file: str
    site_id: str
    _etag: str = ""
    _verified_at: datetime | None = field(default=None)
    _expires: datetime | None = field(default=None)

    def look(self, *, now: datetime, whole: bool = False) -> Look:
        """Look whether there are new rules. Never raises: whatever is wrong is told, and what is in force stays.

        Args:
            now: The time, UTC.
            whole: Bring the rules also where they are those that were seen last.

        """
        seen = _Answers()
        try:
            root = (self.folder / TRUSTED_ROOT).read_bytes()
            authorization = bearer(self.token_file)
            with exchange(self.address) as line:
                if not whole and self._is_recent(now) and self._is_unchanged(line, authorization, seen):
                    return Look()
                bundle = self._refresh(root, _Fetcher(line, authorization, seen))
        except CredentialError as error:
            return Look(trouble=error.message)
        except (RepositoryError, DownloadError, requests.RequestException, HTTPError, OSError, ValueError) as error:
            self._verified_at = None
            trouble, is_refused = _in_words(error)
            return Look(trouble=trouble, is_refused=is_refused, retry_after_s=seen.retry_after_s)
        self._etag, self._verified_at = seen.etag, now
        return Look(bundle)

    def _is_recent(self, now: datetime) -> bool:
        if self._verified_at is None or self._expires is None or not self._etag:
            return False
        return abs(now - self._verified_at) < FULL_LOOK_EVERY and now < self._expires

    def _is_unchanged(self, line: Exchange, authorization: str, seen: _Answers) -> bool:
        headers = {"Authorization": authorization, "If-None-Match": self._etag}
        with line.ask("GET", "/agent/sync/metadata/timestamp.json", headers=headers) as response:
            seen.retry_after_s = retry_after_s(response.headers)
            if response.status_code not in {requests.codes.ok, requests.codes.not_modified}:
                raise DownloadHTTPError(f"answered {response.status_code}", response.status_code)
            return bool(response.status_code == requests.codes.not_modified)

    def _refresh(self, root: bytes, fetcher: _Fetcher) -> SyncedBundle:
        metadata, targets = self.folder / "metadata", self.folder / "targets"
        for each in (metadata, targets):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        base = self.address.url.rstrip("/") + "/agent/sync"
        updater = Updater(
            str(metadata),
            f"{base}/metadata/",
            str(targets),
            f"{base}/targets/",
            fetcher=fetcher,
            config=_CONFIG,
            bootstrap=root,
        )
        updater.refresh()
        wanted = [(role, fleet_path(role, channel)) for role in FLEET_ROLES for channel in CHANNELS]
        files = [_file(updater, role, path) for role, path in [*wanted, (SYNCED, site_path(self.site_id))]]
        _flush(metadata)
        timestamp: Any = Metadata.from_file(str(metadata / "timestamp.json")).signed
        self._expires = timestamp.expires
        return SyncedBundle(timestamp.snapshot_meta.version, tuple(file for file in files if file is not None))


def _file(updater: Updater, role: str, path: str) -> SyncedFile | None:
    """Return one file of rules, verified; ``None`` where the signed metadata has none of this name."""
    info = updater.get_targetinfo(path)
    if info is None:
        return None
    if info.length > RULES_MAX_BYTES:
        raise RepositoryError(f"{path} has {info.length} bytes, more than {RULES_MAX_BYTES}")
    name = updater.find_cached_target(info) or updater.download_target(info)
    content = Path(name).read_bytes()
    info.verify_length_and_hashes(content)
    return SyncedFile(path, role, content)


def _flush(folder: Path) -> None:
    """See that what is verified outlives a power cut: who forgets versions can be shown old ones."""
    for path in folder.glob("*.json"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(folder)


_REFUSALS: Final = (
    (ExpiredMetadataError, "what it serves has expired: it is held back, or nobody signs there any more"),
    (BadVersionNumberError, "it serves an older state than it did before, or a mix of several"),
    (UnsignedMetadataError, "what it serves is not signed by the keys that may sign it"),
    (LengthOrHashMismatchError, "a file is not the one that was signed"),
    (DownloadLengthMismatchError, "a file is longer than it may be"),
)


def _in_words(error: Exception) -> tuple[str, bool]:
    """Return what to tell of an error, and whether it is one of belief."""
    for kind, words in _REFUSALS:
        if isinstance(error, kind):
            return f"the control plane's rules are refused: {words} ({error})", True
    if isinstance(error, DownloadHTTPError):
        return f"the control plane answered {error.status_code}", False
    if isinstance(error, RepositoryError | ValueError):
        return f"the control plane's rules are refused: {error}", True
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS: the control plane's certificate is not trusted (check it and ca_file)", False
    if isinstance(error, FileNotFoundError) and str(error.filename).endswith(TRUSTED_ROOT):
        return "this appliance pinned no root for rules: enrol it (compliance-agent enroll)", False
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return f"{error.filename or 'a file'}: {error.strerror or error}", False
    return f"the control plane does not answer: {type(error).__name__}", False
