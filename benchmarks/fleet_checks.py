"""The twenty checks that everybody runs: one shell line each (stat, grep, uname), as runbooks and as bare commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.store.memory import MemoryStore
from compliance_agent.domain.bundle import compile_bundle
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.domain.target import CheckSelection, Target, TransportKind
from compliance_agent.engine.context import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.fleet_servers import Fleet
    from compliance_agent.adapters.transports.ssh import SshTransport

COUNT: Final = 20
_COMMANDS: Final = (
    "stat -c %a /etc/passwd",
    "grep -c ^root /etc/passwd",
    "uname -s",
    "stat -c %U /etc/shadow",
    "stat -c %a /etc/group",
)
COMMANDS: Final = tuple(_COMMANDS[number % len(_COMMANDS)] for number in range(COUNT))

_RUNBOOK: Final = """\
schema: runbook/v1
id: {id}
version: 1
title: A fact of the machine
check_type: bench_fact
severity: low
platforms: [linux]
controls: {{hipaa: ["164.312(a)(1)"]}}
facts:
  value: {{type: string}}
detect:
  privilege: user
  steps:
    - script: |
        ca_fact value "$({command})"
pass_when: {{value: {{$ne: ""}}}}
fail_reason: the command printed nothing
no_remedy_reason: it is only measured
"""


class Silent:
    """Listens to no event."""

    def emit(self, event: str, **fields: object) -> None:
        """Do nothing."""


def make_engine(folder: Path, transport: SshTransport | None, count: int = COUNT) -> Engine:
    """Return an engine whose catalogue holds ``count`` of the checks beside the built-in ones."""
    content = folder / f"runbooks-{count}"
    content.mkdir(exist_ok=True)
    for number, command in enumerate(COMMANDS[:count]):
        text = _RUNBOOK.format(id=_check_id(number), command=command)
        (content / f"{_check_id(number)}.yaml").write_text(text)
    return Engine(
        catalogue=load_catalogue([builtin_runbooks_path(), content]),
        rules=RuleSet([]),
        transports={TransportKind.SSH: transport} if transport else {},
        store=MemoryStore(),
        ids=SystemIds(),
        events=Silent(),
    )


def make_target(host: str, identity_file: Path, count: int = COUNT) -> Target:
    """Return a target that gets the benchmark's checks alone."""
    return Target(
        host,
        "bench",
        transport=TransportKind.SSH,
        host=host,
        user="root",
        identity_file=str(identity_file),
        checks=CheckSelection(tuple(_check_id(number) for number in range(count))),
    )


def _check_id(number: int) -> str:
    return f"BENCH-FACT-{number + 1:03}"


def write_work(fleet: Fleet) -> None:
    """Write what the peers are given: our very bundle (host facts included), and the bare commands."""
    engine = make_engine(fleet.folder, None)
    target = make_target(fleet.hosts[0], fleet.identity_file)
    steps = [engine.catalogue.host_step()]
    for check in engine.checks_for(target):
        steps.extend(check.detect_steps(engine.parameters_for(target, check)))
    nonce = engine.ids.nonce()
    (fleet.folder / "bundle.sh").write_text(compile_bundle(steps, nonce=nonce, quick=True))
    work = {"hosts": fleet.hosts, "commands": COMMANDS, "nonce": nonce, "frames": len(steps), "at_once": 50}
    (fleet.folder / "work.json").write_text(json.dumps(work))
