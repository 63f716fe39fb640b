"""What speaking SSH costs in memory before anything is said."""

from __future__ import annotations

import subprocess
import sys


def test_ssh_does_not_take_up_a_command_runner_for_ssh_config() -> None:
    script = (
        "import sys\n"
        "import compliance_agent.adapters.transports.ssh\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'invoke' and sys.modules[name]])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
