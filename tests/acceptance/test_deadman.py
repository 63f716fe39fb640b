"""The dead man's timer, for real: what shuts the agent out is taken back, what a new session confirms stays."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.target import Become
from tests.support.cli import Site, environment, outcomes
from tests.support.content import run_steps, shipped
from tests.support.overlay import overlay_machine, serve_inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from compliance_agent.domain.bundle import BundleStep
    from compliance_agent.engine.ports import Session
    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

CATALOGUE: Final = shipped()
CONFIG: Final = "/etc/ssh/sshd_config"
UNDO: Final = "/var/lib/compliance-agent/undo"
WAIT_S: Final = 60

# A remedy that shuts the agent out: what the check wants is that nobody but a stranger may log in.
SHUTS_OUT: Final = """\
schema: runbook/v1
id: TEST-SSH-001
version: 1
title: Strangers only
check_type: ssh_config
severity: high
platforms: [linux]
controls: {hipaa: ["164.312(a)(1)"]}
facts: {allowed: {type: string}}
detect:
  steps:
    - script: |
        ca_sshd_find
        allowed=$(ca_sshd_effective allowusers) || exit 1
        ca_fact allowed "$allowed"
pass_when: {allowed: stranger}
fail_reason: others than strangers may log in
remediate:
  timeout_s: 10
  confirm_within_s: 60
  steps:
    - script: |
        ca_sshd_find
        content=$(cat /etc/ssh/sshd_config)
        printf 'AllowUsers stranger\\n%s\\n' "$content" | ca_put /etc/ssh/sshd_config 0644 || exit 1
        ca_sshd_reload || ca_fail 'sshd did not come back'
rollback:
  timeout_s: 10
  steps:
    - script: |
        ca_sshd_find
        ca_restore
        ca_sshd_reload || ca_fail 'sshd did not come back'
"""
RULE: Final = """\
rules:
  - rule_id: TEST
    name: test
    incident_pattern: {check_id: TEST-SSH-001}
    action: run_linux_runbook:TEST-SSH-001
"""

# The agent's own command line, in a process that SIGKILL ends the moment a new login is to confirm the change.
KILLED: Final = """
import os, signal, sys
from compliance_agent.adapters.transports.ssh import SshTransport
from compliance_agent.cli.main import run
really = SshTransport.open
def opened(self, target, *, fresh=False):
    if fresh:
        os.kill(os.getpid(), signal.SIGKILL)
    return really(self, target, fresh=fresh)
SshTransport.open = opened
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as machine:
        yield machine


@pytest.fixture
def machine(running: OverlayMachine) -> Iterator[OverlayMachine]:
    running.run("rm -rf /run/kept /run/go && mkdir /run/kept && cp -a /etc /run/kept/", check=True)
    running.write("/usr/local/sbin/sleep", CLOCK, 0o755)
    yield running
    running.run("touch /run/go; for id in $(pgrep -f '/deadman/[t]imer'); do kill -9 $id; done")
    running.run("find /etc -mindepth 1 -delete; cp -a /run/kept/etc/. /etc/", check=True)
    running.run("rm -rf /var/lib/compliance-agent /usr/local/sbin/sleep /usr/local/sbin/systemd-run /run/systemd")


@pytest.fixture
def daemon(machine: OverlayMachine) -> Iterator[OverlayMachine]:
    """The machine behind a listening SSH server, which reads its settings when it is told to."""
    machine.run("/usr/sbin/sshd -E /run/sshd.log", check=True)
    with serve_inside(machine, 22) as reached:
        yield reached
    machine.run("kill $(cat /run/sshd.pid)")


# The timer's clock, which runs fifty times as fast once /run/go is there.
CLOCK: Final = """\
#!/bin/sh
case $(tr '\\0' ' ' </proc/$PPID/cmdline) in
  '/bin/sh '*/deadman/timer*) if [ -e /run/go ]; then exec /bin/sleep 0.02; fi ;;
esac
exec /bin/sleep "$@"
"""


def let_the_clock_run(machine: OverlayMachine) -> None:
    machine.run("touch /run/go", check=True)


