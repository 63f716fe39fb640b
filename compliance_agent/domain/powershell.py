"""The bundle for Windows: many steps in one PowerShell process, one line of JSON each.

What travels is one JSON object, ``{"script": ..., "parameters": ...}``. ``script`` is ``windows/lib/runner.ps1``, the
same for every run; ``parameters`` holds the nonce, the modules (reviewed functions), and the steps. Values are JSON
beside the script, never a part of it. The runner answers with a line for each step::

    N {"step": ..., "success": true, "facts": {...}}
    N {"step": ..., "success": false, "error": "..."}
    N {"step": ..., "success": false, "timed_out": true}
    N {"step": ..., "success": false, "needs_admin": true}

``N`` is the nonce, which no step is told. A step whose line is missing did not report: it is *unknown*. Only
``"success": true`` with a table of facts is success; a change must besides say ``"verified": true`` of itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.bundle import OUTPUT_MAX_BYTES, StepResult
from compliance_agent.domain.facts import FactError
from compliance_agent.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.domain.bundle import BundleStep
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.runbook import FactSchema

PREAMBLE: Final = "param([hashtable]$Parameters)\nSet-StrictMode -Version 3.0\n$ErrorActionPreference = 'Stop'\n"
"""What stands in front of the script of every step."""

VERIFIED: Final = "verified"
_INTEGER_MAX: Final = 10**18
_ERROR_CHARACTERS: Final = 2_000


def compile_powershell(
    steps: Sequence[BundleStep],
    *,
    runner: str,
    nonce: str,
    output_max_bytes: int = OUTPUT_MAX_BYTES,
    stop_on_failure: bool = False,
) -> str:
    """Return the JSON object that the bootstrap of the WinRM transport understands.

    Args:
        steps: In order; ids must be unique.
        runner: The text of ``runner.ps1``.
        nonce: Fresh for each run.
        output_max_bytes: Longest line that a step may report.
        stop_on_failure: End after the first step that fails or is not verified (for changes).

    Raises:
        ValueError: An id stands twice.

    """
    if len({step.step_id for step in steps}) != len(steps):
        message = "a step id stands twice"
        raise ValueError(message)
    modules = [text for text in dict.fromkeys(step.prelude for step in steps) if text]
    given = {
        "nonce": nonce,
        "cap": output_max_bytes,
        "stop": stop_on_failure,
        "modules": modules,
        "steps": [
            {
                "id": step.step_id,
                "script": PREAMBLE + step.script,
                "parameters": dict(step.parameters),
                "timeout_s": step.timeout_s,
                "needs_admin": step.needs_root,
            }
            for step in steps
        ],
    }
    return json.dumps({"script": runner, "parameters": given}, ensure_ascii=True, separators=(",", ":"))


def parse_powershell(
    output: bytes,
    *,
    nonce: str,
    step_ids: Sequence[str],
    output_max_bytes: int = OUTPUT_MAX_BYTES,
    changes: bool = False,
) -> dict[str, StepResult]:
    """Return one result for each of ``step_ids``, those that never reported included.

    Lines without the nonce, or that are no JSON object, are nobody's. A step that reports twice did not report well.

    Args:
        output: Everything that the session printed; may be cut anywhere.
        nonce: The one that the bundle was compiled with.
        step_ids: Which steps to expect.
        output_max_bytes: The cap that the bundle was compiled with.
        changes: Whether each step must say that what it changed is as it should be.

    """
    prefix = f"{nonce} "
    results: dict[str, StepResult] = {}
    for line in output.decode("utf-8", "replace").splitlines():
        report = _report(line.removeprefix(prefix)) if line.startswith(prefix) else None
        step_id = report.get("step") if report is not None else None
        if report is None or not isinstance(step_id, str):
            continue
        if step_id in results:
            results[step_id] = StepResult(step_id, 1, stderr="reported twice", finished=True)
        else:
            results[step_id] = _result(step_id, report, len(line) > output_max_bytes, changes=changes)
    return {step_id: results.get(step_id) or StepResult(step_id) for step_id in step_ids}


def _report(text: str) -> Mapping[str, JsonValue] | None:
    try:
        report = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, Mapping) else None


def _result(step_id: str, report: Mapping[str, JsonValue], too_long: bool, *, changes: bool) -> StepResult:  # noqa: FBT001 - private
    if report.get("needs_admin") is True:
        return StepResult(step_id, needs_root=True)
    if report.get("timed_out") is True:
        return StepResult(step_id, finished=True, timed_out=True)
    facts = report.get("facts")
    if report.get("success") is not True or not isinstance(facts, Mapping):
        told = report.get("error")
        error = told if isinstance(told, str) and told.strip() else "said neither that it succeeded nor why not"
        return StepResult(step_id, 1, stderr=printable(error[:_ERROR_CHARACTERS]), finished=True)
    text = printable(json.dumps(facts, ensure_ascii=True, sort_keys=True))
    if changes and facts.get(VERIFIED) is not True:
        return StepResult(step_id, 1, text, "it is not as it should be after the change", finished=True)
    return StepResult(step_id, 0, text, finished=True, truncated=too_long)


def parse_json_facts(output: str, schema: Mapping[str, FactSchema]) -> dict[str, JsonValue]:
    """Return the typed facts of a step's JSON object; the rules are those of ``facts.parse_facts``.

    Raises:
        FactError: It is no object, a fact is unknown, missing, or of another type than its schema says.

    """
    found = _report(output)
    if found is None:
        message = "reported no table of facts"
        raise FactError(message)
    facts: dict[str, JsonValue] = {}
    for name, value in found.items():
        fact = schema.get(name)
        if fact is None:
            message = f"reported the unknown fact {name[:64]}"
            raise FactError(message)
        if value is None and fact.optional:
            continue
        facts[name] = _typed(name, value, fact)
    for name, fact in schema.items():
        if name not in facts and not fact.optional:
            message = f"did not report the fact {name}"
            raise FactError(message)
    return {name: facts[name] for name in schema if name in facts}


def _typed(name: str, value: JsonValue, fact: FactSchema) -> JsonValue:
    if fact.type == "string" and isinstance(value, str):
        return printable(value)
    if fact.type == "boolean" and isinstance(value, bool):
        return value
    if fact.type == "integer" and isinstance(value, int) and not isinstance(value, bool) and abs(value) < _INTEGER_MAX:
        return value
    if fact.type == "list" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [printable(str(item)) for item in value]
    message = f"reported {name}={json.dumps(value)[:80]}, which is no {fact.type}"
    raise FactError(message)
