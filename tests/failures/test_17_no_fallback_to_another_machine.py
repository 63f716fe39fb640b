"""An incident that named only an address was once healed on the first machine of the list."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import TransportError, TransportFault
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from pathlib import Path


def test_a_machine_that_cannot_be_reached_is_replaced_by_no_other(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as first_of_the_list, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        known_hosts = KnownHosts.load([first_of_the_list.known_hosts])
        transport = SshTransport(SshOptions(), known_hosts, CredentialReader())
        with pytest.raises(TransportError) as caught:
            transport.open(first_of_the_list.target(port=bound.getsockname()[1]))
        assert "Accepted" not in first_of_the_list.log()
    assert caught.value.fault is TransportFault.REFUSED