def timers(machine: OverlayMachine) -> list[str]:
    return machine.run("pgrep -f '/deadman/[t]imer'").stdout.split()


def state(machine: OverlayMachine, path: str = CONFIG) -> str:
    return machine.run(f"stat -c '%a %u:%g %Y' {path} && cat {path}", check=True).stdout


def wait_until(met: object, what: str) -> None:
    assert callable(met)
    deadline = time.monotonic() + WAIT_S
    while not met():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.1)


def a_site(tmp_path: Path, machine: OverlayMachine, checks: str, *, test_runbook: bool = False) -> Site:
    site = Site(tmp_path, machine, checks=checks)
    if test_runbook:
        for folder in ("content", "rules"):
            (tmp_path / folder).mkdir()
        (tmp_path / "content" / "TEST-SSH-001.yaml").write_text(SHUTS_OUT)
        (tmp_path / "rules" / "test.yaml").write_text(RULE)
        site.extra = "runbooks: {paths: [content]}\nrules: {paths: [rules]}"
    site.write()
    return site


def the_check(document: dict[str, Any]) -> dict[str, str]:
    (target,) = document["targets"]
    (check,) = target["checks"]
    return dict(check)


# ---- the whole agent against a listening server


def test_what_a_new_session_confirms_stays_and_nothing_is_left_running(daemon: OverlayMachine, tmp_path: Path) -> None:
    site = a_site(tmp_path, daemon, "[LIN-SSH-003]")
    document, code = site.json("apply", "--yes")
    assert (outcomes(document), code) == ({"LIN-SSH-003": "remediated"}, 0)
    assert timers(daemon) == []
    healed = state(daemon)
    assert "maxauthtries 4" in healed
    let_the_clock_run(daemon)  # to no avail: there is nobody to hear it
    assert state(daemon) == healed
    assert daemon.run(f"ls {UNDO}/*/deadman/fired").returncode != 0


def test_a_remedy_that_shuts_the_agent_out_is_taken_back_through_the_session_that_is_still_open(
    daemon: OverlayMachine, tmp_path: Path
) -> None:
    site = a_site(tmp_path, daemon, "[TEST-SSH-001]", test_runbook=True)
    before = state(daemon)
    document, _ = site.json("apply", "--yes")
    check = the_check(document)
    assert check["outcome"] == "verify_failed"
    assert "refused the login of operator" in check["outcome_reason"]
    assert check["outcome_reason"].endswith("; rolled back")
    assert state(daemon) == before
    assert timers(daemon) == []
    assert site("targets", "test").returncode == 0


@pytest.mark.parametrize("checks", ["[LIN-SSH-003]", "[TEST-SSH-001]"], ids=["harmless", "shuts the agent out"])
def test_when_the_agent_is_killed_the_machine_takes_the_change_back_by_itself(
    daemon: OverlayMachine, tmp_path: Path, checks: str
) -> None:
    site = a_site(tmp_path, daemon, checks, test_runbook=True)
    before = state(daemon)
    command = [sys.executable, "-c", KILLED, "apply", "--yes", "-c", str(site.settings)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, env=environment())
    assert done.returncode == -9, done.stderr
    assert state(daemon) != before
    assert len(timers(daemon)) == 1
    let_the_clock_run(daemon)
    wait_until(lambda: state(daemon) == before, "the change is taken back")
    wait_until(lambda: timers(daemon) == [], "the timer ends")
    assert site("targets", "test").returncode == 0


def test_a_reload_that_would_bring_a_lockout_into_force_is_not_made(daemon: OverlayMachine, tmp_path: Path) -> None:
    """Somebody wrote AllowUsers and never reloaded: what the daemon uses now lies nowhere, so no undo could help."""
    daemon.run(f"echo 'AllowUsers stranger' >>{CONFIG}", check=True)
    site = a_site(tmp_path, daemon, "[LIN-SSH-003]")
    before = state(daemon)
    document, _ = site.json("apply", "--yes")
    check = the_check(document)
    assert check["outcome"] == "failed"
    assert "may not let this very login in" in check["outcome_reason"]
    assert state(daemon) == before
    assert timers(daemon) == []
    assert site("targets", "test").returncode == 0


