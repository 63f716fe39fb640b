"""Two hundred scans leave descriptors, threads and remote sessions where they were."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.target import TransportKind
from compliance_agent.engine.scan import scan_target
from tests.support.local_site import wait_until
from tests.support.sshd import start_sshd
from tests.support.turns import NOON, make_world

if TYPE_CHECKING:
    from pathlib import Path


def _ours() -> tuple[int, int]:
    """Return how many descriptors and threads this process has."""
    gc.collect()
    descriptors = os.listdir("/proc/self/fd")  # noqa: PTH208 -- the number is all that is asked
    return len(descriptors), threading.active_count()


def test_two_hundred_scans_leave_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path, "TEST-FILE-001")
    checks = world.engine.checks_for(world.target)
    with start_sshd(tmp_path) as server:
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
        engine = replace(world.engine, transports={TransportKind.SSH: transport})

        def scan(_number: int) -> Verdict:
            return scan_target(engine, server.target(), checks, now=NOON).observations[0].verdict

        scan(0)  # the first one starts the watchdog
        before = _ours()
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(scan, range(200))) == {Verdict.PASS}
        # Both ends notice a closed connection on their own time.
        wait_until(lambda: all(now <= then for now, then in zip(_ours(), before, strict=True)), "ours are gone")
        wait_until(lambda: not server.children(), "the server's are gone")
