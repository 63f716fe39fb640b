"""A runbook's phases on an overlay machine, and the machine's files as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tests.support.content import run_steps, shipped

if TYPE_CHECKING:
    from compliance_agent.domain.catalogue import CompiledRunbook, Judgement
    from tests.support.overlay import OverlayMachine

CATALOGUE: Final = shipped()


def get(runbook_id: str) -> CompiledRunbook:
    """Return a shipped runbook."""
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    return compiled


def files(machine: OverlayMachine, *folders: str) -> str:
    """Return name, mode, owner, time and content of every file in these folders, and their folders and links."""
    trees = " ".join(folders)
    listing = f"find {trees} -xdev -type f -printf '%p %m %U:%G %T@\\n' | sort"
    sums = f"find {trees} -xdev -type f -print0 | sort -z | xargs -0 -r sha256sum"
    others = f"find {trees} -xdev ! -type f -printf '%p %m %U:%G %l\\n' | sort"
    return machine.run(f"{listing}; {sums}; {others}", check=True).stdout


def look(machine: OverlayMachine, runbook_id: str, *, user: str = "", **given: object) -> tuple[Judgement, str]:
    """Run the detect half as root, or behind a command such as setpriv; return the judgement and the guard's reason."""
    compiled = get(runbook_id)
    parameters = compiled.parameters(given)
    steps = [CATALOGUE.host_step(), *compiled.detect_steps(parameters)]
    results = run_steps(steps, lambda script: machine.run(f"exec {user} /bin/sh -s", stdin=script).stdout.encode())
    # The machine of the tests may itself be a container; what is tested here is its own all the same.
    host = replace(CATALOGUE.host_facts(results["@host"]), container=False, login_user="operator")
    judgement = compiled.judge(results, parameters, host)
    guard = compiled.guard_reason(judgement.facts, parameters, host) if judgement.verdict == "fail" else ""
    return judgement, guard


def change(machine: OverlayMachine, runbook_id: str, phase: str, attempt_id: str, **given: object) -> str:
    """Run remediate or rollback as root; return what went wrong, empty when nothing did."""
    compiled = get(runbook_id)
    build = {"remediate": compiled.remediate_steps, "rollback": compiled.rollback_steps}[phase]
    steps = build(compiled.parameters(given), attempt_id=attempt_id)
    results = run_steps(
        steps, lambda script: machine.run("exec /bin/sh -s", stdin=script).stdout.encode(), stop_on_failure=True
    )
    return " ".join(result.trouble() for result in results.values()).strip()
