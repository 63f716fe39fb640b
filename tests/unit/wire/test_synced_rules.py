"""Served rules: who acts on what, what a promoted rule may not do, and that one bad entry harms no other."""

from __future__ import annotations

import json

import pytest

from compliance_agent.domain.serving import in_canary
from compliance_agent.errors import InputError
from compliance_agent.wire.synced_rules import SyncedBundle, SyncedFile, read_bundle, rules_of, write_bundle


def entry(rule_id: str = "ONE", **more: object) -> dict[str, object]:
    return {
        "rule_id": rule_id,
        "incident_pattern": {"check_id": "LIN-SSH-001"},
        "action": "run_linux_runbook:LIN-SSH-001",
        **more,
    }


def of(*entries: object, role: str = "synced", path: str = "synced/stable.json"):
    content = json.dumps({"rules": list(entries)}).encode()
    return rules_of(SyncedBundle(1, (SyncedFile(path, role, content),)), site_id="clinic", appliance_id="a1")


def test_a_bundle_comes_back_as_it_was_written() -> None:
    bundle = SyncedBundle(7, (SyncedFile("synced/stable.json", "synced", '{"rules": []} ä'.encode()),))
    assert read_bundle(write_bundle(bundle), source="x") == bundle


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b'{"schema": "synced-rules/v2", "version": 1, "files": []}', b"\xff", b"[" * 9999],
)
def test_what_is_no_bundle_is_refused_with_a_remedy(content) -> None:
    with pytest.raises(InputError, match=r"holds no synced rules.*the next sync brings them anew"):
        read_bundle(content, source="active.json")


def test_a_rule_without_a_stage_acts_and_one_in_shadow_does_not() -> None:
    found = of(entry("ONE"), entry("TWO", stage="shadow"))
    assert [rule.rule_id for rule in found.rules] == ["ONE"]
    assert [rule.rule_id for rule in found.tried] == ["TWO"]


@pytest.mark.parametrize("share", [0, 0.05, 0.5, 1])
def test_a_rule_in_canary_acts_where_the_servers_own_answer_says_so(share) -> None:
    names = [f"R-{number}" for number in range(30)]
    found = of(*(entry(name, stage="canary", share=share) for name in names))
    assert [rule.rule_id for rule in found.rules] == [one for one in names if in_canary(one, "clinic", "a1", share)]


@pytest.mark.parametrize("share", [True, "1", None, [1]])
def test_a_share_that_is_no_number_lets_nobody_act(share) -> None:
    assert of(entry(stage="canary", share=share)).rules == ()


def test_a_stage_of_a_newer_server_is_set_aside() -> None:
    found = of(entry("ONE", stage="probation"), entry("TWO"))
    assert [rule.rule_id for rule in found.rules] == ["TWO"]
    assert "unknown stage 'probation'" in found.quarantined[0].reason


@pytest.mark.parametrize("action", ["alert:hello", "escalate:hello", "restart_service:sshd"])
def test_a_promoted_rule_runs_runbooks_and_nothing_else(action) -> None:
    found = of(entry(action=action), role="promoted")
    assert found.rules == ()
    assert "may only run a runbook" in found.quarantined[0].reason
    assert of(entry(action=action), role="synced").rules


@pytest.mark.parametrize(("priority", "is_allowed"), [(99, False), (100, True), (-5, False)])
def test_a_promoted_rule_never_goes_before_what_people_wrote(priority, is_allowed) -> None:
    found = of(entry(priority=priority), role="promoted")
    assert bool(found.rules) is is_allowed
    assert bool(found.quarantined) is not is_allowed


def test_one_bad_entry_harms_no_other() -> None:
    found = of(entry("ONE"), 5, {"rule_id": "X"}, entry("TWO", incident_pattern={}), entry("THREE"))
    assert [rule.rule_id for rule in found.rules] == ["ONE", "THREE"]
    assert len(found.quarantined) == 3


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b'{"rules": 5}', b"\xff\xfe"])
def test_one_bad_file_harms_no_other(content) -> None:
    good = json.dumps({"rules": [entry("ONE")]}).encode()
    files = (SyncedFile("synced/canary.json", "synced", content), SyncedFile("synced/stable.json", "synced", good))
    found = rules_of(SyncedBundle(1, files), site_id="clinic", appliance_id="a1")
    assert [rule.rule_id for rule in found.rules] == ["ONE"]
    assert [one.rule_id for one in found.quarantined] == ["synced/canary.json"]


def test_a_sites_own_rule_replaces_the_fleets_of_its_id() -> None:
    fleet = json.dumps({"rules": [entry("ONE", priority=100)]}).encode()
    own = json.dumps({"rules": [entry("ONE", priority=7)]}).encode()
    files = (SyncedFile("synced/stable.json", "synced", fleet), SyncedFile("sites/x/rules.json", "synced", own))
    found = rules_of(SyncedBundle(1, files), site_id="clinic", appliance_id="a1")
    assert [(rule.rule_id, rule.priority) for rule in found.rules] == [("ONE", 7)]
