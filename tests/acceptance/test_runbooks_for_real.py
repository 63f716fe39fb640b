"""Every remedy that needs no init system, for real: plant drift, heal, verify, heal again, undo byte for byte."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest

from compliance_agent.domain.catalogue import CompiledRunbook, digest_of
from compliance_agent.domain.runbook import Runbook
from tests.support.content import run_steps, shipped
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compliance_agent.domain.catalogue import Judgement
    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

CATALOGUE: Final = shipped()

# The kernel's audit belongs to the real machine, so its tool is stood in for by one that keeps a list.
AUDITCTL: Final = r"""#!/bin/sh
rules=/run/audit.rules
touch $rules
case $1 in
  -s) echo 'enabled 1' ;;
  -l) if [ -s $rules ]; then cat $rules; else echo 'No rules'; fi ;;
  -w) echo "$*" >>$rules ;;
  -W) shift; grep -vxF -e "-w $*" $rules >$rules.new; mv $rules.new $rules ;;
esac
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        running.write("/usr/local/sbin/auditctl", AUDITCTL, 0o755)
        running.run("mkdir -p -m 0750 /etc/audit/rules.d", check=True)
        yield running


@dataclass(frozen=True, slots=True)
class Drift:
    """A way to spoil a machine that one runbook mends."""

    runbook_id: str
    plant: str
    name: str = "plain"

    def __str__(self) -> str:
        return f"{self.runbook_id} {self.name}"


DRIFTS: Final = [
    Drift("LIN-SSH-001", "sed -i 's/^PermitRootLogin.*/PermitRootLogin yes/' /etc/ssh/sshd_config"),
    Drift("LIN-SSH-001", "sed -i '/^PermitRootLogin/d' /etc/ssh/sshd_config", "by default"),
    Drift(
        "LIN-SSH-001",
        "mkdir -p /etc/ssh/sshd_config.d; sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config;"
        " echo 'PermitRootLogin yes' >/etc/ssh/sshd_config.d/50-cloud.conf",
        "in a drop-in",
    ),
    Drift("LIN-SSH-003", "echo 'MaxAuthTries 20' >>/etc/ssh/sshd_config"),
    Drift("LIN-SSH-003", "printf 'Match User guest\\n  X11Forwarding no\\n' >>/etc/ssh/sshd_config", "before a Match"),
    Drift("LIN-PERM-001", "chmod 0646 /etc/shadow"),
    Drift("LIN-PERM-001", "chown operator:operator /etc/shadow", "owner"),
    Drift("LIN-PERM-002", "chmod 0666 /etc/ssh/sshd_config"),
    Drift("LIN-BANNER-001", "echo 'Welcome' >/etc/issue; chmod 0600 /etc/issue; rm -f /etc/issue.net"),
    Drift("LIN-AUDIT-001", "echo '-w /etc/passwd -p wa -k identity' >/run/audit.rules"),
    Drift("LIN-AUDIT-002", "echo '-w /var/log/wtmp -p wa -k session' >/run/audit.rules"),
    Drift("LIN-SSH-004", "echo 'ClientAliveCountMax 0' >>/etc/ssh/sshd_config"),
    Drift("LIN-SSH-004", "echo 'ClientAliveInterval 15m' >>/etc/ssh/sshd_config", "written as a time"),
    Drift("LIN-CRYPTO-001", "true", "as it comes"),
    Drift(
        "LIN-CRYPTO-001",
        "printf 'Ciphers +3des-cbc,aes128-cbc\nKexAlgorithms +diffie-hellman-group1-sha1\n' >>/etc/ssh/sshd_config",
    ),
    Drift(
        "LIN-CRON-001",
        "mkdir -p /etc/cron.d /etc/cron.daily; touch /etc/crontab '/etc/cron.daily/a job'; chmod 0644 /etc/crontab;"
        " chmod 0775 /etc/cron.d; chown root:operator /etc/cron.d; chmod 0777 '/etc/cron.daily/a job'",
    ),
    Drift(
        "LIN-PERM-003",
        "touch '/etc/a file'; mkdir -m 0777 /etc/app; touch /etc/app/inside; chmod 0666 '/etc/a file' /etc/app/inside",
    ),
    Drift(
        "LIN-PERM-004",
        "sed -i 's/NOPASSWD: //' /etc/sudoers; echo '@includedir /etc/sudoers.d' >>/etc/sudoers;"
        " chmod 0444 /etc/sudoers;"
        " echo 'clerk ALL=(ALL) /bin/true' >'/etc/sudoers.d/a rule'; chmod 0644 '/etc/sudoers.d/a rule'",
    ),
    Drift(
        "LIN-BOOT-001",
        """mkdir -p /boot/grub; chmod 0755 /boot/grub; echo 'set superusers="root"' >/boot/grub/grub.cfg;"""
        " echo 'password_pbkdf2 root grub.pbkdf2.sha512.10000.AB' >>/boot/grub/grub.cfg;"
        " chmod 0644 /boot/grub/grub.cfg",
    ),
    Drift(
        "LIN-SUID-001",
        "cp /bin/true '/tmp/a tool'; chmod 4755 '/tmp/a tool'; cp /bin/true /var/tmp/.x; chmod 2711 /var/tmp/.x",
    ),
]

