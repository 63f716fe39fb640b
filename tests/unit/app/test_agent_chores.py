"""What the agent does beside turns: signs of life, sending, snapshots; how it rests when nothing can be written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.store import SqliteStore
from compliance_agent.app import assemble
from compliance_agent.app.assemble import Agent
from compliance_agent.app.settings import load_settings
from compliance_agent.domain.evidence.drafts import ActionKind
from compliance_agent.domain.gate import GatePolicy
from compliance_agent.domain.gate.ledger import SetWaiver
from compliance_agent.domain.gate.people import PersonAction, Term, Waiver
from compliance_agent.domain.outbox import OutboxClass, OutboxFate
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.engine.ports import NoKillSwitch
from compliance_agent.errors import StoreError
from compliance_agent.testing import NOON, FakeClock, FakeUplink
from tests.support.state import an_entry, at
from tests.support.turns import Recorder

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = """\
site_id: clinic
state_dir: {folder}/state
control_plane: {{url: "https://central.example.org", appliance_id: a1, token_file: token, heartbeat_interval_s: 60}}
"""


@pytest.fixture
def uplink(monkeypatch) -> FakeUplink:
    made = FakeUplink()
    monkeypatch.setattr(assemble, "uplink_of", lambda *_: made)
    monkeypatch.setattr(assemble, "SystemClock", FakeClock)
    return made


@pytest.fixture
def agent(tmp_path: Path, uplink: FakeUplink):
    path = tmp_path / "settings.yaml"
    path.write_text(SETTINGS.format(folder=tmp_path), encoding="utf-8")
    engine: Any = SimpleNamespace(
        events=Recorder(),
        ids=SystemIds(),
        policy=GatePolicy(),
        rules=SimpleNamespace(rules=()),
        kill_switch=NoKillSwitch(),
    )
    with SqliteStore(tmp_path / "state" / "state.sqlite", turns_at=at(0)) as store:
        yield Agent(load_settings(path), engine, store)


def events(agent: Agent) -> list[str]:
    recorder: Any = agent.engine.events
    return list(recorder.names())


def fail(monkeypatch, method: str) -> None:
    def full(*_arguments: object, **_more: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(SqliteStore, method, full)


def beats(agent: Agent) -> int:
    assert isinstance(agent.store, SqliteStore)
    found = agent.store.counts().outbox.get(OutboxClass.HEARTBEAT)
    return found.fates.get(OutboxFate.ENQUEUED, 0) if found else 0


def test_a_sign_of_life_is_made_at_once_and_then_in_its_interval(agent) -> None:
    for seconds in range(0, 125, 2):
        agent.send_reports(at(seconds))
    assert beats(agent) == 3


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_that_jumps_does_not_silence_it(agent, jump) -> None:
    agent.send_reports(at(0))
    agent.send_reports(at(jump))
    assert beats(agent) == 2


def test_without_a_control_plane_nothing_is_made(agent) -> None:
    agent.settings = agent.settings.model_copy(update={"control_plane": None})
    agent.send_reports(at(0))
    assert beats(agent) == 0


def test_after_an_answer_that_could_not_be_kept_it_rests_instead_of_sending_the_same_again(
    agent, uplink, monkeypatch
) -> None:
    fail(monkeypatch, "record_sending")
    for seconds in range(0, 300, 2):
        agent.send_reports(at(seconds))
    assert len(uplink.batches) == 1
    agent.send_reports(at(300))
    assert len(uplink.batches) == 2


def test_a_sign_of_life_that_cannot_be_kept_is_told_and_what_waits_is_sent(agent, uplink, monkeypatch) -> None:
    agent.store.attach(Attachments([an_entry(1)]))
    fail(monkeypatch, "attach")
    agent.send_reports(at(0))
    assert events(agent) == ["store.failed"]
    assert uplink.batches == [[an_entry(1).entry_id]]


def test_a_snapshot_is_taken_and_told(agent) -> None:
    agent.take_snapshot(at(0))
    agent.take_snapshot(at(10))
    assert events(agent) == ["snapshot.taken"]


def test_a_snapshot_that_fails_is_told_once_in_a_while_and_not_every_two_seconds(agent, monkeypatch) -> None:
    fail(monkeypatch, "snapshot")
    for seconds in range(0, 300, 2):
        agent.take_snapshot(at(seconds))
    assert events(agent) == ["snapshot.failed"]
    agent.take_snapshot(at(300))
    assert events(agent) == ["snapshot.failed"] * 2


def a_waiver_that_is_over(agent: Agent) -> None:
    waiver = Waiver("srv01", "LIN-FW-001", "ann", "replaced in May", NOON, Term(NOON, 0.0))
    action = PersonAction(ActionKind.WAIVED, "ann", "replaced in May", NOON)
    assert isinstance(agent.store, SqliteStore)
    agent.store.record_action(action, [SetWaiver(waiver)])


def test_housekeeping_tells_of_a_waiver_that_ended_once(agent) -> None:
    a_waiver_that_is_over(agent)
    for seconds in (0, 2, 4):
        agent.keep_house(at(seconds))
    assert events(agent).count("waiver.told") == 1
    (queued,) = agent.store.alerts()
    assert (queued.alert.name, queued.raised_count) == ("waiver ended", 1)


def test_what_cannot_be_told_for_want_of_room_is_told_later_and_stops_no_housekeeping(agent, monkeypatch) -> None:
    a_waiver_that_is_over(agent)
    with monkeypatch.context() as full:
        fail(full, "tell_of_waiver")
        agent.keep_house(at(0))
        agent.keep_house(at(2))
        assert events(agent) == ["store.failed", "snapshot.taken"]
    agent._decisions_rest_at = None
    agent.keep_house(at(400))
    assert "waiver.told" in events(agent)
