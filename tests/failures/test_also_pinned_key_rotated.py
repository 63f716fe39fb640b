"""Also: a pinned certificate was rotated, and the agent had no way back.

Here a changed host key is told as that, with both fingerprints and what to do, nothing is sent to that machine, and a
key may be pinned beside the old one before the change. Issue 6 does the same for Central Command's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import TransportError
from tests.support.sshd import make_key, public_key, start_sshd

if TYPE_CHECKING:
    from pathlib import Path


def test_a_changed_key_is_refused_and_told_and_one_pinned_before_the_change_is_not(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as server:
        now = server.known_hosts.read_text()
        before = f"[127.0.0.1]:{server.port} {public_key(make_key(tmp_path / 'old'))}\n"
        said, refusals = [], []
        for pinned in (before, before + now, now):
            server.known_hosts.write_text(pinned)
            transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
            try:
                with transport.open(server.target()):
                    said.append("in")
            except TransportError as error:
                said.append(error.fault.value)
                refusals.append(f"{error.message} {error.hint}")
                assert "Accepted" not in server.log()
    assert said == ["host_key_changed", "in", "in"]
    for part in ("pinned SHA256:", "offered SHA256:", "targets add"):
        assert part in refusals[0]