_TREES: Final = "/etc /home /boot /tmp /var/tmp"
_LIST: Final = f"/usr/bin/find {_TREES} -xdev -type f"


def files(machine: OverlayMachine) -> str:
    """Return name, mode, owner, time and content of every file that these remedies could touch."""
    sums = f"{_LIST} -print0 | /usr/bin/sort -z | xargs -0 sha256sum"
    folders = f"/usr/bin/find {_TREES} -xdev -type d -printf '%p %m %U:%G\\n' | sort"
    return machine.run(f"{_LIST} -printf '%p %m %U:%G %T@\\n' | sort; {sums}; {folders}", check=True).stdout


def execute(machine: OverlayMachine, script: str) -> bytes:
    return machine.run("exec /bin/sh -s", stdin=script).stdout.encode()


def detect(machine: OverlayMachine, compiled: CompiledRunbook) -> Judgement:
    parameters = compiled.parameters({})
    steps = [CATALOGUE.host_step(), *compiled.detect_steps(parameters)]
    results = run_steps(steps, lambda script: execute(machine, script))
    # The test machine may itself be a container; what is tested here is its own all the same. Its scripts
    # are not brought by SSH here, but an ordinary user could log in.
    host = replace(CATALOGUE.host_facts(results["@host"]), container=False, login_user="operator", login_by="key")
    judgement = compiled.judge(results, parameters, host)
    assert not (judgement.verdict == "fail" and compiled.guard_reason(judgement.facts, parameters, host))
    return judgement


def change(machine: OverlayMachine, compiled: CompiledRunbook, phase: str, attempt_id: str) -> None:
    parameters = compiled.parameters({})
    steps = {
        "remediate": lambda: compiled.remediate_steps(parameters, attempt_id=attempt_id),
        "confirm": lambda: compiled.confirm_steps(attempt_id=attempt_id),
        "rollback": lambda: compiled.rollback_steps(parameters, attempt_id=attempt_id),
    }[phase]()
    results = run_steps(steps, lambda script: execute(machine, script), stop_on_failure=True)
    assert [result.trouble() for result in results.values()] == [""] * len(steps)


def get(runbook_id: str) -> CompiledRunbook:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    return compiled


@pytest.fixture
def spoiled(machine: OverlayMachine, request: pytest.FixtureRequest) -> Iterator[tuple[OverlayMachine, Drift]]:
    """A machine with one drift planted, and clean again afterwards."""
    drift: Drift = request.param
    machine.run("rm -rf /run/kept && mkdir /run/kept && cp -a /etc /run/kept/", check=True)
    machine.run(drift.plant, check=True)
    yield machine, drift
    machine.run("find /etc -mindepth 1 -delete; cp -a /run/kept/etc/. /etc/; rm -f /run/audit.rules", check=True)
    machine.run("rm -rf /var/lib/compliance-agent /boot/grub; find /tmp /var/tmp -mindepth 1 -delete")


