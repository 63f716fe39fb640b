"""Failure 8: a slow scan used up the 600 s of the cycle, and healing never began.

Here no limit spans scan and healing: a check that hangs is ended by its own limit, what the others found counts, and
it is healed in the same turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.target import CheckSelection, Target
from compliance_agent.engine.context import Limits
from tests.support.turns import RUNBOOK, make_world

if TYPE_CHECKING:
    from pathlib import Path

HEALS: Final = "TEST-FILE-001"
HANGS: Final = "TEST-AAAA-001"
"""Sorts, and therefore runs, before the other."""


def test_a_check_that_hangs_leaves_time_to_heal_what_another_found(tmp_path: Path) -> None:
    world = make_world(tmp_path, HEALS)
    text = RUNBOOK.format(id=HANGS, remedy="true", path=tmp_path / HANGS)
    text = text.replace('ca_fact text "$(cat "$PARAM_PATH" 2>/dev/null)"', "sleep 300")
    text = text.replace("detect:\n  privilege: user", "detect:\n  privilege: user\n  timeout_s: 1")
    (tmp_path / "content" / f"{HANGS}.yaml").write_text(text, encoding="utf-8")
    catalogue = load_catalogue([builtin_runbooks_path(), tmp_path / "content"])
    world.with_engine(catalogue=catalogue, limits=Limits(scan_timeout_s=20))
    world.target = Target("front-desk", "clinic", checks=CheckSelection(include=(HANGS, HEALS)))
    world.say(HEALS, "bad")
    turn = world.turn()
    verdicts = {one.check_id: one.verdict for one in turn.scan.observations}
    assert verdicts == {HANGS: Verdict.ERROR, HEALS: Verdict.FAIL}
    assert [outcome.kind for outcome in turn.outcomes] == [OutcomeKind.REMEDIATED]
