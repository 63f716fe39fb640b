"""The remedies with BusyBox's shell and tools, which are Alpine's: everything else is Debian's all the same."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_runbooks_for_real import AUDITCTL, DRIFTS, files, get, heal_and_undo
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.test_runbooks_for_real import Drift
    from tests.support.overlay import OverlayMachine

pytestmark = [pytest.mark.root, pytest.mark.needs("busybox")]

# The first folder of the search path of every step. What BusyBox would do in the place of Debian's own
# administration (su, passwd) is left to Debian.
INSTALL = r"""
mkdir -p /run/wrappers/bin && cd /run/wrappers/bin && base64 -d >busybox && chmod 0755 busybox
for applet in $(./busybox --list); do
  case $applet in busybox | su | passwd | login) ;; *) ln -s busybox "$applet" ;; esac
done
ln -sf /run/wrappers/bin/busybox /bin/sh
"""


def seen(machine: OverlayMachine) -> str:
    """What the files are; BusyBox's cp keeps times to the second."""
    return re.sub(r" (\d{9,})\.\d+\n", r" \1\n", files(machine))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    binary = base64.b64encode(Path(shutil.which("busybox") or "").read_bytes()).decode()
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        running.write("/usr/local/sbin/auditctl", AUDITCTL, 0o755)
        running.run("mkdir -p -m 0750 /etc/audit/rules.d", check=True)
        running.run(INSTALL, stdin=binary, check=True)
        assert "BusyBox" in running.run("PATH=/run/wrappers/bin find --help 2>&1").stdout
        yield running


@pytest.mark.parametrize("drift", DRIFTS, ids=str)
def test_drift_is_healed_once_and_undone_byte_for_byte(machine: OverlayMachine, drift: Drift) -> None:
    machine.run("rm -rf /run/kept && mkdir /run/kept && cp -a /etc /run/kept/", check=True)
    machine.run(drift.plant, check=True)
    try:
        heal_and_undo(machine, get(drift.runbook_id), seen)
    finally:
        machine.run("find /etc -mindepth 1 -delete; cp -a /run/kept/etc/. /etc/; rm -f /run/audit.rules", check=True)
        machine.run("rm -rf /var/lib/compliance-agent /boot/grub; find /tmp /var/tmp -mindepth 1 -delete")
