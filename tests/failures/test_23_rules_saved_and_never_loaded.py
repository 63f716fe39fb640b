"""Failure 23: promoted rules were saved but never loaded; the reload set an attribute that nobody read.

Here the rules that a reload reads are the rules that match in the next turn: proved with files and a running daemon.
Issue 6 brings promoted rules, which take the same way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.reload import Reloader
from compliance_agent.app.settings import load_settings
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.engine.cycle import plan_turn
from tests.support.local_site import HEALS, LocalSite, a_rule
from tests.support.turns import NOON, Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.app.daemon import Work


def first_outcome(work: Work) -> OutcomeKind:
    (outcome,) = plan_turn(work.engine, work.targets[0], now=NOON).outcomes
    return outcome.kind


def test_a_rule_that_is_put_into_a_file_matches_in_the_next_turn(tmp_path: Path) -> None:
    site = LocalSite(tmp_path, rules=[]).write()
    site.say("bad")
    settings = load_settings(site.settings)
    with assemble(settings, access=Access.NONE, events=Recorder()) as agent:
        reloader = Reloader(settings, agent)
        assert first_outcome(reloader.work()) is OutcomeKind.UNMATCHED
        (tmp_path / "rules" / "promoted.json").write_text(json.dumps({"rules": [a_rule(HEALS)]}), encoding="utf-8")
        changed = reloader.changed()
        assert changed is not None
        assert first_outcome(changed) is OutcomeKind.WOULD_CHANGE
        assert first_outcome(reloader.work()) is OutcomeKind.WOULD_CHANGE


def test_a_running_daemon_heals_by_the_new_rule(tmp_path: Path) -> None:
    site = LocalSite(tmp_path, rules=[]).write()
    site.say("bad")
    with site.daemon() as daemon:
        daemon.wait_for("incident.settled", outcome="unmatched")
        (tmp_path / "rules" / "promoted.json").write_text(json.dumps({"rules": [a_rule(HEALS)]}), encoding="utf-8")
        daemon.wait_for("incident.settled", outcome="remediated")
        assert daemon.stop() == 0
    assert site.says() == "good"
