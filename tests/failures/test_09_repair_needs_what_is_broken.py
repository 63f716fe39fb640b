"""Failure 9: repairing name resolution needed name resolution; the domain controller could not find itself.

Here a target that is given by its address needs no name server, the remedy travels whole in the session and fetches
nothing, and a name that does not resolve is told as just that, never as drift. Issue 7 brings the DNS runbooks.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import TransportError, TransportFault
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from pathlib import Path


def take_name_servers_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for addresses only, as an appliance does whose name servers are gone."""
    real = socket.getaddrinfo

    def numbers_only(host: Any, port: Any = None, family: int = 0, *more: int, **named: int) -> Any:
        kind, proto, flags = (*more, 0, 0, 0)[:3]
        kind = named.get("type", kind)
        try:
            return real(host, port, family, kind, proto, flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from None

    monkeypatch.setattr(socket, "getaddrinfo", numbers_only)
    monkeypatch.setattr(socket, "gethostbyname", numbers_only)
    monkeypatch.setattr(socket, "getfqdn", numbers_only)


def test_without_name_servers_a_machine_is_reached_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_sshd(tmp_path) as server:
        take_name_servers_away(monkeypatch)
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
        with transport.open(server.target()) as session:
            assert session.run("echo here", timeout_s=60, output_max_bytes=10).stdout == b"here\n"


def test_a_name_that_does_not_resolve_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_sshd(tmp_path) as server:
        take_name_servers_away(monkeypatch)
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
        with pytest.raises(TransportError, match="'dc01' does not resolve") as caught:
            transport.open(server.target(host="dc01"))
    assert caught.value.fault is TransportFault.UNRESOLVED
    assert caught.value.retryable
