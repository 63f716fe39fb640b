"""Failure 4: after a timeout the same WinRM session was used again, and everything on it failed.

Here no session outlives its stage: scan, remedy and verification each open their own, and one that broke is closed
and never seen again. Issue 7 holds the WinRM transport to the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.outcome import OutcomeKind
from tests.support.turns import make_world

if TYPE_CHECKING:
    from pathlib import Path

HEALS = "TEST-FILE-001"


def test_after_a_session_broke_the_next_turn_has_one_of_its_own(tmp_path: Path) -> None:
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    world.transport.cuts = {1}
    assert world.turn().scan.unreached is not None
    kinds = [outcome.kind for outcome in world.turn().outcomes]
    assert kinds == [OutcomeKind.REMEDIATED]


def test_scan_remedy_and_verification_share_no_session(tmp_path: Path) -> None:
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    world.outcome()
    assert world.transport.opens == 3
