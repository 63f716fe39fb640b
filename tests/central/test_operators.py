"""Operators ask why a rule stands where it does, and decide; the flywheel honours it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from central_command.cli.main import run
from central_command.flywheel.promotion import PromotionPolicy
from central_command.flywheel.stages import STAGES, Hand, Stage, Standing
from central_command.flywheel.waiting import waits_for
from central_command.store.fold import DURABLE_AFTER, fold
from central_command.store.ids import new_id
from central_command.store.promoter import Promoter, rule_id_of
from tests.support.central import NOW, add_rule, add_site, execution, report

if TYPE_CHECKING:
    import psycopg

    from central_command.store.folded import Folded

_RULE = rule_id_of("LIN-SSH-001", "linux", "LIN-SSH-001")
_LATER = NOW + DURABLE_AFTER + timedelta(seconds=1)


def _turn(fleet: psycopg.Connection, now: Any = NOW) -> list[tuple[str, str]]:
    promoter = Promoter(PromotionPolicy(days_min=1), STAGES, new_id)
    moved: list[tuple[str, str]] = []

    def then(folded: Folded) -> None:
        moved.extend((rule, step.stage.value) for rule, step in promoter.apply(fleet, folded, now=now))

    fold(fleet, now=now, then=then)
    return moved


@pytest.fixture
def command(conninfo, owner, capsys):
    """A command against the database: its exit code, and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        code = run(["--database", conninfo, *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def _hand_fixes(owner: psycopg.Connection, agent: psycopg.Connection) -> None:
    for number in range(12):
        add_site(owner, f"clinic-{number}", "a")
        fixes = [execution(level="L2", rule_id=None, target_id=f"server-{index}") for index in range(4)]
        report(agent, fixes, site_id=f"clinic-{number}")


def test_a_pinned_rule_is_not_demoted_but_shown_and_is_demoted_once_unpinned(command, agent, fleet) -> None:
    assert command("rules", "pin", "RULE-1", "--reason", "it is ours") == (0, "RULE-1 is pinned\n")
    report(agent, [execution("failed") for _ in range(6)])
    assert _turn(fleet) == []
    document = json.loads(command("flywheel", "explain", "RULE-1", "-o", "json")[1])
    assert document["waits_for"][0].startswith("it is pinned, and would be demoted: it stopped working: 6 of 6")
    assert (document["stage"], document["hand"]) == ("enabled", "pinned")
    assert command("rules", "unpin", "RULE-1", "--reason", "it had its chance")[0] == 0
    report(agent, [execution("failed")])
    assert _turn(fleet) == [("RULE-1", "demoted")]


def test_a_vetoed_pattern_never_becomes_a_rule_by_itself(command, owner, agent, fleet) -> None:
    owner.execute("DELETE FROM l1_rules")
    _hand_fixes(owner, agent)
    _turn(fleet)
    (pattern_id,) = fleet.execute("SELECT pattern_id::text FROM patterns").fetchone() or ("",)
    assert command("rules", "veto", pattern_id, "--reason", "restarts sshd")[1] == f"{pattern_id} is refused\n"
    assert _turn(fleet, _LATER) == []
    report(agent, [execution(level="L2", rule_id=None)], site_id="clinic-1")
    assert _turn(fleet, _LATER + DURABLE_AFTER) == []
    assert command("rules", "enable", pattern_id, "--reason", "discussed")[0] == 0
    report(agent, [execution(level="L2", rule_id=None)], site_id="clinic-1")
    assert _turn(fleet, _LATER + DURABLE_AFTER) == [(_RULE, "candidate")]


def test_a_vetoed_rule_does_not_come_back_under_the_name_of_a_pattern(command, owner, agent, fleet) -> None:
    owner.execute("UPDATE l1_rules SET stage = 'demoted'")
    assert command("rules", "veto", "RULE-1", "--reason", "broke a till")[0] == 0
    _hand_fixes(owner, agent)
    _turn(fleet)
    assert _turn(fleet, _LATER) == []
    assert fleet.execute("SELECT stage_reason FROM patterns").fetchone() == ("the rule RULE-1 is vetoed",)


def test_a_rule_of_another_runbook_is_not_held_by_a_veto(command, owner, agent, fleet) -> None:
    owner.execute(
        "INSERT INTO runbooks SELECT 'LIN-SSH-009', title, platforms, check_type, 1, 'none', 'never', true"
        " FROM runbooks LIMIT 1"
    )
    owner.execute("DELETE FROM l1_rules")
    add_rule(owner, "RULE-9", "LIN-SSH-009", hand="vetoed")
    _hand_fixes(owner, agent)
    _turn(fleet)
    assert _turn(fleet, _LATER) == [(_RULE, "candidate")]


@pytest.mark.parametrize(("deed", "after"), [("disable", "enabled"), ("veto", "shadow")])
def test_what_is_enabled_again_goes_on_or_begins_anew(command, fleet, deed, after) -> None:
    assert command("rules", deed, "RULE-1", "--reason", "a look")[0] == 0
    assert fleet.execute("SELECT enabled FROM l1_rules").fetchone() == (False,)
    assert command("rules", "enable", "RULE-1", "--reason", "looked")[1] == f"RULE-1 is {after}\n"
    assert fleet.execute("SELECT stage, hand FROM l1_rules").fetchone() == (after, "none")


def test_a_demoted_rule_comes_back_only_through_shadow(command, owner, fleet) -> None:
    owner.execute("UPDATE l1_rules SET stage = 'demoted'")
    assert command("rules", "enable", "RULE-1", "--reason", "mended")[1] == "RULE-1 is shadow\n"


def test_a_quarantined_rule_cannot_be_enabled(command, owner) -> None:
    owner.execute("UPDATE l1_rules SET quarantine_reason = 'AUTO-X is a placeholder', hand = 'disabled'")
    code, said = command("rules", "enable", "RULE-1", "--reason", "please")
    assert (code, "is quarantined: AUTO-X" in said) == (1, True)


def test_each_decision_has_an_audit_row_with_actor_and_reason(command, fleet) -> None:
    command("rules", "pin", "RULE-1", "--reason", "ours", "--actor", "mona")
    command("rules", "disable", "RULE-1", "--reason", "night shift", "--site", "site-1", "--actor", "otto")
    rows = fleet.execute("SELECT site_id, actor, what, reason, details FROM audit_log ORDER BY audit_id").fetchall()
    assert rows == [
        ("*", "mona", "rule_pin", "ours", {"before": "none", "after": "pinned"}),
        ("site-1", "otto", "rule_disable", "night shift", {"before": "none", "after": "disabled"}),
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("pin", "RULE-9"), "there is no rule RULE-9"),
        (("unpin", "RULE-1"), "RULE-1 is not pinned"),
        (("enable", "RULE-1"), "RULE-1 is neither vetoed nor disabled nor demoted"),
        (("pin", "RULE-1", "--site", "nowhere"), "there is no site nowhere"),
        (("pin", "RULE-1", "--reason", " "), "a decision has an actor and a reason"),
        (("veto", str(uuid4())), "is no pattern that is observed"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused_and_changes_nothing(command, fleet, arguments, problem) -> None:
    reason = () if "--reason" in arguments else ("--reason", "x")
    code, said = command("rules", *arguments, *reason)
    assert (code, problem in said) == (1, True)
    assert fleet.execute("SELECT count(*) FROM audit_log").fetchone() == (0,)


def _at(fleet: psycopg.Connection) -> dict[str, str]:
    return dict(fleet.execute("SELECT site_id, stage FROM rules_at_site ORDER BY 1").fetchall())


def test_a_site_keeps_what_it_pinned_when_the_fleet_demotes_it(command, owner, agent, fleet) -> None:
    add_site(owner, "site-2", "a")
    command("rules", "pin", "RULE-1", "--reason", "works here", "--site", "site-1")
    report(agent, [execution("failed") for _ in range(4)])
    assert _turn(fleet) == [("RULE-1", "demoted")]
    assert _at(fleet) == {"site-1": "enabled", "site-2": "demoted"}
    command("rules", "veto", "RULE-1", "--reason", "no")
    assert _at(fleet) == {"site-1": "vetoed", "site-2": "vetoed"}


def test_a_site_refuses_a_rule_for_itself_alone(command, owner, fleet) -> None:
    add_site(owner, "site-2", "a")
    command("rules", "veto", "RULE-1", "--reason", "no", "--site", "site-2")
    assert _at(fleet) == {"site-1": "enabled", "site-2": "vetoed"}
    command("rules", "enable", "RULE-1", "--reason", "yes", "--site", "site-2")
    assert _at(fleet) == {"site-1": "enabled", "site-2": "enabled"}


def test_the_status_counts_stages_and_says_what_waits_for_what(command, owner, agent, fleet) -> None:
    add_rule(owner, "RULE-2", stage="demoted")
    report(agent, [execution("failed", level="L2", rule_id=None)])
    _turn(fleet)
    code, said = command("flywheel", "status", "-o", "json")
    found = json.loads(said)
    assert (code, found["stages"]) == (0, {"pattern observed": 1, "rule demoted": 1, "rule enabled": 1})
    waiting = {line["id"]: line["waits_for"] for line in found["lines"]}
    assert (waiting["RULE-1"], waiting["RULE-2"]) == ([], ["a person, who enables it: it begins anew in shadow"])
    assert "a person, who enables it" in command("flywheel", "status")[1]


def test_an_explanation_has_numbers_reasons_and_history(command, owner, agent, fleet) -> None:
    owner.execute("DELETE FROM l1_rules")
    _hand_fixes(owner, agent)
    for now in (NOW, _LATER, _LATER):
        _turn(fleet, now)
    document = json.loads(command("flywheel", "explain", _RULE, "-o", "json")[1])
    pattern = document["pattern"]
    assert (pattern["runs"], pattern["appliances"], pattern["targets"], pattern["days"]) == (48, 12, 48, 1)
    assert pattern["evidence"] >= 20
    assert 0.8 < pattern["wilson"] < 1
    assert [row["what"] for row in document["history"]] == ["pattern_promoted", "rule_stage"]
    assert any("matches in shadow: 0 of 10" in one for one in document["waits_for"])
    assert "pattern evidence" in command("flywheel", "explain", _RULE)[1]


def test_failures_are_told_apart_by_cause_and_place(command, agent, fleet) -> None:
    said = [f"no TPM: error 0x80310000, attempt {uuid4()}" for _ in range(5)] + ["access denied: exit 5"] * 2
    report(agent, [execution("failed", reason=one, target_id="pc-1") for one in said])
    report(agent, [execution(), execution("not_applicable"), execution("unreachable")])
    found = json.loads(command("rules", "diagnose", "RULE-1", "-o", "json")[1])
    assert [found[name] for name in ("attempts", "successes", "not_applicable", "unfinished")] == [10, 1, 1, 1]
    causes = [(one["reason"], one["count"], one["worst_target"], one["worst_count"]) for one in found["causes"]]
    assert causes == [
        ("no TPM: error 0x80310000, attempt #", 5, "site-1/pc-1", 5),
        ("access denied: exit 5", 2, "site-1/pc-1", 2),
    ]
    assert "71%" in command("rules", "diagnose", "RULE-1")[1]
    assert command("rules", "diagnose", "RULE-9")[0] == 1


def test_an_alarm_stands_until_a_person_ends_it_with_a_reason(command, owner, fleet) -> None:
    chain = str(uuid4())
    owner.execute(
        "INSERT INTO evidence_chains VALUES ('site-1', 'a', %s, 7, %s, %s, 'a fork: entry 7', %s)",
        (chain, "ab" * 32, b"k" * 32, NOW),
    )
    code, said = command("evidence", "alarms", "list", "-o", "json")
    assert (code, [one["id"] for one in json.loads(said)]) == (2, [f"site-1/a/{chain}"])
    assert command("evidence", "alarms", "end", chain, "--reason", " ")[0] == 1
    assert command("evidence", "alarms", "end", chain, "--reason", "the disk was replaced", "--actor", "mona")[0] == 0
    assert command("evidence", "alarms", "list")[0] == 0
    assert fleet.execute("SELECT actor, reason, details ->> 'alarm' FROM audit_log").fetchall() == [
        ("mona", "the disk was replaced", "a fork: entry 7")
    ]
    assert command("evidence", "alarms", "end", chain, "--reason", "again")[0] == 1


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (Standing(Stage.CANDIDATE, NOW), "the next fold, which makes it shadow"),
        (Standing(Stage.CANARY, NOW, successes=5, failures=1), "5 of 6 runs lasted"),
        (Standing(Stage.SHADOW, NOW, matches=20, agreements=20), "7 more days in shadow"),
        (Standing(Stage.ENABLED, NOW, hand=Hand.DISABLED), "it is disabled: a person has to enable it"),
    ],
)
def test_each_stage_says_what_it_waits_for(standing, told) -> None:
    assert told in "; ".join(waits_for(standing, STAGES, now=NOW))
