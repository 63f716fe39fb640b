"""Also: sudo and polkit failed, since a service has neither a terminal nor a login session.

Here sudo is asked without either, never waits for somebody to type, and says why where it refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.target import Become
from compliance_agent.errors import TransportError, TransportFault
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.overlay import OverlayMachine

pytestmark = [pytest.mark.root, pytest.mark.needs("sudo", "sshd")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        yield running


def test_root_is_gained_without_a_terminal_and_without_a_session(machine: OverlayMachine) -> None:
    transport = SshTransport(SshOptions(), KnownHosts.load([machine.known_hosts]), CredentialReader())
    script = 'id -u; [ -t 0 ] || echo "no terminal"; echo "session=$XDG_SESSION_ID"'
    said = b""
    try:
        with transport.open(machine.target(user="operator", become=Become.SUDO)) as session:
            said = session.run(script, timeout_s=60, output_max_bytes=1_000).stdout
    except TransportError as error:
        said = error.message.encode()
    assert said == b"0\nno terminal\nsession=\n"


def test_where_a_password_is_wanted_nobody_is_waited_for(machine: OverlayMachine) -> None:
    transport = SshTransport(SshOptions(), KnownHosts.load([machine.known_hosts]), CredentialReader())
    target = machine.target(user="clerk", become=Become.SUDO)
    with transport.open(target) as session, pytest.raises(TransportError, match="sudo gave no root") as caught:
        session.run("id -u", timeout_s=60, output_max_bytes=1_000)
    assert caught.value.fault is TransportFault.AUTH_FAILED
    assert "password" in caught.value.message
    assert caught.value.hint
