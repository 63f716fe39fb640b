"""The bytes that travel to the control plane, and those that come back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from compliance_agent.adapters.ids import SystemIds
from compliance_agent.app.reporting import TelemetryReporter, heartbeat
from compliance_agent.app.schemas import json_schemas
from compliance_agent.domain.incident import Incident
from compliance_agent.domain.outbox import LEFT, OutboxClass, OutboxFate
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.uplink import HOPELESS, RETRIED, EntryFate
from compliance_agent.engine.reporter import Conclusion, Reversal
from compliance_agent.errors import InputError
from compliance_agent.testing import NOON, FakeIds, FakeStore
from compliance_agent.wire.report_batch import batch_key, read_answer, write_batch
from compliance_agent.wire.reports import write_outcome
from tests.support.state import an_attempt, an_end, an_entry, an_observation, an_outcome

if TYPE_CHECKING:
    from compliance_agent.domain.outbox import OutboxEntry

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "control-plane.md").read_text(encoding="utf-8")
INCIDENT = Incident(
    "i-1", "clinic", "srv01", "srv01", "linux", "debian", "LIN-SSH-001", "ssh_root_login", "high", NOON, NOON, {}
)


def a_batch(*entries: OutboxEntry) -> bytes:
    return write_batch(entries, site_id="clinic-7", appliance_id="appliance-1", sent_at=NOON)


def test_a_batch_looks_as_the_reference_says() -> None:
    examples = re.findall(r"```json\n(.*?)```", REFERENCE, re.DOTALL)
    documented, made = json.loads(examples[0]), json.loads(a_batch(an_entry(1, body=b'{"schema":"outcome-report/v1"}')))
    made["entries"][0]["created_at"] = documented["entries"][0]["created_at"]
    assert made == documented


def test_the_answer_of_the_reference_is_understood() -> None:
    example = re.findall(r"```json\n(.*?)```", REFERENCE, re.DOTALL)[1]
    assert [one.fate for one in read_answer(example.encode(), source="x").values()] == [EntryFate.TAKEN]


def test_the_reference_names_every_status_of_an_entry_and_every_hopeless_and_retried_answer() -> None:
    for status in ("accepted", "duplicate", "retry", "rejected"):
        body = json.dumps({"results": [{"id": "a", "status": status}]}).encode()
        assert read_answer(body, source="x")
        assert f"| `{status}` |" in REFERENCE
    assert f"| {' '.join(str(code) for code in sorted(HOPELESS))} |" in REFERENCE
    assert f"| {' '.join(str(code) for code in sorted(RETRIED))}, 5xx" in REFERENCE


def test_the_reference_names_every_fate_and_every_key_of_a_report() -> None:
    for fate in OutboxFate:
        assert f"`{fate.value}`" in REFERENCE
    for key in json.loads(write_outcome(an_outcome(), site_id="c", incident=None, attempt=None)):
        if key != "schema":
            assert f"`{key}`" in REFERENCE, key
    for key in an_undo_report():
        if key != "schema":
            assert f"`{key}`" in REFERENCE, key
    for key in json.loads(a_heartbeat().body):
        if key != "schema":
            assert f"`{key}`" in REFERENCE, key


def test_what_leaves_the_outbox_is_what_the_reference_says() -> None:
    sentence = REFERENCE[REFERENCE.index("has exactly one of") : REFERENCE.index("`duplicate` and")]
    assert set(re.findall(r"`(\w+)`", sentence)) == {fate.value for fate in LEFT}


@given(st.lists(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()), max_size=5))
def test_every_body_comes_through_as_it_was(bodies) -> None:
    texts = [json.dumps(body).encode() for body in bodies]
    batch = a_batch(*(an_entry(number, body=text) for number, text in enumerate(texts)))
    assert [entry["body"] for entry in json.loads(batch)["entries"]] == bodies
    assert all(text in batch for text in texts)


def test_the_key_of_a_batch_hangs_on_its_entries_and_their_order_alone() -> None:
    one, two = an_entry(1), an_entry(2)
    assert batch_key([one, two]) == batch_key([an_entry(1, body=b"{}"), two])
    assert len({batch_key([one]), batch_key([one, two]), batch_key([two, one])}) == 3


@given(st.binary(max_size=200))
def test_an_answer_of_any_bytes_is_understood_or_refused(body) -> None:
    try:
        answers = read_answer(body, source="x")
    except InputError:
        return
    assert isinstance(answers, dict)


# --- reports


def an_undo_report(**changes: Any) -> dict[str, Any]:
    values = {"succeeded": True, "actor": "ann", "reason": "it was wanted", "at": NOON, "after": (an_observation(),)}
    reversal = Reversal(an_attempt(), **{**values, **changes})
    (entry,) = TelemetryReporter("clinic", FakeIds()).of_undo(reversal).outbox
    assert (entry.kind, entry.created_at) == (OutboxClass.TELEMETRY, NOON)
    document: dict[str, Any] = json.loads(entry.body)
    return document


@pytest.mark.parametrize("changes", [{}, {"succeeded": False, "after": ()}])
def test_the_report_of_an_undo_fits_its_schema_and_names_attempt_person_and_what_was_found(changes) -> None:
    report = an_undo_report(**changes)
    assert list(Draft202012Validator(json_schemas()["undo-report"]).iter_errors(report)) == []
    assert (report["attempt_id"], report["actor"], report["succeeded"]) == ("attempt-1", "ann", not changes)
    assert report["after"] == ([] if changes else [{"check_id": "LIN-SSH-001", "verdict": "fail"}])
    assert report["at"] == NOON.isoformat()


def test_the_report_of_an_undo_quotes_no_secret() -> None:
    assert "hunter2x" not in str(an_undo_report(reason="it said password=hunter2x"))


def a_report(conclusion: Conclusion) -> dict[str, object]:
    (entry,) = TelemetryReporter("clinic", FakeIds()).of_conclusion(conclusion).outbox
    assert entry.kind is OutboxClass.TELEMETRY
    document: dict[str, object] = json.loads(entry.body)
    return document


def test_a_report_tells_rule_runbook_and_how_it_ended() -> None:
    attempt = an_attempt()
    report = a_report(Conclusion(an_end(attempt), INCIDENT, attempt=attempt))
    assert (report["outcome"], report["success"], report["attempt_id"]) == ("remediated", True, "attempt-1")
    assert (report["rule_id"], report["runbook_id"]) == ("L1-SSH-001", "LIN-SSH-001")
    assert (report["platform"], report["severity"]) == ("linux", "high")


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_success_is_always_said_and_true_for_remediated_alone(kind) -> None:
    assert a_report(Conclusion(an_outcome(kind)))["success"] is (kind is OutcomeKind.REMEDIATED)


def test_a_report_without_an_attempt_says_so() -> None:
    report = a_report(Conclusion(an_outcome()))
    assert [report[key] for key in ("attempt_id", "runbook_id", "begun_at", "platform")] == [None] * 4


def test_a_report_that_would_quote_a_secret_is_scrubbed() -> None:
    report = a_report(Conclusion(an_outcome(reason="the machine said password=hunter2x")))
    assert "hunter2x" not in str(report)


def test_every_report_has_an_id_of_its_own() -> None:
    reporter = TelemetryReporter("clinic", SystemIds())
    ids = [reporter.of_conclusion(Conclusion(an_outcome())).outbox[0].entry_id for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(one[14] == "7" for one in ids)


def a_heartbeat() -> OutboxEntry:
    (entry,) = heartbeat(FakeStore().counts(), site_id="clinic", version="1", ids=FakeIds(), now=NOON).outbox
    return entry


def test_a_heartbeat_of_an_empty_store_has_every_number() -> None:
    document = json.loads(a_heartbeat().body)
    assert (document["schema"], document["targets"], document["outbox"]) == ("heartbeat/v1", 0, {})
