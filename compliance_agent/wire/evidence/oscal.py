"""An assessment as OSCAL assessment-results (NIST, version 1.2.3, pages.nist.gov/OSCAL).

Ids are derived (UUIDv5) from the chain and what they name, so that the same evidence gives the same document.
Only a check that passed when it was last seen satisfies a control: what was not assessed does not.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from compliance_agent.domain.evidence.assessment import Assessment, CheckState
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.evidence.chain import Head

OSCAL_VERSION: Final = "1.2.3"
NAMESPACE: Final = "https://compliance-agent.invalid/ns/oscal"
"""Marks our own properties. The name resolves nowhere on purpose (RFC 2606): it is a name, not an address."""

_ENHANCEMENT: Final = re.compile(r"\((\d+)\)")
_NO_TOKEN: Final = re.compile(r"[^A-Za-z0-9._-]+")


def assessment_results(assessment: Assessment, head: Head, *, agent_version: str) -> dict[str, JsonValue]:
    """Return the document."""
    ids = _Ids(head)
    states = [assessment.checks[key] for key in sorted(assessment.checks)]
    result: dict[str, JsonValue] = {
        "uuid": ids.of("result"),
        "title": f"Technical checks at {assessment.site_id}",
        "description": (
            f"What {assessment.entries} entries of signed evidence say of {len(assessment.targets)} machines. A "
            "technical check supports a control; it never shows by itself that the control is met."
        ),
        "start": assessment.first_at,
        "end": assessment.last_at,
        "props": _props(
            [
                ("evidence-chain", head.chain),
                ("evidence-head-seq", str(head.seq)),
                ("evidence-head-sha256", head.sha256),
                ("checks-not-assessed", str(len(assessment.not_assessed()))),
                ("spans-not-observed", str(len(assessment.gaps()))),
                ("waivers-in-force", str(len(assessment.waivers()))),
            ]
        ),
        "local-definitions": {
            "inventory-items": [
                {
                    "uuid": ids.of(f"target/{name}"),
                    "description": f"The machine {name}",
                    "props": _props([("target-id", name)]),
                }
                for name in sorted({state.target_id for state in states} | set(assessment.targets))
            ]
        },
        "reviewed-controls": {"control-selections": [_selection(states)]},
    }
    if not assessment.targets and not states:
        del result["local-definitions"]
    observations = [_observation(ids, state) for state in states]
    findings = _findings(ids, states)
    if observations:
        result["observations"] = [*observations]
    if findings:
        result["findings"] = [*findings]
    return {
        "assessment-results": {
            "uuid": ids.of("document"),
            "metadata": {
                "title": f"Evidence of {assessment.site_id}, {assessment.first_at[:10]} to {assessment.last_at[:10]}",
                "last-modified": assessment.last_at,
                "version": str(head.seq),
                "oscal-version": OSCAL_VERSION,
                "props": _props([("agent-version", agent_version)]),
            },
            "import-ap": {"href": f"#{ids.of('plan')}"},
            "results": [result],
            "back-matter": {
                "resources": [
                    {
                        "uuid": ids.of("plan"),
                        "title": "Assessment plan",
                        "description": (
                            "The detect half of each runbook on the appliance, on each of its targets, at each scan. "
                            "The digests of runbooks and rules stand in the evidence."
                        ),
                    }
                ]
            },
        }
    }


class _Ids:
    """Derives ids."""

    def __init__(self, head: Head) -> None:
        self._space = uuid.uuid5(uuid.NAMESPACE_OID, f"{head.chain}/{head.seq}/{head.sha256}")

    def of(self, name: str) -> str:
        return str(uuid.uuid5(self._space, name))


def control_id(nist: str) -> str:
    """Return the id of a control as NIST's OSCAL catalogue has it: ``AC-6(1)`` is ``ac-6.1``."""
    return _NO_TOKEN.sub("-", _ENHANCEMENT.sub(r".\1", nist.replace(" ", "")).lower())


def _selection(states: Iterable[CheckState]) -> dict[str, JsonValue]:
    controls = sorted({control_id(one) for state in states for one in state.nist})
    if not controls:
        return {"description": "No control of NIST SP 800-53 is named by a check.", "include-all": {}}
    return {"include-controls": [{"control-id": control} for control in controls]}


def _observation(ids: _Ids, state: CheckState) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {
        "uuid": ids.of(f"observation/{state.target_id}/{state.check_id}"),
        "title": state.title or state.check_id,
        "description": f"{state.check_id} on {state.target_id}: {state.verdict}. {state.reason}".strip(),
        "props": _props(
            [
                ("check-id", state.check_id),
                ("verdict", state.verdict),
                ("severity", state.severity),
                *(("hipaa-citation", one) for one in state.hipaa),
                ("last-outcome", state.outcome),
            ]
        ),
        "methods": ["TEST"],
        "subjects": [{"subject-uuid": ids.of(f"target/{state.target_id}"), "type": "inventory-item"}],
        "relevant-evidence": [
            {
                "description": f"Entry {state.seq} of the chain of evidence.",
                "props": _props([("evidence-seq", str(state.seq))]),
            }
        ],
        "collected": state.observed_at,
    }
    if state.outcome:
        document["remarks"] = f"{state.outcome_at}: {state.outcome}: {state.outcome_reason}"
    return document


def _findings(ids: _Ids, states: Iterable[CheckState]) -> list[dict[str, JsonValue]]:
    by_control: dict[str, list[CheckState]] = {}
    for state in states:
        for nist in state.nist:
            by_control.setdefault(control_id(nist), []).append(state)
    return [_finding(ids, control, found) for control, found in sorted(by_control.items())]


def _finding(ids: _Ids, control: str, states: list[CheckState]) -> dict[str, JsonValue]:
    judged = [state for state in states if state.verdict != "not_applicable"]
    bad = [state for state in judged if state.verdict != "pass"]
    satisfied = bool(judged) and not bad
    if satisfied:
        text = f"All {len(judged)} checks that support {control} passed when they were last made."
    elif not judged:
        text = f"No check that supports {control} applies to any machine, so nothing is shown."
    else:
        text = f"{len(bad)} of {len(judged)} checks that support {control} did not pass when they were last made: "
        text += ", ".join(f"{state.check_id} on {state.target_id} ({state.verdict})" for state in bad[:50])
    return {
        "uuid": ids.of(f"finding/{control}"),
        "title": control.upper(),
        "description": text,
        "target": {
            "type": "objective-id",
            "target-id": control,
            "status": {
                "state": "satisfied" if satisfied else "not-satisfied",
                "reason": _why(satisfied=satisfied, bad=bad),
            },
        },
        "related-observations": [
            {"observation-uuid": ids.of(f"observation/{state.target_id}/{state.check_id}")} for state in states
        ],
    }


def _why(*, satisfied: bool, bad: list[CheckState]) -> str:
    if satisfied:
        return "pass"
    return "fail" if any(state.verdict == "fail" for state in bad) else "other"


def _props(pairs: Iterable[tuple[str, str]]) -> list[Mapping[str, JsonValue]]:
    return [{"name": name, "ns": NAMESPACE, "value": value} for name, value in pairs if value]
