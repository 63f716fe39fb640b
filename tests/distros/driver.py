"""The one driver: plant a drift, detect, heal, verify, heal again, take back, by the code of a turn over real SSH."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.settings import load_settings
from compliance_agent.domain.outcome import FinishedAttempt
from compliance_agent.engine.cycle import apply_turn, plan_turn
from compliance_agent.engine.dispatch import Remediation, execute
from compliance_agent.engine.plan import Ready
from compliance_agent.engine.undo import undo
from compliance_agent.engine.verify import verify
from tests.support.overlay import CLERK_PASSWORD, overlay_machine, serve_inside
from tests.support.turns import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from compliance_agent.app.assemble import Agent
    from compliance_agent.engine.cycle import Turn
    from tests.support.overlay import OverlayMachine

TABLE: Final[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("drifts.yaml").read_text(encoding="utf-8"))
LOGINS: Final = ("clerk", "root")
"""A user of sudo, with a password by path; and root."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One row of the table."""

    runbook: str
    plant: str
    name: str = ""
    prepare: str = ""
    own_port: bool = False
    expect: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.runbook} {self.name}".strip()


DRIFTS: Final = tuple(Drift(**row) for row in TABLE["drifts"])

# Content, mode, owner and time of files; what services run and start at boot; the kernel's settings of the network.
# /etc/shadow is written by chage, which keeps a backup of its own: its time and that do not count.
_STATE: Final = r"""
trees='/etc /boot /home /root /tmp /var/tmp /var/spool/cron /usr/local'
find $trees -xdev -type f ! -name 'shadow*' -printf '%p %m %U:%G %T@\n' | sort
find $trees -xdev -type f -name 'shadow' -printf '%p %m %U:%G\n' | sort
find $trees -xdev ! -type f -printf '%p %y %m %U:%G %l\n' | sort
find $trees -xdev -type f ! -name 'shadow-' -print0 | sort -z | xargs -0 -r sha256sum
find /var/log -xdev ! -path '/var/log/journal/*' -printf '%p %y %m %U:%G\n' | sort
systemctl list-unit-files --plain --no-legend | sort
systemctl list-units --type=service,timer,socket --state=active --plain --no-legend |
  awk '$1 !~ /^compliance-agent-deadman/ { print "active", $1 }' | sort
cat /run/audit.rules 2>/dev/null
cd /proc/sys/net && grep -H . ipv[46]/conf/*/* ipv4/ip_forward ipv4/icmp_* ipv4/tcp_syncookies 2>/dev/null |
  grep -v -e stable_secret -e temp_
iptables -S 2>/dev/null
ip6tables -S 2>/dev/null
true
"""


def state(machine: OverlayMachine) -> set[str]:
    """Return what the machine is like, a line for each thing."""
    return set(machine.run(_STATE, check=True).stdout.splitlines())


@contextmanager
def spoiled_machine(folder: Path, root: Path, drift: Drift) -> Iterator[OverlayMachine]:
    """Boot a machine and plant the drift; yields it as the agent reaches it."""
    with overlay_machine(folder, lower=root, systemd=True, prepare=TABLE["prepare"]) as machine:
        for script in (drift.prepare, drift.plant):
            done = machine.run(f"set -e\n{script}")
            assert done.returncode == 0, done.stderr
        if drift.own_port:
            yield machine
        else:
            with serve_inside(machine, 22) as reached:
                yield reached


@contextmanager
def agent_for(folder: Path, machine: OverlayMachine, drift: Drift, login: str) -> Iterator[Agent]:
    """Assemble the agent from a settings file, as the command line does."""
    place = folder / login
    place.mkdir()
    password = place / "password"
    password.write_text(CLERK_PASSWORD + "\n", encoding="utf-8")
    password.chmod(0o600)
    become = "none" if login == "root" else f"sudo\n    become_password_file: {password}"
    (place / "settings.yaml").write_text(
        f"""\
site_id: north-valley
state_dir: {place}/state
known_hosts: {machine.known_hosts}
gate: {{cooldown_s: 0}}
targets:
  - id: front-desk
    transport: ssh
    host: {machine.host}
    port: {machine.port}
    user: {login}
    identity_file: {machine.identity_file}
    become: {become}
    checks: {{include: [{drift.runbook}]}}
""",
        encoding="utf-8",
    )
    with assemble(load_settings(place / "settings.yaml"), access=Access.TURNS, events=Recorder()) as agent:
        yield agent


def same(before: set[str], after: set[str]) -> None:
    """Hold that a machine is as it was, or say line by line what is not."""
    changes = [f"- {line}" for line in sorted(before - after)] + [f"+ {line}" for line in sorted(after - before)]
    assert not changes, "not as it was:\n" + "\n".join(changes)


def heal_and_take_back(agent: Agent, machine: OverlayMachine, drift: Drift, login: str) -> None:
    """Detect, heal, heal again, take back; each time the whole machine is looked at."""
    engine, clock = agent.engine, SystemClock()
    (target,) = agent.settings.targets()
    before = state(machine)
    planned = plan_turn(engine, target, now=clock.read())
    assert _verdict(planned) == ("fail", "")
    same(before, state(machine))

    applied = apply_turn(engine, planned, now=clock.read())
    (outcome,) = applied.outcomes
    expected = drift.expect.get(login, "remediated")
    assert outcome.kind.value == expected, outcome.reason
    if expected != "remediated":
        same(before, state(machine))
        return
    healed = state(machine)
    assert healed != before

    again = plan_turn(engine, target, now=clock.read())
    assert _verdict(again) == ("pass", "as it should be")
    _remedy_once_more(agent, planned)
    same(healed, state(machine))

    assert outcome.attempt_id is not None
    past = agent.store.attempt(outcome.attempt_id)
    assert isinstance(past, FinishedAttempt)
    undone = undo(engine, target, past.attempt, now=clock.now())
    assert undone.execution.trouble == ""
    assert [seen.verdict.value for seen in undone.verification.observations] == ["fail"]
    same(before, state(machine))


def _verdict(turn: Turn) -> tuple[str, str]:
    if turn.scan.unreached is not None:
        return "unreached", turn.scan.unreached.message
    (seen,) = turn.scan.observations
    return seen.verdict.value, "" if seen.verdict.value == "fail" else seen.reason


def _remedy_once_more(agent: Agent, planned: Turn) -> None:
    """Run the remedy on the mended machine, as a crash right after it would have the agent do."""
    engine, attempt_id = agent.engine, agent.engine.ids.new_id()
    (item,) = planned.items
    assert isinstance(item.disposition, Ready)
    work = item.disposition.work
    assert isinstance(work, Remediation)
    check = engine.catalogue.get(item.incident.check_id)
    assert check is not None
    with engine.open(planned.scan.target) as session:
        done = execute(engine, session, work.steps(attempt_id))
        assert done.trouble == ""
        checked = verify(
            engine,
            planned.scan.target,
            check,
            work.runbook,
            now=SystemClock().now(),
            confirm=work.confirm_steps(attempt_id),
        )
    assert checked.passed, checked.trouble
