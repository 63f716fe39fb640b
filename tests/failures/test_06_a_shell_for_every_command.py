"""Failure 6: every heal made a new executor and left it open; after some 15 commands the machine refused them all.

Here all checks of a machine travel in one session, and whatever happens in a session, it is closed at its end. Issue 7
holds the WinRM transport, whose machines count shells, to the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.target import TransportKind
from compliance_agent.errors import TransportError, TransportFault
from compliance_agent.testing import FakeAnswer, FakeTransport, bundle_output
from tests.support.turns import REMEDIES, make_world

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.target import Target

HOST = "hostname=srv\nos_id=debian\nos_like=\nos_version=12\nkernel=6.1\nlogin_user=root\n"
HOST += "is_root=true\nsystemd=true\ncontainer=false\n"


def drifted(_target: Target, script: str) -> FakeAnswer:
    """Answer as a machine on which every check fails and no remedy helps."""
    steps = {"@host": (HOST, 0), **{f"{check}/0": ("text=bad\n", 0) for check in REMEDIES}}
    return FakeAnswer(bundle_output(script, {name: said for name, said in steps.items() if f"step {name} " in script}))


def test_all_checks_of_a_machine_travel_in_one_session(tmp_path: Path) -> None:
    world = make_world(tmp_path, *REMEDIES)
    transport = FakeTransport(drifted)
    world.with_engine(transports={TransportKind.LOCAL: transport})
    assert len(world.turn(dry_run=True).scan.observations) == len(REMEDIES)
    assert len(transport.opened) == 1


def test_after_twenty_heals_no_session_is_open(tmp_path: Path) -> None:
    world = make_world(tmp_path, *REMEDIES)
    transport = FakeTransport(drifted)
    world.with_engine(transports={TransportKind.LOCAL: transport})
    for _ in range(20):
        world.turn()
    assert len(transport.opened) > 20
    assert transport.open_sessions == 0


def test_a_session_that_broke_is_closed_too(tmp_path: Path) -> None:
    world = make_world(tmp_path, *REMEDIES)
    lost = TransportError(TransportFault.CLOSED, "the line was lost", retryable=True)
    transport = FakeTransport(lambda _target, _script: FakeAnswer(error=lost))
    world.with_engine(transports={TransportKind.LOCAL: transport})
    for _ in range(20):
        assert world.turn().scan.unreached is not None
    assert (len(transport.opened), transport.open_sessions) == (20, 0)
