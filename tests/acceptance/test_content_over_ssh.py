"""The runbooks of the way in and of its surroundings, by the whole agent over SSH: as root, and as a user of sudo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.cli import Site, outcomes, verdicts
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

CHECKS: Final = (
    "LIN-ACCT-002",
    "LIN-CRON-001",
    "LIN-CRYPTO-001",
    "LIN-PERM-003",
    "LIN-PERM-004",
    "LIN-SSH-002",
    "LIN-SSH-004",
    "LIN-SUID-001",
)
SPOIL: Final = r"""
sed -i "/^clerk:/s/:19700:/:$(($(date +%s) / 86400 - 10)):/" /etc/shadow
rm -rf /etc/cron* && mkdir /etc/cron.d && echo '# jobs' >/etc/crontab && chmod 0644 /etc/crontab
touch /etc/open && chmod 0666 /etc/open
chmod 0444 /etc/sudoers
cp /bin/true /tmp/tool && chmod 4755 /tmp/tool
"""
TREES: Final = "/etc /tmp /var/tmp"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path) as running:
        running.run(SPOIL, check=True)
        yield running


def a_site(tmp_path: Path, machine: OverlayMachine, login: str) -> Site:
    site = Site(tmp_path, machine, checks=f"[{', '.join(CHECKS)}]")
    if login == "root":
        site.login, site.become = "user: root", "none"
        machine.run("sed -i 's/NOPASSWD: //' /etc/sudoers", check=True)
    site.write()
    return site


def files(machine: OverlayMachine) -> str:
    """Name, mode, owner and content; of /etc/shadow, which chage writes, neither time nor backup."""
    found = f"find {TREES} -xdev -type f ! -name 'shadow-'"
    listing = f"{found} -printf '%p %m %U:%G\\n' | sort; {found} -print0 | sort -z | xargs -0 sha256sum"
    return machine.run(f"{listing}; find {TREES} -xdev -type d -printf '%p %m %U:%G\\n' | sort", check=True).stdout


@pytest.mark.parametrize("login", ["operator", "root"])
def test_all_are_healed_once_stay_so_and_are_undone_byte_for_byte(
    machine: OverlayMachine, tmp_path: Path, login: str
) -> None:
    site = a_site(tmp_path, machine, login)
    before = files(machine)
    planned, _ = site.json("plan")
    assert verdicts(planned) == dict.fromkeys(CHECKS, "fail")
    assert files(machine) == before

    healed, code = site.json("apply", "--yes")
    assert (outcomes(healed), code) == (dict.fromkeys(CHECKS, "remediated"), 0), healed
    attempts = [check["attempt"] for check in healed["targets"][0]["checks"]]
    after = files(machine)

    again, code = site.json("apply", "--yes")
    assert (outcomes(again), code) == ({}, 0)
    assert files(machine) == after
    assert machine.run("pgrep -f '/deadman/[t]imer'").stdout == ""

    for attempt in attempts:
        done = site("undo", attempt, "--reason", "a test", "--yes")
        assert done.returncode == 0, done.stderr
    assert files(machine) == before


def test_passwords_stay_while_somebody_has_nothing_else(machine: OverlayMachine, tmp_path: Path) -> None:
    machine.run("rm /etc/ssh/authorized_keys.d/clerk", check=True)
    site = a_site(tmp_path, machine, "operator")
    site.checks = "[LIN-SSH-002]"
    site.write()
    planned, _ = site.json("apply", "--yes")
    (check,) = planned["targets"][0]["checks"]
    assert check["outcome"] == "not_applicable"
    assert "would be shut out (see password_only)" in check["outcome_reason"]
    assert check["incident"]["facts"]["password_only"] == ["clerk"]
    assert "passwordauthentication yes" in machine.run("sshd -T").stdout


def test_passwords_stay_while_the_agent_has_one_at_hand(machine: OverlayMachine, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "password").chmod(0o600)
    site = Site(tmp_path, machine, checks="[LIN-SSH-002]")
    site.login = f"user: clerk\n    password_file: {tmp_path / 'password'}"
    site.become = f"sudo\n    become_password_file: {tmp_path / 'password'}"
    site.write()
    document, _ = site.json("apply", "--yes")
    (check,) = document["targets"][0]["checks"]
    assert check["outcome"] == "not_applicable"
    assert "give it a key" in check["outcome_reason"]
