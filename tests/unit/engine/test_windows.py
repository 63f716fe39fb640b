"""A Windows target goes its own way: one PowerShell process for all checks, and nothing that is silent passes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.target import Platform, Target, TransportKind
from compliance_agent.engine.dispatch import HANDLERS, NotApplicable, Remediation, Request
from compliance_agent.engine.scan import scan_target
from compliance_agent.testing import NOON, FakeAnswer, FakeTransport
from tests.support.turns import make_world

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.scan import TargetScan

RUNBOOK = """schema: runbook/v1
id: TEST-WIN-001
version: 1
title: The event log runs
check_type: services
severity: high
platforms: [windows]
controls: {hipaa: ["164.312(b)"]}
detect: {steps: [{resource: windows_service, with: {name: EventLog}}]}
pass_when: {running: true}
fail_reason: it does not run
remediate: {steps: [{resource: windows_service, with: {name: EventLog}}]}
verify: {settle_s: 2}
rollback: {steps: [{resource: windows_service, with: {name: EventLog}}]}
"""
HOST = {
    "hostname": "FRONT-DESK", "os_version": "10.0.20348", "kernel": "20348.1", "login_user": "PC\\agent",
    "is_root": True, "container": False, "product": "server", "edition": "ServerStandard", "domain_joined": False,
}  # fmt: skip
RUNS = {"exists": True, "running": True, "start": "automatic"}
TARGET = Target("pc", "clinic", Platform.WINDOWS, TransportKind.WINRM, host="h", user="u")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "TEST-WIN-001.yaml").write_text(RUNBOOK)
    catalogue = load_catalogue([builtin_runbooks_path(), tmp_path / "more"])
    return replace(make_world(tmp_path).engine, catalogue=catalogue)


def scan(engine: Engine, facts: dict[str, dict[str, Any]]) -> tuple[TargetScan, FakeTransport]:
    def answer(_target: Target, script: str) -> FakeAnswer:
        given = json.loads(script)["parameters"]
        lines = [
            f"{given['nonce']} {json.dumps({'step': step['id'], 'success': True, 'facts': facts[step['id']]})}"
            for step in given["steps"]
            if step["id"] in facts
        ]
        return FakeAnswer("\r\n".join(lines).encode())

    transport = FakeTransport(answer)
    engine = replace(engine, transports={TransportKind.WINRM: transport})
    compiled = engine.catalogue.get("TEST-WIN-001")
    assert compiled is not None
    return scan_target(engine, TARGET, [compiled], now=NOON), transport


def test_all_checks_of_a_target_are_one_process(engine: Engine) -> None:
    found, transport = scan(engine, {"@host": HOST, "TEST-WIN-001/0": RUNS})
    assert len(transport.scripts) == 1
    assert found.observations[0].verdict is Verdict.PASS
    assert found.host is not None
    assert (found.host.platform, found.host.edition) == ("windows", "ServerStandard")


def test_what_does_not_run_fails(engine: Engine) -> None:
    found, _ = scan(engine, {"@host": HOST, "TEST-WIN-001/0": {**RUNS, "running": False}})
    assert found.observations[0].verdict is Verdict.FAIL


@pytest.mark.parametrize("facts", [{"@host": HOST}, {"@host": HOST, "TEST-WIN-001/0": {}}])
def test_a_check_that_is_silent_or_says_little_is_an_error(engine: Engine, facts: dict[str, Any]) -> None:
    found, _ = scan(engine, facts)
    assert found.observations[0].verdict is Verdict.ERROR


def test_a_machine_that_says_nothing_at_all_is_not_reached(engine: Engine) -> None:
    """So does Wine's powershell.exe, which returns 0 and prints nothing."""
    found, _ = scan(engine, {})
    assert found.unreached is not None
    assert found.observations == ()


def test_a_remedy_is_typed_values_for_the_resource_and_waits_on_the_machine(engine: Engine) -> None:
    found, _ = scan(engine, {"@host": HOST, "TEST-WIN-001/0": {**RUNS, "running": False}})
    assert found.host is not None
    (seen,) = found.observations
    request = Request(engine, TARGET, seen, found.host, "TEST-WIN-001", {seen.check_id: seen})
    work = HANDLERS["run_windows_runbook"].prepare(request)
    assert isinstance(work, Remediation)
    change, settle = work.steps("attempt-1")
    assert change.parameters == {"name": "EventLog", "state": "running", "attempt": "attempt-1"}
    assert change.language == settle.language == "powershell"
    assert (change.environment, change.needs_root) == ({}, True)
    assert settle.parameters == {"milliseconds": 2_000}


def test_a_service_is_restarted_by_the_resource_for_windows(engine: Engine) -> None:
    found, _ = scan(engine, {"@host": HOST, "TEST-WIN-001/0": RUNS})
    assert found.host is not None
    request = Request(engine, TARGET, found.observations[0], found.host, "EventLog", {})
    work = HANDLERS["restart_service"].prepare(request)
    assert isinstance(work, Remediation)
    (step,) = work.steps("attempt-1")
    assert step.parameters == {"name": "EventLog", "state": "restarted", "attempt": "attempt-1"}
    assert "Restart-Service" in step.prelude
    refused = HANDLERS["restart_service"].prepare(replace(request, host=replace(found.host, is_root=False)))
    assert isinstance(refused, NotApplicable)
    assert "administrator" in refused.reason
