"""Two hundred sessions, four at a time, leave descriptors, threads and remote sessions where they were."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from pathlib import Path


def _ours() -> tuple[list[str], list[str]]:
    descriptors = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names are all that is asked
    return descriptors, sorted(thread.name for thread in threading.enumerate())


def test_two_hundred_sessions_leave_nothing(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as server:
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())

        def scan(_number: int) -> None:
            with transport.open(server.target()) as session:
                assert session.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"

        scan(0)  # the first one starts the watchdog
        before = _ours()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(scan, range(200)))
        assert _ours() == before
        for _ in range(2000):  # the server notices a closed connection on its own time
            if not server.children():
                break
            time.sleep(0.01)
        assert server.children() == []
