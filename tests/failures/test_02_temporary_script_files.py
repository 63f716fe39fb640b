"""Failure 2: scripts were written to temporary files, and the execution policy of the machine blocked them.

Here no script ever is a file on the target: the session's shell reads it from standard input, a step's shell gets it
as an argument. PowerShell, too, reads its script from standard input, by a bootstrap that is the same for every script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.transports.winrm import WinRmOptions, WinRmTransport, arguments
from compliance_agent.domain.bundle import BundleStep
from tests.support.content import execute_here, run_steps
from tests.support.wsman_server import start_wsman

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shell_of_a_step_reads_no_file() -> None:
    script = "tr '\\0' '\\n' </proc/$$/cmdline | sed -n 2p"
    result = run_steps([BundleStep("step", script)], execute_here)["step"]
    assert (result.stdout, result.exit_code) == ("-c", 0)


def test_powershell_reads_no_file(tmp_path: Path) -> None:
    assert "-File" not in arguments()
    with start_wsman(tmp_path) as server:
        with WinRmTransport(WinRmOptions(), CredentialReader()).open(server.target()) as session:
            assert session.run("echo out", timeout_s=60, output_max_bytes=100).stdout == b"out\n"
        assert server.actions.count("Send") == 1
