"""Failure 1: a script outgrew the command line that carried it (cmd.exe takes 8,191 characters); 20 of 61 never ran.

Here a script travels on standard input and stands on no command line, however long it is. Proved over SSH and on this
machine; issue 7 brings WinRM and proves the same there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from compliance_agent.adapters.credentials import CredentialReader, Secret
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.elevation import prepare
from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.target import Become, Target
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from pathlib import Path

LONG: Final = "# forty characters that say nothing at all\n" * 5_000 + "tr '\\0' ' ' </proc/$$/cmdline; echo it ran\n"
CMD_EXE_MAX: Final = 8_191


def test_a_script_of_200_kb_runs_over_ssh_and_its_shell_was_given_none_of_it(tmp_path: Path) -> None:
    assert len(LONG) > 200_000
    with start_sshd(tmp_path) as server:
        transport = SshTransport(SshOptions(), KnownHosts.load([server.known_hosts]), CredentialReader())
        with transport.open(server.target()) as session:
            result = session.run(LONG, timeout_s=60, output_max_bytes=1_000)
    assert result.stdout == b"/bin/sh -s it ran\n"


def test_it_runs_on_this_machine_just_so() -> None:
    with LocalTransport().open(Target("here", "clinic")) as session:
        result = session.run(LONG, timeout_s=60, output_max_bytes=1_000)
    assert result.stdout == b"/bin/sh -s it ran\n"


@pytest.mark.parametrize("password", [None, Secret("hunter2")])
@pytest.mark.parametrize("become", list(Become))
def test_what_stands_on_the_command_line_does_not_grow_with_the_script(become: Become, password: Secret | None) -> None:
    short = prepare("echo x", become=become, password=password, timeout_s=60)
    long = prepare(LONG, become=become, password=password, timeout_s=60)
    assert len(long.command) == len(short.command) < CMD_EXE_MAX
    assert LONG.encode() in long.stdin
