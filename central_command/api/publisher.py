"""Publish the served rules, and hold in memory what appliances ask for: no request reads the database or the disk."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from central_command.signing.repository import Bundles
from central_command.store.served_rules import served_rules
from compliance_agent.domain.serving import CHANNELS, FLEET_ROLES, site_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from central_command.signing.repository import Repository
    from central_command.store.database import Database


@dataclass(frozen=True, slots=True)
class ServedFile:
    """One file, as it goes out.

    Attributes:
        content: Its bytes.
        etag: Quoted SHA-256 of them.
        is_immutable: Whether its name is never given to other bytes.
        site: Name of the only site that may have it; empty for everybody.

    """

    content: bytes
    etag: str
    is_immutable: bool
    site: str = ""


@dataclass(slots=True)
class Publisher:
    """Publishes rules, and answers what was published. Thread-safe.

    Attributes:
        repository: Where it is published.
        database: Where the rules are.
        canary_shares: Share of the appliances that acts, by step of the canary.

    """

    repository: Repository
    database: Database
    canary_shares: Sequence[float]
    _files: Mapping[str, ServedFile] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, *, now: datetime) -> bool:
        """Publish what is served now; tell whether anything changed.

        Raises:
            CentralError: The database does not answer, or the repository is incomplete.
            OSError: A file cannot be written. What was published before goes on being served.

        """
        with self._lock:
            with self.database.fleet() as connection:
                rules = served_rules(connection, canary_shares=self.canary_shares)
            fleet = {
                role: {channel: _document(rules.fleet.get((role, channel), ())) for channel in CHANNELS}
                for role in FLEET_ROLES
            }
            sites = {site_id: _document(entries) for site_id, entries in rules.sites.items()}
            changed = self.repository.publish(Bundles(fleet, sites), now=now)
            if changed or not self._files:
                self.repository.prune()
                self._files = self._load()
            return changed

    def file(self, path: str, *, site_id: str) -> ServedFile | None:
        """Return a published file; ``None`` where there is none, or where it is another site's."""
        file = self._files.get(path)
        if file is None or not file.site or file.site == site_name(site_id):
            return file
        return None

    def _load(self) -> dict[str, ServedFile]:
        """Read the repository; replaced as a whole, so that no request sees half of a publication."""
        folder = self.repository.folder
        paths = [*(folder / "metadata").glob("*.json"), *(folder / "targets").rglob("*.json")]
        names = sorted(str(path.relative_to(folder)) for path in paths)
        files = {}
        for name in names:
            content = (folder / name).read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            files[name] = ServedFile(content, etag, name != "metadata/timestamp.json", _site_of(name))
        return files


def _site_of(path: str) -> str:
    """Return the name of the site whose file this is: ``N.site-NAME.json``, ``targets/sites/NAME/...``."""
    if path.startswith("targets/sites/"):
        return path.split("/")[2]
    return path.removesuffix(".json").partition(".site-")[2]


def _document(entries: Sequence[Mapping[str, object]]) -> bytes:
    return json.dumps({"rules": list(entries)}, sort_keys=True, separators=(",", ":")).encode()
