"""The private machine of the tests keeps the real one untouched and sees every write."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.overlay import OverlayMachine

pytestmark = [pytest.mark.root, pytest.mark.needs("sshd")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        yield running


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        ("true", set()),
        ("cat /etc/passwd /etc/shadow >/dev/null; ls -lR /etc >/dev/null; sshd -T >/dev/null", set()),
        ("echo x >>/etc/issue", {"/etc/issue"}),
        ("chmod 0600 /etc/issue", {"/etc/issue"}),
        ("touch -d 2001-01-01 /etc/issue", {"/etc/issue"}),
        ("rm /etc/issue.net", {"/etc", "/etc/issue.net"}),
        ("touch /tmp/x; rm /tmp/x", {"/tmp"}),
        ("touch /opt/x; rm /opt/x", {"/opt"}),
    ],
)
def test_every_write_is_seen_and_no_read_is(machine: OverlayMachine, command: str, changed: set[str]) -> None:
    machine.mark()
    machine.run(command, check=True)
    assert machine.changed_files() - {"/"} == changed


def test_host_name_network_and_temporary_files_are_its_own(machine: OverlayMachine, tmp_path: Path) -> None:
    assert machine.run("cat /proc/sys/kernel/hostname").stdout == "clinic-host\n"
    assert socket.gethostname() != "clinic-host"
    forward = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    for value in "10":
        machine.run(f"echo {value} >/proc/sys/net/ipv4/ip_forward", check=True)
        assert machine.read("/proc/sys/net/ipv4/ip_forward") == f"{value}\n"
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == forward
    machine.write("/tmp/only-inside", "x", 0o600)
    assert not Path("/tmp/only-inside").exists()
    assert not list(tmp_path.iterdir())


def test_the_real_kernels_settings_cannot_be_written(machine: OverlayMachine) -> None:
    result = machine.run("cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness")
    assert "Read-only file system" in result.stderr


def test_a_setting_of_the_server_shows_at_once(machine: OverlayMachine) -> None:
    config = machine.read("/etc/ssh/sshd_config")
    machine.write("/etc/ssh/sshd_config", f"MaxAuthTries 3\n{config}")
    assert "maxauthtries 3\n" in machine.run("sshd -T", check=True).stdout
    machine.write("/etc/ssh/sshd_config", config)
    assert "maxauthtries 6\n" in machine.run("sshd -T", check=True).stdout
