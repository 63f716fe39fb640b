"""An SSH handshake without a time limit once blocked every other scan."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import TransportError, TransportFault
from tests.support.peers import peer, silent
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from pathlib import Path


def test_a_frozen_machine_ends_by_itself_and_does_not_hold_up_the_others(tmp_path: Path) -> None:
    faults: list[TransportFault] = []
    with start_sshd(tmp_path) as server, peer(silent) as frozen:
        transport = SshTransport(
            SshOptions(banner_timeout_s=2), KnownHosts.load([server.known_hosts]), CredentialReader()
        )

        def scan_the_frozen_one() -> None:
            with pytest.raises(TransportError) as caught:
                transport.open(server.target(port=frozen.port))
            faults.append(caught.value.fault)

        thread = threading.Thread(target=scan_the_frozen_one)
        thread.start()
        with transport.open(server.target()) as session:
            assert session.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"
        thread.join()
    assert faults == [TransportFault.TIMED_OUT]
