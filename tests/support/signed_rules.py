"""A repository of signed rules, a server that can lie about it, and appliances that ask."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from central_command.signing.repository import Bundles, Repository, found
from compliance_agent.adapters.control_plane.exchange import Address
from compliance_agent.adapters.control_plane.signed_rules import SignedRules
from compliance_agent.adapters.synced_rules import TRUSTED_ROOT
from compliance_agent.domain.serving import CHANNELS, FLEET_ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def now() -> datetime:
    """Return the time: the library that verifies has no other clock."""
    return datetime.now(UTC)


def an_entry(rule_id: str, **more: Any) -> dict[str, Any]:
    """Return one rule as it is served."""
    return {
        "rule_id": rule_id,
        "name": "",
        "incident_pattern": {"check_id": "LIN-SSH-001"},
        "action": "run_linux_runbook:LIN-SSH-001",
        "priority": 100,
        **more,
    }


def document(*entries: dict[str, Any]) -> bytes:
    """Return a rules document."""
    return json.dumps({"rules": list(entries)}).encode()


def bundles(*, sites: dict[str, bytes] | None = None, **files: bytes) -> Bundles:
    """Return what is served: ``synced_stable=...`` and so on; the rest is empty."""
    fleet = {
        role: {channel: files.get(f"{role}_{channel}", document()) for channel in CHANNELS} for role in FLEET_ROLES
    }
    return Bundles(fleet, sites or {})


@dataclass
class Ceremony:
    """Keys and a repository, as ``central-command keys init`` makes them; the offline keys lie elsewhere."""

    folder: Path

    @classmethod
    def hold(cls, folder: Path, *, at: datetime | None = None) -> Self:
        """Make them."""
        found(folder / "ceremony", now=at or now())
        (folder / "ceremony" / "offline").rename(folder / "offline")
        return cls(folder)

    @property
    def central(self) -> Path:
        return self.folder / "ceremony" / "central"

    @property
    def offline(self) -> Path:
        return self.folder / "offline"

    def repository(self) -> Repository:
        return Repository(self.central)

    def publish(self, wanted: Bundles, *, at: datetime | None = None) -> None:
        """Publish, as the server does."""
        self.repository().publish(wanted, now=at or now())

    def files(self) -> dict[str, bytes]:
        """Return what is served, by path below ``/agent/sync/``."""
        paths = [*(self.central / "metadata").rglob("*.json"), *(self.central / "targets").rglob("*.json")]
        return {str(path.relative_to(self.central)): path.read_bytes() for path in paths}


@dataclass
class Mirror:
    """Serves files, and lies as it is told.

    Attributes:
        files: What it serves.
        asked: Every path that was asked for.
        lie: Given path and content (``None`` where there is none), returns what to send; ``None`` for a 404.
        drip_s: Seconds between two bytes.

    """

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lie: Callable[[str, bytes | None], bytes | None] = lambda _path, content: content
    drip_s: float = 0.0
    url: str = ""

    @contextmanager
    def serve(self) -> Iterator[Self]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.removeprefix("/agent/sync/")
                mirror.asked.append(path)
                content = mirror.lie(path, mirror.files.get(path))
                self.send_response(404 if content is None else 200)
                self.send_header("Connection", "close")
                self.end_headers()
                for place in range(0, len(content or b""), 1 if mirror.drip_s else 1 << 20):
                    self.wfile.write((content or b"")[place : place + (1 if mirror.drip_s else 1 << 20)])
                    time.sleep(mirror.drip_s)

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_arguments: object) -> None:
                pass  # the client went away: that is the test

        with Server(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def an_appliance(folder: Path, url: str, root: bytes, *, deadline_s: float = 10.0) -> SignedRules:
    """Return what an enrolled appliance asks with."""
    synced = folder / "synced"
    synced.mkdir(parents=True)
    (synced / TRUSTED_ROOT).write_bytes(root)
    token = folder / "token"
    token.write_text("token")
    token.chmod(0o600)
    return SignedRules(synced, Address(url, deadline_s=deadline_s), str(token), "clinic")
