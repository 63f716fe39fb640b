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
from tests.support.turns import make_world

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.target import Target
    from compliance_agent.engine.ports import Session


def test_a_machine_that_cannot_be_reached_is_replaced_by_no_other(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as first_of_the_list, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        known_hosts = KnownHosts.load([first_of_the_list.known_hosts])
        transport = SshTransport(SshOptions(), known_hosts, CredentialReader())
        with pytest.raises(TransportError) as caught:
            transport.open(first_of_the_list.target(port=bound.getsockname()[1]))
        assert "Accepted" not in first_of_the_list.log()
    assert caught.value.fault is TransportFault.REFUSED


def test_a_turn_speaks_to_the_machine_of_its_incident_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path, "TEST-FILE-001")
    world.say("TEST-FILE-001", "bad")
    spoken_to: list[str] = []
    really_open = world.transport.open

    def watched(target: Target, *, fresh: bool = False) -> Session:
        spoken_to.append(target.target_id)
        return really_open(target, fresh=fresh)

    world.transport.open = watched  # type: ignore[method-assign] # watched
    world.outcome()
    assert spoken_to == ["front-desk"] * 3  # scan, remedy, verification
