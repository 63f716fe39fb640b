"""Bundles for Windows: what travels, and that nothing but a clear success counts as one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compliance_agent.domain.bundle import BundleStep
from compliance_agent.domain.facts import FactError
from compliance_agent.domain.powershell import PREAMBLE, compile_powershell, parse_json_facts, parse_powershell
from compliance_agent.domain.runbook import FactSchema

NONCE = "0123456789abcdef"
STEP = BundleStep("A/0", "Get-A", language="powershell", parameters={"path": "'; Remove-Item C:\\ #"}, prelude="m")
SCHEMA = {
    "on": FactSchema(type="boolean"),
    "size": FactSchema(type="integer"),
    "name": FactSchema(type="string"),
    "names": FactSchema(type="list"),
    "more": FactSchema(type="string", optional=True),
}
GOOD: dict[str, Any] = {"on": True, "size": 3, "name": "a", "names": ["x"]}


def parse(*reports: object, changes: bool = False, cap: int = 65_536) -> Any:
    lines = [report if isinstance(report, str) else f"{NONCE} {json.dumps(report)}" for report in reports]
    output = "\r\n".join(lines).encode()
    return parse_powershell(output, nonce=NONCE, step_ids=["A/0"], output_max_bytes=cap, changes=changes)["A/0"]


def report(**more: Any) -> dict[str, Any]:
    return {"step": "A/0", "success": True, "facts": {"on": True}, **more}


def test_values_travel_beside_the_script_and_modules_once() -> None:
    steps = [STEP, BundleStep("A/1", "Get-B", language="powershell", prelude="m")]
    whole = json.loads(compile_powershell(steps, runner="run", nonce=NONCE))
    assert whole["script"] == "run"
    assert whole["parameters"]["modules"] == ["m"]
    assert whole["parameters"]["steps"][0]["script"] == f"{PREAMBLE}Get-A"
    assert whole["parameters"]["steps"][0]["parameters"] == {"path": "'; Remove-Item C:\\ #"}


def test_an_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        compile_powershell([STEP, STEP], runner="run", nonce=NONCE)


def test_a_success_with_facts_is_one() -> None:
    result = parse(report())
    assert (result.succeeded, json.loads(result.stdout)) == (True, {"on": True})


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["not json"],
        [f"{NONCE} "],
        [f"{NONCE} []"],
        [f"{NONCE} " + "[" * 100_000],
        [f"ffffffffffffffff {json.dumps(report())}"],
        [json.dumps(report())],
        [report(step="B/0")],
        [report(step=["A/0"])],
        [report(success=False)],
        [report(success="true")],
        [report(success=1)],
        [{"step": "A/0", "facts": {"on": True}}],
        [{"step": "A/0", "success": True}],
        [report(facts=None)],
        [report(facts=[])],
        [report(needs_admin=True)],
        [report(timed_out=True)],
        [report(), report()],
    ],
)
def test_all_else_is_none(lines: list[object]) -> None:
    assert not parse(*lines).succeeded


def test_a_report_longer_than_its_limit_is_none() -> None:
    assert not parse(report(facts={"x": "y" * 2_000}), cap=1_000).succeeded


@pytest.mark.parametrize("verified", [{}, {"verified": False}, {"verified": "true"}, {"verified": None}])
def test_a_change_that_is_not_verified_has_failed(verified: dict[str, Any]) -> None:
    assert not parse(report(facts=verified), changes=True).succeeded
    assert parse(report(facts={"verified": True}), changes=True).succeeded


def test_what_a_machine_says_cannot_steer_a_terminal() -> None:
    assert "\x1b" not in parse(report(success=False, error="\x1b[31mred")).trouble()
    assert "\x1b" not in str(parse_json_facts(json.dumps({**GOOD, "name": "\x1b[31m"}), SCHEMA)["name"])


def test_facts_have_the_types_of_their_schema() -> None:
    assert parse_json_facts(json.dumps({**GOOD, "more": None}), SCHEMA) == GOOD


@pytest.mark.parametrize(
    "wrong",
    [
        {"on": "true"},
        {"on": 1},
        {"size": "3"},
        {"size": True},
        {"size": 3.5},
        {"size": 10**18},
        {"name": 1},
        {"name": None},
        {"names": "x"},
        {"names": [1]},
        {"names": {"value": ["x"], "Count": 1}},
        {"other": 1},
    ],
)
def test_a_fact_of_another_type_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FactError):
        parse_json_facts(json.dumps({**GOOD, **wrong}), SCHEMA)


@pytest.mark.parametrize("name", GOOD)
def test_a_fact_that_is_missing_is_refused(name: str) -> None:
    with pytest.raises(FactError):
        parse_json_facts(json.dumps({key: value for key, value in GOOD.items() if key != name}), SCHEMA)