def test_a_limit_that_the_agents_own_login_exceeds_is_taken_back(machine: OverlayMachine, tmp_path: Path) -> None:
    """The agent offers a key that is not wanted and then the password: with one try it never gets to that."""
    machine.run("rm /etc/ssh/authorized_keys.d/clerk", check=True)
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "password").chmod(0o600)
    site = Site(tmp_path, machine, checks="[LIN-SSH-003]")
    site.login = f"user: clerk\n    password_file: {tmp_path / 'password'}"
    site.extra = "runbooks: {parameters: {LIN-SSH-003: {tries: 1}}}"
    site.become = f"sudo\n    become_password_file: {tmp_path / 'password'}"
    site.write()
    before = state(machine)
    document, _ = site.json("apply", "--yes")
    check = the_check(document)
    assert check["outcome"] == "verify_failed"
    assert check["outcome_reason"].endswith("; rolled back")
    assert state(machine) == before
    assert site("targets", "test").returncode == 0


# ---- who may confirm


def over_ssh(session: Session, steps: Sequence[BundleStep]) -> str:
    """Run steps in a session; return what went wrong."""

    def execute(script: str) -> bytes:
        return session.run(script, timeout_s=60, output_max_bytes=100_000).stdout

    results = run_steps(steps, execute, stop_on_failure=True)
    return " ".join(result.trouble() for result in results.values()).strip()


@contextmanager
def session_with(machine: OverlayMachine) -> Iterator[Session]:
    transport = SshTransport(SshOptions(), KnownHosts([machine.known_hosts]), CredentialReader())
    with transport.open(machine.target(user="operator", become=Become.SUDO), fresh=True) as session:
        yield session


def change(attempt_id: str) -> list[BundleStep]:
    compiled = CATALOGUE.get("LIN-SSH-003")
    assert compiled is not None
    return compiled.remediate_steps(compiled.parameters({}), attempt_id=attempt_id)


def confirm(attempt_id: str) -> list[BundleStep]:
    compiled = CATALOGUE.get("LIN-SSH-003")
    assert compiled is not None
    return compiled.confirm_steps(attempt_id=attempt_id)


def undo(attempt_id: str) -> list[BundleStep]:
    compiled = CATALOGUE.get("LIN-SSH-003")
    assert compiled is not None
    return compiled.rollback_steps(compiled.parameters({}), attempt_id=attempt_id)


def test_only_a_session_that_logged_in_since_can_confirm(machine: OverlayMachine) -> None:
    with session_with(machine) as elder, session_with(machine) as changing:
        assert over_ssh(changing, change("attempt-1")) == ""
        assert "the session that made the change" in over_ssh(changing, confirm("attempt-1"))
        assert "older than the change" in over_ssh(elder, confirm("attempt-1"))
        assert len(timers(machine)) == 1
        with session_with(machine) as newer:
            assert over_ssh(newer, confirm("attempt-1")) == ""
    assert timers(machine) == []


def test_what_was_taken_back_cannot_be_confirmed_any_more(machine: OverlayMachine) -> None:
    before = state(machine)
    assert here(machine, change("attempt-1")) == ""
    let_the_clock_run(machine)
    wait_until(lambda: timers(machine) == [], "the timer goes off")
    assert state(machine) == before
    assert "too late" in here(machine, confirm("attempt-1"))
    assert here(machine, undo("attempt-1")) == ""
    assert state(machine) == before


def test_an_attempt_that_was_never_armed_cannot_be_confirmed(machine: OverlayMachine) -> None:
    assert "no timer was armed" in here(machine, confirm("attempt-9"))


# ---- the timer itself


def here(machine: OverlayMachine, steps: Sequence[BundleStep]) -> str:
    """Run steps as root, in no SSH session; return what went wrong."""
    results = run_steps(
        steps, lambda script: machine.run("exec /bin/sh -s", stdin=script).stdout.encode(), stop_on_failure=True
    )
    return " ".join(result.trouble() for result in results.values()).strip()


