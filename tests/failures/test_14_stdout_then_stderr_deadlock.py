"""Reading standard output to its end before standard error once waited for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from pathlib import Path


def test_megabytes_on_both_streams_at_once_arrive(tmp_path: Path) -> None:
    script = "head -c 10000000 /dev/zero >&2 & head -c 10000000 /dev/zero; wait; exit 5"
    with start_sshd(tmp_path) as server:
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
        with transport.open(server.target()) as session:
            result = session.run(script, timeout_s=120, output_max_bytes=10_000_000)
    assert (len(result.stdout), len(result.stderr), result.exit_code) == (10_000_000, 10_000_000, 5)


def test_a_stream_that_nobody_reads_first_does_not_hold_up_the_other(tmp_path: Path) -> None:
    script = "head -c 3000000 /dev/zero >&2; echo came this far"
    with start_sshd(tmp_path) as server:
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
        with transport.open(server.target()) as session:
            result = session.run(script, timeout_s=10, output_max_bytes=100)
    assert result.stdout == b"came this far\n"
