"""How scripts reach machines: ``local``, ``ssh``, ``winrm``. All pass ``tests/contract/test_transports.py``."""

from __future__ import annotations

import sys

# paramiko takes Invoke up, where it is there, to run commands of ssh_config's "Match exec". We read no ssh_config, and
# Invoke takes 16 MB and 0.1 s.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]  # how the import system notes an absent module