def test_an_undo_by_hand_has_the_armed_timer_do_it_at_once(machine: OverlayMachine) -> None:
    before = state(machine)
    assert here(machine, change("attempt-1")) == ""
    assert state(machine) != before
    assert here(machine, undo("attempt-1")) == ""
    assert state(machine) == before
    assert timers(machine) == []
    assert machine.run(f"ls {UNDO}/attempt-1/deadman/fired").returncode == 0


def test_an_undo_by_hand_works_where_the_timer_is_gone(machine: OverlayMachine) -> None:
    before = state(machine)
    assert here(machine, change("attempt-1")) == ""
    machine.run(f"kill -9 {timers(machine)[0]}", check=True)
    assert here(machine, undo("attempt-1")) == ""
    assert state(machine) == before


def test_an_undo_after_the_confirmation_is_an_ordinary_one(machine: OverlayMachine) -> None:
    before = state(machine)
    assert here(machine, [*change("attempt-1"), *confirm("attempt-1")]) == ""
    assert state(machine) != before
    assert here(machine, undo("attempt-1")) == ""
    assert state(machine) == before


def test_a_machine_that_shuts_down_takes_the_change_back_first(machine: OverlayMachine) -> None:
    before = state(machine)
    assert here(machine, change("attempt-1")) == ""
    machine.run(f"kill -TERM {timers(machine)[0]}", check=True)
    wait_until(lambda: state(machine) == before, "the change is taken back")


@pytest.fixture
def with_systemd(machine: OverlayMachine) -> OverlayMachine:
    """A stand-in for systemd-run, which keeps what it was asked for and starts it, as the real one would."""
    machine.run("mkdir -p /run/systemd/system", check=True)
    stub = '#!/bin/sh\necho "$*" >/run/systemd/asked\nwhile [ "${1#--}" != "$1" ]; do shift; done\nsetsid "$@" &\n'
    machine.write("/usr/local/sbin/systemd-run", stub, 0o755)
    return machine


def test_with_systemd_the_timer_is_a_unit_of_its_own(with_systemd: OverlayMachine) -> None:
    assert here(with_systemd, change("attempt-1")) == ""
    asked = with_systemd.read("/run/systemd/asked")
    assert "--unit=compliance-agent-deadman-attempt-1" in asked
    assert "--property=KillMode=process" in asked
    assert here(with_systemd, confirm("attempt-1")) == ""
    assert timers(with_systemd) == []


def units(machine: OverlayMachine) -> list[str]:
    return machine.run("find /etc/systemd/system -name 'compliance-agent-*'").stdout.split()


def lose_power(machine: OverlayMachine) -> None:
    """End the timer as a power cut does."""
    machine.run("for id in $(pgrep -f '/deadman/[t]imer'); do kill -9 $id; done", check=True)


def boot(machine: OverlayMachine, *, anew: bool = True) -> None:
    """Start what systemd would start for multi-user.target, in another boot or in this one."""
    if anew:
        machine.run(f"for f in {UNDO}/*/deadman/boot_id; do echo another >$f; done", check=True)
    wants = "/etc/systemd/system/multi-user.target.wants/compliance-agent-*"
    machine.run(f"for unit in {wants}; do sh -c \"$(sed -n 's/^ExecStart=//p' $unit)\"; done", check=True)


@pytest.mark.parametrize("half_way", [False, True], ids=["before the timer goes off", "while it takes back"])
def test_a_machine_that_loses_power_takes_the_change_back_as_it_boots(
    with_systemd: OverlayMachine, half_way: bool
) -> None:
    before = state(with_systemd)
    assert here(with_systemd, change("attempt-1")) == ""
    lose_power(with_systemd)
    if half_way:
        with_systemd.run(f"mkdir {UNDO}/attempt-1/deadman/decided", check=True)
    (unit,) = [name for name in units(with_systemd) if "wants" not in name]
    assert "Before=ssh.service sshd.service\n" in with_systemd.read(unit)
    boot(with_systemd)
    assert state(with_systemd) == before
    assert units(with_systemd) == []
    assert "too late" in here(with_systemd, confirm("attempt-1"))


