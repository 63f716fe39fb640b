from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.observation import Observation, Verdict
from compliance_agent.engine.admission import admit, refusal
from compliance_agent.engine.dispatch import HANDLERS, NotApplicable, Request
from tests.support.turns import NOON, make_world, rule

if TYPE_CHECKING:
    from compliance_agent.domain.rule import Rule

CHECK = "TEST-FILE-001"


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path, CHECK)


def action(text: str) -> Rule:
    return rule(CHECK, text)


def test_the_table_has_the_six_prefixes_of_the_design():
    assert set(HANDLERS) == {
        "run_linux_runbook",
        "run_windows_runbook",
        "run_runbook",
        "restart_service",
        "alert",
        "escalate",
    }


@pytest.mark.parametrize(
    "text",
    [
        f"run_linux_runbook:{CHECK}",
        f"run_runbook:{CHECK}",
        "restart_service:getty@tty1.service",
        "alert:security-updates",
        "escalate:somebody must look",
    ],
)
def test_a_usable_action_is_admitted(world, text):
    assert refusal(action(text), world.engine.catalogue) == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("run_command:rm -rf /", "unknown handler prefix"),
        ("run_linux_runbook:LIN-NOPE-001", "there is no runbook LIN-NOPE-001"),
        ("run_linux_runbook:AUTO-FIREWALL", "placeholder"),
        ("run_runbook:AUTO-X", "placeholder"),
        ("run_linux_runbook:LIN-ACCT-001", "only detects"),
        (f"run_windows_runbook:{CHECK}", f"runbook {CHECK} is for linux, not windows"),
        ("restart_service:a b", "no service name"),
        ("restart_service:-x", "no service name"),
        ("restart_service:$(id)", "no service name"),
        ("alert:", "1 to 200 characters"),
        (f"escalate:{'x' * 201}", "1 to 200 characters"),
    ],
)
def test_an_unusable_action_is_quarantined_with_its_reason(world, text, complaint):
    rules, quarantined = admit([action(text)], world.engine.catalogue)
    assert len(rules) == 0
    assert complaint in quarantined[0].reason


def test_a_rule_id_that_begins_with_rb_auto_is_legal(world):
    from dataclasses import replace

    legal = replace(action(f"run_linux_runbook:{CHECK}"), rule_id="RB-AUTO-FIREWALL")
    assert refusal(legal, world.engine.catalogue) == ""


def test_what_needs_root_is_not_applicable_without_it(world):
    seen = Observation(CHECK, "front-desk", Verdict.FAIL, "why", NOON)
    from compliance_agent.domain.observation import HostFacts

    request = Request(world.engine, world.target, seen, HostFacts(is_root=False), "cron", {})
    work = HANDLERS["restart_service"].prepare(request)
    assert isinstance(work, NotApplicable)
    assert "needs root" in work.reason
