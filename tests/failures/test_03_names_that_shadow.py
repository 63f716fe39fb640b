"""Failure 3: a helper named R was shadowed by a PowerShell alias, so another command ran in its place.

Here every helper begins with ``ca_`` and every parameter with ``PARAM_``, so that neither can take the place of a
command or a variable of the shell, nor they theirs. Issue 7 holds the PowerShell helpers to the same.
"""

from __future__ import annotations

import re
import subprocess

from compliance_agent.domain.bundle import BundleStep
from compliance_agent.domain.parameters import environment
from tests.support.content import execute_here, run_steps, shipped


def test_every_helper_has_a_name_that_no_command_has() -> None:
    library = shipped().library
    names = re.findall(r"(?m)^\s*([A-Za-z_][A-Za-z0-9_]*)\(\)", library.detect + library.change)
    assert len(names) > 20
    assert [name for name in names if not name.startswith("ca_")] == []
    for name in names:
        found = subprocess.run(["/bin/sh", "-c", f"command -v {name}"], capture_output=True, check=False)
        assert found.returncode != 0, f"{name} is a command of this machine"


def test_a_parameter_is_named_like_no_variable_that_the_shell_goes_by() -> None:
    values = environment({"path": "/nowhere", "ifs": "a", "home": "/nowhere", "env": "/nowhere"})
    script = 'cat /dev/null && for word in "a b"; do echo "$word $PARAM_PATH"; done'
    result = run_steps([BundleStep("step", script, values)], execute_here)["step"]
    assert (result.stdout, result.exit_code) == ("a b /nowhere", 0)
