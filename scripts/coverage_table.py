"""``runbooks/COVERAGE.md``: what each check covers, beside other people's checks, and how it was tested.

``python -m scripts.coverage_table`` writes it; a test says when it is stale. Nothing is typed in by hand: runbooks, the
tables in ``runbooks/data``, the recorded facts and the acceptance tests are read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from compliance_agent.adapters.runbook_data import hipaa_citations
from compliance_agent.adapters.runbook_files import load_catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.adapters.runbook_data import Citation
    from compliance_agent.domain.catalogue import CompiledRunbook

REPOSITORY: Final = Path(__file__).parents[1]
PAGE: Final = REPOSITORY / "runbooks" / "COVERAGE.md"
_GOLDEN: Final = REPOSITORY / "tests" / "golden" / "runbooks"
_ACCEPTANCE: Final = REPOSITORY / "tests" / "acceptance"
_WHOLE_SYSTEMS: Final = REPOSITORY / "tests" / "distros" / "drifts.yaml"
_NAMES: Final = {"debian": "Debian", "ubuntu": "Ubuntu", "rhel": "RHEL", "alpine": "Alpine", "nixos": "NixOS"}

_HEAD: Final = """\
# Coverage

What each check looks at, whose check of the same thing stands beside it, which citation of the Security Rule it
supports (R required, A addressable: [data/hipaa.yaml](data/hipaa.yaml)), on what it was tested, and what mends it. A
check supports a citation; it makes nobody compliant. `python -m scripts.coverage_table` writes this page; a test fails
when it is stale.

Tested: *healed* means that drift was planted, detected, healed, verified and undone for real, on a machine of
Debian's files and programs with processes, mounts and a network of its own, behind a real OpenSSH server where the
check needs one; *on a whole Debian 12* the same for a system made by debootstrap that runs its own systemd, once by a
user of sudo with a password and once by root (`make distros`; Ubuntu 24.04 where its archive is at hand); *run* that
its script ran for real on such a machine, as it does for all checks, and ended in a verdict. *Facts* are recorded
facts: what the check's script prints on that distribution, written down as data, with the verdict that must follow.
They test the judgement, not the script.
"""

_TABLE: Final = """
| check | title | ComplianceAsCode rule, CIS recommendation | HIPAA | tested | remedy |
| --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """Return the page."""
    catalogue = load_catalogue([REPOSITORY / "runbooks"])
    citations, evidence = hipaa_citations(), _acceptance_texts()
    rows = "".join(_row(compiled, citations, evidence) for compiled in catalogue)
    return f"{_HEAD}{_TABLE}{rows}{_by_citation(list(catalogue), citations)}"


def _row(compiled: CompiledRunbook, citations: Mapping[str, Citation], evidence: str) -> str:
    runbook = compiled.runbook
    cited = "<br>".join(f"{one} {citations[one].rating}" for one in runbook.controls.hipaa)
    references = "<br>".join(one.removeprefix("ComplianceAsCode: ") for one in runbook.references)
    cells = (runbook.id, runbook.title, references, cited, _tested(runbook.id, evidence), _remedy(compiled))
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


def _tested(check_id: str, evidence: str) -> str:
    recorded = yaml.safe_load((_GOLDEN / f"{check_id}.yaml").read_text(encoding="utf-8"))
    systems = sorted({_name(case["host"]["os_id"]) for case in recorded})
    facts = f"facts: {', '.join(systems)}"
    quoted = re.escape(f'"{check_id}"')
    healed = re.search(rf"Drift\(\s*{quoted}|change\(machine, {quoted}, \"remediate\"", evidence)
    return f"{'healed' if healed else 'run'}: Debian<br>{_on_whole_systems(check_id)}{facts}"


def _on_whole_systems(check_id: str) -> str:
    """Return what ``make distros`` does with the check, as its table says."""
    table = yaml.safe_load(_WHOLE_SYSTEMS.read_text(encoding="utf-8"))
    rows = [row for row in table["drifts"] if row["runbook"] == check_id]
    if not rows:
        return ""
    refused = [login for login in ("clerk", "root") if all(login in row.get("expect", {}) for row in rows)]
    if len(refused) == len(("clerk", "root")):
        return "on a whole Debian 12: drift seen, left to a person<br>"
    by = "by sudo; refused to root" if refused else "by sudo and root"
    return f"on a whole Debian 12: healed {by}, {len(rows)} drift{'s' * (len(rows) != 1)}<br>"


def _name(os_id: str) -> str:
    return _NAMES.get(os_id, os_id.capitalize())


def _remedy(compiled: CompiledRunbook) -> str:
    runbook = compiled.runbook
    if runbook.remediate is None:
        return f"none: {runbook.no_remedy_reason}"
    guards = len(runbook.remediate.guards)
    undo = "can be undone" if runbook.rollback is not None else "cannot be undone"
    return f"yes, disruption {runbook.effects.disruption}, {undo}; held back for {guards} reason{'s' * (guards != 1)}"


def _acceptance_texts() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(_ACCEPTANCE.glob("test_*for_real.py")))


def _by_citation(catalogue: list[CompiledRunbook], citations: Mapping[str, Citation]) -> str:
    lines = ["\n## By citation\n\n", "| 45 CFR | heading | | checks |\n", "| --- | --- | --- | --- |\n"]
    for number, citation in citations.items():
        checks = [compiled.id for compiled in catalogue if number in compiled.runbook.controls.hipaa]
        if checks or number.startswith("164.312"):
            what = f"{citation.kind}, {citation.rating}"
            lines.append(f"| {number} | {citation.name} | {what} | {', '.join(checks) or 'none'} |\n")
    silent = sum(1 for number in citations if not any(number in one.runbook.controls.hipaa for one in catalogue))
    lines.append(
        f"\n{silent} of the {len(citations)} standards and specifications have no check here: most of them are about"
        " people, places and paper, which no program can see. Of 164.312 those without one are listed.\n"
    )
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
