"""Failure 37: in the service's sandbox no program was found; and a restart lost what an order had come to.

Here scripts find the machine's programs whatever the service's own PATH is, and what was begun before a restart ends
as ``interrupted``, is told, and is looked at afresh. Issue 8 brings updates (a transient unit outside the sandbox that
reports its end) and proves them the same way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.store import SqliteStore
from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.app.reporting import TelemetryReporter
from compliance_agent.domain.outbox import OutboxClass
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.target import Target
from compliance_agent.engine.recover import interrupt_unfinished
from tests.support.state import EPOCH, FINGERPRINT, SITE, an_attempt, at

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_scripts_find_programs_without_the_services_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with LocalTransport().open(Target("here", "clinic")) as session:
        result = session.run("uname -s && id -u >/dev/null && echo found", timeout_s=60, output_max_bytes=100)
    assert result.stdout == b"Linux\nfound\n"


def test_what_a_restart_cut_off_is_ended_and_told_and_never_run_again(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with SqliteStore(path) as store:
        store.begin(an_attempt())
    with SqliteStore(path) as store:
        reporter = TelemetryReporter(SITE, SystemIds())
        interrupted = interrupt_unfinished(store, now=at(60), reporter=reporter)
        assert [attempt.attempt_id for attempt in interrupted] == ["attempt-1"]
        assert [past.outcome for past in store.history(FINGERPRINT, since=EPOCH)] == [OutcomeKind.INTERRUPTED]
        reports = [row.entry for row in store.due_entries(at(60), rows_max=10, bytes_max=100_000)]
    assert [(one.kind, json.loads(one.body)["outcome"]) for one in reports] == [(OutboxClass.TELEMETRY, "interrupted")]
    with SqliteStore(path) as store:
        assert interrupt_unfinished(store, now=at(120)) == ()
