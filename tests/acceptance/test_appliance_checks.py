"""The appliance's own checks, as an ordinary user, as its agent runs: real links, files and file systems.

systemd is stood in for by a script that answers as systemctl of systemd 252 does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.cli import cli, verdicts
from tests.support.healing import look
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.catalogue import Judgement
    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

USER: Final = "setpriv --reuid 2003 --regid 2003 --clear-groups"
SYSTEMCTL: Final = """#!/bin/sh
case "$1 $*" in
  show*' -p LoadState '*) for unit; do :; done; cat "/run/units/$unit.load" 2>/dev/null || echo not-found ;;
  show*) for unit; do :; done; cat "/run/units/$unit" 2>/dev/null || echo LoadState=not-found ;;
  list-units*) cat /run/units/failed ;;
  *is-active*) for unit; do :; done; grep -qs '^ActiveState=active' "/run/units/$unit" ;;
  *is-enabled*) for unit; do :; done; grep -qs '^UnitFileState=enabled' "/run/units/$unit" ;;
esac
"""
RUNNING: Final = "LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=0\nUnitFileState=enabled\n"
SYSTEMS: Final = "/nix/store"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as started:
        started.write("/usr/local/bin/systemctl", SYSTEMCTL, 0o755)
        yield started


@pytest.fixture
def machine(running: OverlayMachine) -> Iterator[OverlayMachine]:
    """An appliance on which all is well."""
    running.run(
        "mkdir -p /etc/compliance-agent /run/systemd/system /run/units /var/lib/compliance-agent;"
        " : >/etc/compliance-agent/settings.yaml; : >/run/units/failed; printf 'ID=nixos\\n' >/etc/os-release",
        check=True,
    )
    for unit in ("compliance-agent.service", "firewall.service"):
        running.write(f"/run/units/{unit}", RUNNING)
        running.write(f"/run/units/{unit}.load", "loaded\n")
    for number in (1, 2):
        running.run(
            f"for part in kernel initrd kernel-modules; do mkdir -p {SYSTEMS}/system-{number};"
            f" echo {number} >{SYSTEMS}/$part-{number};"
            f" ln -sfn {SYSTEMS}/$part-{number} {SYSTEMS}/system-{number}/$part; done;"
            f" mkdir -p /nix/var/nix/profiles;"
            f" ln -sfn {SYSTEMS}/system-{number} /nix/var/nix/profiles/system-{number}-link",
            check=True,
        )
    running.run(
        f"ln -sfn system-2-link /nix/var/nix/profiles/system; ln -sfn {SYSTEMS}/system-2 /run/current-system;"
        f" ln -sfn {SYSTEMS}/system-2 /run/booted-system",
        check=True,
    )
    yield running
    running.run(
        "umount /var/lib/compliance-agent 2>/dev/null; rm -rf /nix /run/current-system /run/booted-system /run/units"
    )


def judged(machine: OverlayMachine, runbook_id: str, **given: object) -> Judgement:
    return look(machine, runbook_id, user=USER, **given)[0]


@pytest.mark.parametrize("runbook_id", ["APP-NIXOS-001", "APP-SVC-001", "APP-DISK-001", "APP-FW-001"])
def test_an_appliance_on_which_all_is_well_passes(machine: OverlayMachine, runbook_id: str) -> None:
    # The disk under the tests may be fuller than an appliance's should be.
    given = {"min_percent": 1, "min_mb": 1} if runbook_id == "APP-DISK-001" else {}
    judgement = judged(machine, runbook_id, **given)
    assert judgement.verdict == "pass", judgement.reason


@pytest.mark.parametrize("runbook_id", ["APP-NIXOS-001", "APP-SVC-001", "APP-DISK-001", "APP-FW-001"])
def test_a_machine_without_the_agent_is_no_appliance(machine: OverlayMachine, runbook_id: str) -> None:
    machine.run("rm /etc/compliance-agent/settings.yaml", check=True)
    assert judged(machine, runbook_id).verdict == "not_applicable"


@pytest.mark.parametrize(
    ("plant", "fact"),
    [
        (f"ln -sfn {SYSTEMS}/system-1 /run/current-system", "running_is_profile"),
        (f"ln -sfn {SYSTEMS}/system-1 /run/booted-system", "kernel_is_running"),
        ("touch -h -d '61 days ago' /nix/var/nix/profiles/system-2-link", "age_days"),
    ],
)
def test_a_generation_that_is_not_what_it_should_be_fails(machine: OverlayMachine, plant: str, fact: str) -> None:
    machine.run(plant, check=True)
    judgement = judged(machine, "APP-NIXOS-001")
    assert (judgement.verdict, fact in judgement.reason) == ("fail", True), judgement.reason


def test_a_new_system_with_the_same_kernel_needs_no_reboot(machine: OverlayMachine) -> None:
    machine.run(
        f"for part in kernel initrd kernel-modules; do ln -sfn {SYSTEMS}/$part-2 {SYSTEMS}/system-1/$part; done;"
        f" ln -sfn {SYSTEMS}/system-1 /run/booted-system",
        check=True,
    )
    assert judged(machine, "APP-NIXOS-001").verdict == "pass"


@pytest.mark.parametrize(
    ("file", "text", "fact"),
    [
        ("compliance-agent.service", RUNNING.replace("=active", "=failed"), "stopped"),
        ("compliance-agent.service", RUNNING.replace("NRestarts=0", "NRestarts=99"), "restarts"),
        ("compliance-agent.service", RUNNING.replace("=enabled", "=disabled"), "not_at_boot"),
        ("failed", "nginx.service loaded failed failed A web server\n", "failed"),
    ],
)
def test_a_service_that_is_in_trouble_fails(machine: OverlayMachine, file: str, text: str, fact: str) -> None:
    machine.write(f"/run/units/{file}", text)
    judgement = judged(machine, "APP-SVC-001")
    assert (judgement.verdict, judgement.reason.partition(": ")[2].split()[0]) == ("fail", fact), judgement.reason


@pytest.mark.parametrize(("change", "fact"), [("=active", "active"), ("=enabled", "enabled")])
def test_a_firewall_that_is_not_loaded_fails(machine: OverlayMachine, change: str, fact: str) -> None:
    machine.write("/run/units/firewall.service", RUNNING.replace(change, "=no"))
    judgement = judged(machine, "APP-FW-001")
    assert (judgement.verdict, judgement.facts[fact]) == ("fail", False)


@pytest.mark.parametrize(
    ("options", "fill", "fact"),
    [
        ("size=64m", "head -c 60m /dev/zero >/var/lib/compliance-agent/big", "free_percent"),
        ("size=64m,nr_inodes=100", "for i in $(seq 95); do : >/var/lib/compliance-agent/$i; done", "inodes_percent"),
        ("size=64m", "true", "free_mb"),
        ("size=64m,ro", "true", "read_only"),
    ],
)
def test_a_state_that_runs_out_of_room_fails(machine: OverlayMachine, options: str, fill: str, fact: str) -> None:
    machine.run(f"mount -t tmpfs -o mode=0755,{options} state /var/lib/compliance-agent && {fill}", check=True)
    given = {} if fact == "free_mb" else {"min_mb": 1}
    judgement = judged(machine, "APP-DISK-001", **given)
    assert (judgement.verdict, judgement.reason.partition(": ")[2].split()[0]) == ("fail", fact), judgement.reason


def test_the_appliance_itself_gets_its_own_checks_and_those_of_every_linux_machine() -> None:
    """A target by the local transport, as the daemon has it too, is a Linux machine like any other."""
    found = verdicts(json.loads(cli("scan", "--local", "-o", "json").stdout))
    assert found.keys() >= {"APP-NIXOS-001", "APP-SVC-001", "APP-DISK-001", "APP-FW-001", "LIN-NTP-001", "LIN-FW-001"}
    assert "error" not in {found[check] for check in found if check.startswith("APP-")}
