"""Failure 5: a domain controller needed 110 s and got 55, needed 120 s and got 60; it never came to its end.

Here a session gets the time of its steps, a step its own limit, and both are settings or content, not constants of the
transport. Issue 7 gives the Windows runbooks their limits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.bundle import QUICK_S, BundleStep
from compliance_agent.domain.target import TransportKind
from compliance_agent.engine.context import Limits
from compliance_agent.engine.scan import run_bundle
from compliance_agent.testing import FakeAnswer, FakeTransport
from tests.support.turns import make_world

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("needs_s", "limit_s"), [(110, Limits().scan_timeout_s), (600, Limits().change_timeout_s)])
def test_a_slow_machine_is_waited_for_as_long_as_its_step_says(tmp_path: Path, needs_s: int, limit_s: float) -> None:
    world = make_world(tmp_path)
    transport = FakeTransport(lambda _target, _script: FakeAnswer(takes_s=needs_s))
    world.with_engine(transports={TransportKind.LOCAL: transport})
    with world.engine.open(world.target) as session:
        steps = [BundleStep("slow", "true", timeout_s=needs_s)]
        _, run = run_bundle(world.engine, session, steps, timeout_s=limit_s)
        assert not run.timed_out
    (script,) = [script for _, script in transport.scripts]
    assert re.search(rf"(?m)^step slow {needs_s} ", script)


def test_a_step_without_end_does_not_hold_the_session_for_ever(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    transport = FakeTransport(lambda _target, _script: FakeAnswer(takes_s=1e9))
    world.with_engine(transports={TransportKind.LOCAL: transport})
    with world.engine.open(world.target) as session:
        _, run = run_bundle(world.engine, session, [BundleStep("hangs", "true", timeout_s=30)], timeout_s=120)
    assert run.timed_out
    assert run.duration_s <= 30 + 10 + QUICK_S  # its own time, some slack, and the pass before it