@pytest.mark.parametrize("spoiled", DRIFTS, ids=str, indirect=True)
def test_drift_is_healed_once_and_undone_byte_for_byte(spoiled: tuple[OverlayMachine, Drift]) -> None:
    machine, drift = spoiled
    heal_and_undo(machine, get(drift.runbook_id))


def heal_and_undo(
    machine: OverlayMachine, compiled: CompiledRunbook, seen: Callable[[OverlayMachine], str] = files
) -> None:
    """Heal what is spoiled, heal again, undo, undo again; ``seen`` says what the files are."""
    before = seen(machine)
    assert detect(machine, compiled).verdict == "fail"
    assert seen(machine) == before

    change(machine, compiled, "remediate", "attempt-1")
    assert detect(machine, compiled).verdict == "pass"
    change(machine, compiled, "confirm", "attempt-1")
    healed = seen(machine)
    assert healed != before

    change(machine, compiled, "remediate", "attempt-2")
    change(machine, compiled, "confirm", "attempt-2")
    assert seen(machine) == healed

    change(machine, compiled, "rollback", "attempt-1")
    assert seen(machine) == before
    assert detect(machine, compiled).verdict == "fail"
    change(machine, compiled, "rollback", "attempt-1")
    assert seen(machine) == before


@pytest.mark.parametrize("spoiled", [DRIFTS[2]], ids=str, indirect=True)
def test_undo_of_one_attempt_leaves_the_setting_of_another(spoiled: tuple[OverlayMachine, Drift]) -> None:
    machine, _ = spoiled
    root_login, tries = get("LIN-SSH-001"), get("LIN-SSH-003")
    before = files(machine)
    change(machine, root_login, "remediate", "attempt-1")
    change(machine, root_login, "confirm", "attempt-1")
    change(machine, tries, "remediate", "attempt-2")
    change(machine, tries, "confirm", "attempt-2")
    change(machine, root_login, "rollback", "attempt-1")
    assert detect(machine, root_login).verdict == "fail"
    assert detect(machine, tries).verdict == "pass"
    change(machine, tries, "rollback", "attempt-2")
    assert files(machine) == before


@pytest.mark.parametrize("spoiled", [DRIFTS[8]], ids=str, indirect=True)
def test_undo_does_not_overwrite_what_a_person_wrote_since(spoiled: tuple[OverlayMachine, Drift]) -> None:
    machine, drift = spoiled
    compiled = get(drift.runbook_id)
    change(machine, compiled, "remediate", "attempt-1")
    machine.write("/etc/issue", "authorised by the owner\n")
    steps = compiled.rollback_steps(compiled.parameters({}), attempt_id="attempt-1")
    results = run_steps(steps, lambda script: execute(machine, script), stop_on_failure=True)
    assert "/etc/issue was changed since" in " ".join(result.trouble() for result in results.values())
    assert machine.read("/etc/issue") == "authorised by the owner\n"


@pytest.mark.parametrize(
    "spoiled", [Drift("LIN-BANNER-001", "ln -sf /etc/hostname /etc/issue")], ids=str, indirect=True
)
def test_a_symbolic_link_is_left_alone(spoiled: tuple[OverlayMachine, Drift]) -> None:
    machine, drift = spoiled
    compiled = get(drift.runbook_id)
    steps = compiled.remediate_steps(compiled.parameters({}), attempt_id="attempt-1")
    results = run_steps(steps, lambda script: execute(machine, script), stop_on_failure=True)
    assert "is a symbolic link" in " ".join(result.trouble() for result in results.values())
    assert machine.read("/etc/hostname") == "clinic-host\n"


_RECENT: Final = "$(($(date +%s) / 86400 - 10))"


def shadow(machine: OverlayMachine) -> str:
    """What /etc/shadow says and who may read it; its time and its backup are those of chage."""
    return machine.run("stat -c '%a %u:%g' /etc/shadow; cat /etc/shadow", check=True).stdout


