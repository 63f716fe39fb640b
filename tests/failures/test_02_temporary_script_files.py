"""Failure 2: scripts were written to temporary files, and the execution policy of the machine blocked them.

Here no script ever is a file on the target: the session's shell reads it from standard input, a step's shell gets it
as an argument. There is no Windows transport yet, and a rule that needs one is set aside with that reason instead of
failing at every turn; issue 7 brings the transport and proves the same of PowerShell.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from compliance_agent.domain.bundle import BundleStep
from tests.support.cli import cli
from tests.support.content import execute_here, run_steps
from tests.support.local_site import LocalSite, a_rule

if TYPE_CHECKING:
    from pathlib import Path


def test_the_shell_of_a_step_reads_no_file() -> None:
    script = "tr '\\0' '\\n' </proc/$$/cmdline | sed -n 2p"
    result = run_steps([BundleStep("step", script)], execute_here)["step"]
    assert (result.stdout, result.exit_code) == ("-c", 0)


def test_a_rule_that_needs_windows_is_set_aside_and_says_why(tmp_path: Path) -> None:
    rule = a_rule("TEST-FILE-001", "run_windows_runbook:WIN-FW-001")
    site = LocalSite(tmp_path, rules=[rule]).write()
    done = cli("rules", "lint", "-c", str(site.settings), "-o", "json")
    findings = json.loads(done.stdout)["findings"]
    assert [(one["rule"], one["message"]) for one in findings] == [
        (rule["rule_id"], "set aside: no Windows transport yet")
    ]
    assert done.returncode == 1
