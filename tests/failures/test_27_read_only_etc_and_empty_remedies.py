"""Failure 27: sed ran on the read-only /etc of NixOS; and some remedies were empty scripts.

Here a remedy that would change a generated file is ``not_applicable`` on NixOS and names the option to set there, and
a runbook whose remedy does nothing is not loaded. Issue 5 brings the other checks, issue 8 the appliance's own options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.domain.observation import HostFacts
from compliance_agent.errors import InputError
from tests.support.content import recorded_cases, shipped
from tests.support.turns import RUNBOOK

if TYPE_CHECKING:
    from pathlib import Path

NIXOS: Final = HostFacts(os_id="nixos", is_root=True, systemd=True)
GENERATES_NOTHING: Final = {
    "LIN-PERM-001": "/etc/shadow is a file of its own on NixOS, too; only its mode is changed",
    "LIN-PERM-002": "does not apply to a file of the Nix store, see the recorded case",
    "LIN-SUID-001": "what lies in a temporary folder comes from no configuration",
}
"""Remedies that may run on NixOS, and why."""


def test_on_nixos_no_remedy_touches_what_is_generated_and_the_option_is_named() -> None:
    remedies = [compiled for compiled in shipped() if compiled.runbook.remediate is not None]
    reasons = {compiled.id: compiled.guard_reason({}, compiled.parameters({}), NIXOS) for compiled in remedies}
    assert len(reasons) >= 10
    assert {check for check, reason in reasons.items() if not reason} == set(GENERATES_NOTHING)
    for reason in filter(None, reasons.values()):
        assert "generated from the NixOS configuration; set " in reason


def test_a_file_of_the_nix_store_is_no_drift() -> None:
    cases = [case for case in recorded_cases() if case.check_id == "LIN-PERM-002" and case.host.os_id == "nixos"]
    assert [case.verdict for case in cases] == ["not_applicable"]


def runbook(remedy: str) -> str:
    text = RUNBOOK.format(id="TEST-FILE-001", remedy="true", path="/nowhere")
    head, rest = text.split("  steps:\n    - script: |\n        cp ", 1)
    return f"{head}  steps: {remedy}\n{rest[rest.index('rollback:') :]}"


@pytest.mark.parametrize(
    "remedy",
    ["[]", "[{script: ''}]", "[{script: '   '}]", '[{script: "# sed goes here\\n\\n  # later\\n"}]', "[{}]"],
)
def test_a_remedy_that_does_nothing_is_not_loaded(tmp_path: Path, remedy: str) -> None:
    (tmp_path / "TEST-FILE-001.yaml").write_text(runbook(remedy), encoding="utf-8")
    with pytest.raises(InputError, match="remediate"):
        load_catalogue([builtin_runbooks_path(), tmp_path])


def test_one_that_does_something_is(tmp_path: Path) -> None:
    (tmp_path / "TEST-FILE-001.yaml").write_text(runbook('[{script: "# mend it\\ntrue"}]'), encoding="utf-8")
    assert load_catalogue([builtin_runbooks_path(), tmp_path]).get("TEST-FILE-001") is not None