def test_another_configuration_of_the_daemon_is_taken_back_at_boot_too(with_systemd: OverlayMachine) -> None:
    with_systemd.run(f"cp {CONFIG} /etc/ssh/other && /usr/sbin/sshd -f /etc/ssh/other -p 2299", check=True)
    before = state(with_systemd, "/etc/ssh/other")
    assert here(with_systemd, change("attempt-1")) == ""
    assert state(with_systemd, "/etc/ssh/other") != before
    lose_power(with_systemd)
    with_systemd.run("kill $(cat /run/sshd.pid); sleep 0.2", check=True)
    boot(with_systemd)
    assert state(with_systemd, "/etc/ssh/other") == before


@pytest.mark.parametrize("end", [confirm, undo], ids=["confirmed", "undone"])
def test_a_boot_after_the_decision_changes_nothing(with_systemd: OverlayMachine, end: object) -> None:
    assert callable(end)
    assert here(with_systemd, change("attempt-1")) == ""
    assert here(with_systemd, end("attempt-1")) == ""
    assert units(with_systemd) == []


def test_a_confirmed_change_outlives_a_power_cut_before_the_unit_is_gone(with_systemd: OverlayMachine) -> None:
    assert here(with_systemd, change("attempt-1")) == ""
    changed = state(with_systemd)
    with_systemd.run("cp -a /etc/systemd/system /run/units", check=True)
    assert here(with_systemd, confirm("attempt-1")) == ""
    with_systemd.run("cp -a /run/units/. /etc/systemd/system/; rm -rf /run/units", check=True)
    boot(with_systemd)
    assert (state(with_systemd), units(with_systemd)) == (changed, [])


def test_what_is_started_again_in_the_same_boot_takes_nothing_back(with_systemd: OverlayMachine) -> None:
    assert here(with_systemd, change("attempt-1")) == ""
    changed = state(with_systemd)
    boot(with_systemd, anew=False)
    assert state(with_systemd) == changed
    assert here(with_systemd, confirm("attempt-1")) == ""


def test_nothing_is_changed_where_a_power_cut_could_not_be_undone(with_systemd: OverlayMachine) -> None:
    before = state(with_systemd)
    with_systemd.run("rm -rf /etc/systemd/system && touch /etc/systemd/system", check=True)
    assert "nothing was changed" in here(with_systemd, change("attempt-1"))
    assert (state(with_systemd), timers(with_systemd)) == (before, [])


def test_an_ordinary_user_can_neither_read_stop_nor_decide_the_timer(machine: OverlayMachine) -> None:
    assert here(machine, change("attempt-1")) == ""
    (timer,) = timers(machine)
    guest = "setpriv --reuid 2003 --regid 2003 --clear-groups"
    deadman = f"{UNDO}/attempt-1/deadman"
    for deed in (f"mkdir {deadman}/decided", f"touch {deadman}/now", f"cat {deadman}/undo", f"kill -9 {timer}"):
        assert machine.run(f"{guest} {deed}").returncode != 0
    assert timers(machine) == [timer]
    assert here(machine, confirm("attempt-1")) == ""


@pytest.mark.parametrize("spoil", ["chmod 0777", "chown guest"])
def test_nothing_is_changed_where_others_could_put_a_script_in_the_timers_place(
    machine: OverlayMachine, spoil: str
) -> None:
    before = state(machine)
    machine.run(f"mkdir -p {UNDO} && {spoil} /var/lib/compliance-agent", check=True)
    assert "others than root may write" in here(machine, change("attempt-1"))
    assert state(machine) == before
    assert timers(machine) == []


def test_nothing_is_changed_where_no_timer_can_be_started(machine: OverlayMachine) -> None:
    before = state(machine)
    machine.run("mv /usr/bin/setsid /usr/bin/setsid.away", check=True)
    try:
        assert "there is no setsid" in here(machine, change("attempt-1"))
    finally:
        machine.run("mv /usr/bin/setsid.away /usr/bin/setsid", check=True)
    assert state(machine) == before


def test_one_attempt_is_armed_once(machine: OverlayMachine) -> None:
    assert here(machine, change("attempt-1")) == ""
    assert "armed before" in here(machine, change("attempt-1"))
    assert len(timers(machine)) == 1
    assert here(machine, confirm("attempt-1")) == ""
