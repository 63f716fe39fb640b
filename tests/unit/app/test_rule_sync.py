"""When the agent looks for rules, what it says, and that its engine takes up what came."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from compliance_agent.adapters.control_plane.signed_rules import Look
from compliance_agent.adapters.synced_rules import active_path, read_active, read_checked
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.reload import Reloader
from compliance_agent.app.rule_sync import RuleSync
from compliance_agent.app.settings import load_settings
from compliance_agent.wire.synced_rules import SyncedBundle, SyncedFile
from tests.support.turns import Recorder

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_bundle(version: int, *rule_ids: str) -> SyncedBundle:
    rules = [
        {"rule_id": one, "incident_pattern": {"check_id": "LIN-SSH-001"}, "action": "run_linux_runbook:LIN-SSH-001"}
        for one in rule_ids
    ]
    return SyncedBundle(version, (SyncedFile("synced/stable.json", "synced", json.dumps({"rules": rules}).encode()),))


class Answers:
    """Stands in for the control plane."""

    def __init__(self, *looks: Look) -> None:
        self.looks = list(looks)
        self.asked_at: list[datetime] = []
        self.whole: list[bool] = []

    def look(self, *, now: datetime, whole: bool = False) -> Look:
        self.asked_at.append(now)
        self.whole.append(whole)
        return self.looks.pop(0) if self.looks else Look()


def a_sync(tmp_path, *looks: Look, interval_s: float = 45) -> tuple[RuleSync, Answers, Recorder]:
    answers, events = Answers(*looks), Recorder()
    return RuleSync(tmp_path, answers, interval_s, events, Random(1)), answers, events  # noqa: S311


def pass_time(sync: RuleSync, seconds: int, *, start: datetime = NOON) -> None:
    for second in range(seconds):
        sync.look_if_due(start + timedelta(seconds=second))


def gaps(answers: Answers) -> list[float]:
    times = answers.asked_at
    return [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)]


def test_it_looks_at_once_and_then_at_its_interval_a_tenth_more_or_less(tmp_path) -> None:
    sync, answers, _ = a_sync(tmp_path)
    pass_time(sync, 600)
    assert answers.asked_at[0] == NOON
    assert len(gaps(answers)) >= 11
    assert all(40 <= gap <= 51 for gap in gaps(answers))
    assert len(set(gaps(answers))) > 1


def test_after_failures_it_waits_longer_and_never_more_than_a_quarter_of_an_hour_or_so(tmp_path) -> None:
    sync, answers, _ = a_sync(tmp_path, *[Look(trouble="no answer")] * 40)
    pass_time(sync, 20_000)
    assert max(gaps(answers)) > 300
    assert all(22 <= gap <= 925 for gap in gaps(answers))


def test_what_the_control_plane_asks_to_wait_is_waited(tmp_path) -> None:
    sync, answers, _ = a_sync(tmp_path, Look(trouble="answered 503", retry_after_s=3_000))
    pass_time(sync, 4_000)
    assert gaps(answers)[0] >= 3_000


def test_a_clock_that_is_set_back_holds_nothing_up(tmp_path) -> None:
    sync, answers, _ = a_sync(tmp_path)
    sync.look_if_due(NOON)
    sync.look_if_due(NOON - timedelta(days=400))
    assert len(answers.asked_at) == 2


def test_the_same_trouble_is_told_once_and_its_end_too(tmp_path) -> None:
    sync, _, events = a_sync(tmp_path, Look(trouble="a"), Look(trouble="a"), Look(trouble="b"), Look())
    pass_time(sync, 10_000)
    assert events.names() == ["rules.sync_failed", "rules.sync_failed", "rules.sync_recovered"]


def test_new_rules_are_kept_and_told_and_old_ones_are_not_told_again(tmp_path) -> None:
    sync, _, events = a_sync(tmp_path, Look(a_bundle(3, "ONE")), Look(a_bundle(3, "ONE")))
    pass_time(sync, 200)
    assert events.names() == ["rules.synced"]
    assert read_active(tmp_path) == a_bundle(3, "ONE")
    checked = read_checked(tmp_path)
    assert checked is not None
    assert (checked.version, checked.trouble) == (3, "")


def test_trouble_leaves_the_time_of_the_last_good_look(tmp_path) -> None:
    sync, _, _ = a_sync(tmp_path, Look(a_bundle(3, "ONE")), Look(trouble="no answer"))
    pass_time(sync, 60)
    checked = read_checked(tmp_path)
    assert checked is not None
    assert (checked.good_at, checked.trouble, checked.version) == (NOON.isoformat(timespec="seconds"), "no answer", 3)


def test_a_disk_that_is_full_changes_nothing_and_is_told(tmp_path, monkeypatch) -> None:
    second = Look(a_bundle(2, "TWO"))
    sync, answers, events = a_sync(tmp_path, Look(a_bundle(1, "ONE")), second, second)
    sync.look_if_due(NOON)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", "active.json")

    monkeypatch.setattr("compliance_agent.adapters.whole_file.os.fsync", full)
    sync.look_if_due(NOON + timedelta(seconds=60))
    assert read_active(tmp_path) == a_bundle(1, "ONE")
    assert events.names() == ["rules.synced", "rules.sync_failed"]
    assert [path.name for path in active_path(tmp_path).parent.iterdir() if path.name.startswith(".new")] == []
    monkeypatch.undo()
    for seconds in (120, 180):
        sync.look_if_due(NOON + timedelta(seconds=seconds))
    assert answers.whole == [True, False, True, False], "what could not be written is asked for again, once"
    assert read_active(tmp_path) == a_bundle(2, "TWO")


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        f"site_id: clinic\nstate_dir: {tmp_path / 'state'}\n"
        f"control_plane: {{url: 'https://c.example', appliance_id: a1, token_file: {tmp_path / 'token'}}}\n"
    )
    return load_settings(path)


def synced_ids(agent) -> list[str]:
    return [rule.rule_id for rule in agent.engine.rules.rules if rule.source.value == "synced"]


def test_the_engine_takes_up_new_rules_while_the_old_one_goes_on(settings, tmp_path) -> None:
    events = Recorder()
    with assemble(settings, access=Access.WRITE, events=events) as agent:
        reloader = Reloader(settings, agent)
        sync, _, _ = a_sync(tmp_path / "state", Look(a_bundle(1, "ONE")))
        before = agent.engine
        assert reloader.changed() is None
        sync.look_if_due(NOON)
        work = reloader.changed()
        assert work is not None
        assert work.engine is agent.engine is not before
        assert synced_ids(agent) == ["ONE"]
        assert "ONE" not in {rule.rule_id for rule in before.rules.rules}
        assert reloader.changed() is None


def test_an_agent_that_starts_without_a_control_plane_has_its_last_rules(settings, tmp_path) -> None:
    sync, _, _ = a_sync(tmp_path / "state", Look(a_bundle(1, "ONE", "TWO")))
    sync.look_if_due(NOON)
    with assemble(settings, access=Access.READ, events=Recorder()) as agent:
        assert synced_ids(agent) == ["ONE", "TWO"]


def test_rules_are_not_taken_where_the_settings_say_so(settings, tmp_path) -> None:
    sync, _, _ = a_sync(tmp_path / "state", Look(a_bundle(1, "ONE")))
    sync.look_if_due(NOON)
    text = (tmp_path / "settings.yaml").read_text().replace("appliance_id: a1", "appliance_id: a1, sync_rules: false")
    (tmp_path / "settings.yaml").write_text(text)
    with assemble(load_settings(tmp_path / "settings.yaml"), access=Access.READ, events=Recorder()) as agent:
        assert synced_ids(agent) == []
        agent.sync_rules(NOON)