@pytest.mark.parametrize(
    "spoiled",
    [
        Drift("LIN-ACCT-002", f'sed -i "/^clerk:/s/:19700:/:{_RECENT}:/" /etc/shadow'),
        Drift(
            "LIN-ACCT-002", f'sed -i "/^clerk:/s/:19700:.*/:{_RECENT}:::::: /; s/ $//" /etc/shadow', "without any age"
        ),
    ],
    ids=str,
    indirect=True,
)
def test_ages_of_passwords_are_set_and_undone_and_the_hashes_stay(spoiled: tuple[OverlayMachine, Drift]) -> None:
    machine, drift = spoiled
    compiled = get(drift.runbook_id)
    before, defaults = shadow(machine), machine.read("/etc/login.defs")
    seen = detect(machine, compiled)
    assert (seen.verdict, seen.facts["unaged"]) == ("fail", ["clerk"])
    change(machine, compiled, "remediate", "attempt-1")
    assert detect(machine, compiled).verdict == "pass"
    healed = shadow(machine)
    assert ":365:7:" in next(line for line in healed.splitlines() if line.startswith("clerk:"))
    change(machine, compiled, "remediate", "attempt-2")
    assert shadow(machine) == healed
    change(machine, compiled, "rollback", "attempt-1")
    assert (shadow(machine), machine.read("/etc/login.defs")) == (before, defaults)


@pytest.mark.parametrize("attempt_id", ["", "../../etc", ".hidden", "a b", "x" * 129])
def test_an_unsafe_attempt_id_is_refused(machine: OverlayMachine, attempt_id: str) -> None:
    compiled = get("LIN-PERM-002")
    machine.run("chmod 0644 /etc/ssh/sshd_config", check=True)
    steps = compiled.remediate_steps(compiled.parameters({}), attempt_id=attempt_id)
    result = run_steps(steps, lambda script: execute(machine, script))[steps[0].step_id]
    assert "attempt id" in result.trouble()
    assert machine.run("stat -c %a /etc/ssh/sshd_config").stdout == "644\n"


@pytest.mark.parametrize("spoiled", [Drift("LIN-PERM-002", "true")], ids=str, indirect=True)
def test_copies_of_the_newest_fifty_attempts_are_kept(spoiled: tuple[OverlayMachine, Drift]) -> None:
    machine, drift = spoiled
    undo = "/var/lib/compliance-agent/undo"
    machine.run(
        f"mkdir -p {undo}; for i in $(seq 60); do mkdir {undo}/old-$i; touch -d @$i {undo}/old-$i; done", check=True
    )
    machine.run("chmod 0666 /etc/ssh/sshd_config", check=True)
    change(machine, get(drift.runbook_id), "remediate", "attempt-1")
    kept = machine.run(f"ls {undo}").stdout.split()
    assert sorted(kept) == sorted(["attempt-1", *(f"old-{number}" for number in range(12, 61))])


def test_a_kernel_setting_is_set_now_and_for_the_next_boot_and_both_undone(machine: OverlayMachine) -> None:
    # A network setting belongs to this machine's own network namespace; the others would be the real machine's.
    step = {"resource": "sysctl", "with": {"key": "net.ipv4.conf.all.log_martians", "value": 1}}
    document = {
        "schema": "runbook/v1",
        "id": "TEST-001",
        "version": 1,
        "title": "Log packets that cannot be",
        "check_type": "network",
        "severity": "low",
        "platforms": ["linux"],
        "controls": {"hipaa": ["164.312(b)"]},
        "detect": {"steps": [step]},
        "pass_when": {"value": 1},
        "fail_reason": "not logged",
        "remediate": {"steps": [step]},
        "rollback": {"steps": [step]},
    }
    runbook = Runbook.model_validate(document)
    resources = {"sysctl": get("LIN-KERN-001").resources["sysctl"]}
    compiled = CompiledRunbook(runbook, resources, CATALOGUE.library, digest_of(runbook, resources, CATALOGUE.library))
    machine.run("echo 0 >/proc/sys/net/ipv4/conf/all/log_martians", check=True)
    before = files(machine)
    assert detect(machine, compiled).verdict == "fail"
    change(machine, compiled, "remediate", "attempt-1")
    assert detect(machine, compiled).verdict == "pass"
    assert "net.ipv4.conf.all.log_martians = 1\n" in machine.read("/etc/sysctl.d/zz-compliance-agent.conf")
    change(machine, compiled, "rollback", "attempt-1")
    assert detect(machine, compiled).verdict == "fail"
    assert files(machine) == before
