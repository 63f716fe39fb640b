"""Leaked probe sessions once ran into MaxSessions, and half-open sockets hung."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import TransportError
from tests.support.sshd import make_key, start_sshd

if TYPE_CHECKING:
    from pathlib import Path


def test_more_runs_than_max_sessions_fit_into_one_session(tmp_path: Path) -> None:
    with start_sshd(tmp_path, config="MaxSessions 2\n") as server:
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
        with transport.open(server.target()) as session:
            for number in range(8):
                result = session.run(f"echo {number}", timeout_s=60, output_max_bytes=10)
                assert result.stdout == f"{number}\n".encode()


@pytest.mark.parametrize("kind", ["wrong key", "unknown host"])
def test_logins_that_fail_leave_nothing_open(tmp_path: Path, kind: str) -> None:
    with start_sshd(tmp_path) as server:
        (tmp_path / "none").touch()
        known = tmp_path / "none" if kind == "unknown host" else server.known_hosts
        transport = SshTransport(SshOptions(), KnownHosts.load([known]), CredentialReader())
        target = server.target(identity_file=str(make_key(tmp_path / "wrong")))
        with pytest.raises(TransportError):
            transport.open(target)
        before = (sorted(os.listdir("/proc/self/fd")), threading.active_count())  # noqa: PTH208 -- names
        for _ in range(10):
            with pytest.raises(TransportError):
                transport.open(target)
        assert (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == before  # noqa: PTH208 -- names
        for _ in range(1000):
            if not server.children():
                break
            time.sleep(0.01)
        assert server.children() == []
