"""Failure 10: machines refused the login, and were asked again at every cycle: 3,194 failures in 14 days.

Here a refused login is no drift and no failed heal, and the machine is asked ever more seldom, up to once an hour, so
that a wrong password locks no account. Issue 7 does the same for NTLM and Kerberos.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.errors import TransportError, TransportFault
from compliance_agent.testing import FakeTransport
from tests.support.schedule import run_schedule
from tests.support.turns import make_world

if TYPE_CHECKING:
    from pathlib import Path

DAY_S: Final = 86_400
REFUSED: Final = TransportError(TransportFault.AUTH_FAILED, "the login was refused", hint="check the password")


def test_in_a_day_a_machine_that_refuses_is_asked_thirty_times_instead_of_720(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.with_engine(transports={TransportKind.LOCAL: FakeTransport(faults={"ws01": REFUSED})})
    turns = run_schedule(world.engine, [Target("ws01", "clinic")], until_s=DAY_S, step_s=30)
    gaps = [later - sooner for (sooner, _), (later, _) in pairwise(turns)]
    assert gaps == sorted(gaps)
    assert 3_600 <= gaps[-1] <= 3_720
    assert 24 <= len(turns) <= 30
    assert world.store.counts().attempts == 0
    assert all(turn.outcomes == () for _, turn in turns)


def test_a_machine_with_another_host_key_is_asked_as_seldom(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    changed = TransportError(TransportFault.HOST_KEY_CHANGED, "its key has changed", hint="find out why")
    world.with_engine(transports={TransportKind.LOCAL: FakeTransport(faults={"ws01": changed})})
    assert 24 <= len(run_schedule(world.engine, [Target("ws01", "clinic")], until_s=DAY_S, step_s=30)) <= 30


def test_the_machine_beside_it_is_asked_as_often_as_ever(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    gone = TransportError(TransportFault.REFUSED, "nobody listens there", retryable=True)
    transport = FakeTransport(faults={"ws01": REFUSED, "ws02": gone})
    world.with_engine(transports={TransportKind.LOCAL: transport})
    turns = run_schedule(world.engine, [Target("ws01", "clinic"), Target("ws02", "clinic")], until_s=7_200)
    asked = [turn.scan.target.target_id for _, turn in turns]
    assert asked.count("ws01") < 10
    assert asked.count("ws02") == 60
