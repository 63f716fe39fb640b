"""Failures once had an empty error text, and missing credentials were tried as root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.errors import TransportError, TransportFault
from tests.support.peers import hang_up, peer, saying, silent, trickle
from tests.support.sshd import make_key

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("behaviour", [hang_up, silent, trickle, saying(b"SSH-2.0-x\r\n"), saying(b"SSH-2.0-x\r\n\0")])
def test_every_failure_says_what_happened_and_what_to_do(
    tmp_path: Path, behaviour: Callable[[socket.socket, threading.Event], None]
) -> None:
    (tmp_path / "known_hosts").touch()
    transport = SshTransport(SshOptions(1, 1, 1, 1), KnownHosts.load([tmp_path / "known_hosts"]), CredentialReader())
    key = str(make_key(tmp_path / "key"))
    with peer(behaviour) as failing, pytest.raises(TransportError) as caught:
        transport.open(
            Target(
                "t",
                "site",
                transport=TransportKind.SSH,
                host="127.0.0.1",
                port=failing.port,
                user="u",
                identity_file=key,
            )
        )
    assert f"127.0.0.1:{failing.port}" in caught.value.message
    assert not caught.value.message.rstrip().endswith(":")
    assert caught.value.hint


def test_a_target_without_a_user_is_not_tried_as_root(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    transport = SshTransport(SshOptions(1, 1, 1, 1), KnownHosts.load([tmp_path / "known_hosts"]), CredentialReader())
    key = str(make_key(tmp_path / "key"))
    with peer(silent) as untouched, pytest.raises(TransportError, match="names no user") as caught:
        transport.open(
            Target(
                "t",
                "site",
                transport=TransportKind.SSH,
                host="127.0.0.1",
                port=untouched.port,
                identity_file=key,
            )
        )
    assert untouched.connections == 0
    assert caught.value.fault is TransportFault.NOT_CONFIGURED
