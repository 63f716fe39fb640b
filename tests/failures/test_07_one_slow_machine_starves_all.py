"""Failure 7: a synchronous WinRM call froze the event loop, and the SSH machines starved.

Here every target has a turn of its own in a pool of workers: one that hangs holds up nobody.
"""

from __future__ import annotations

import threading
import time
from random import Random
from typing import TYPE_CHECKING

from compliance_agent.app.daemon import Daemon, Schedule, Work
from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.errors import TransportError, TransportFault
from compliance_agent.testing import FakeClock
from tests.support.turns import Recorder, make_world

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.engine.cycle import Turn

WAIT_S = 60


class Machines:
    """One that hangs until it is let go, beside one that refuses at once."""

    def __init__(self) -> None:
        self.schedule, self.let_go = threading.current_thread(), threading.Event()
        self.was_let_go: list[bool] = []

    def open(self, target: Target, **_: object) -> object:
        if target.target_id == "frozen":
            # In the schedule's own thread nobody could let it go any more: there is nothing to wait for.
            in_the_way = threading.current_thread() is self.schedule
            self.was_let_go.append(not in_the_way and self.let_go.wait(WAIT_S))
        raise TransportError(TransportFault.REFUSED, "nobody listens there", retryable=True)


def test_while_one_machine_hangs_the_other_has_turn_after_turn(tmp_path: Path) -> None:
    world, machines = make_world(tmp_path), Machines()
    world.with_engine(transports={TransportKind.LOCAL: machines})
    turns: list[str] = []

    def after_turn(turn: Turn) -> None:
        turns.append(turn.scan.target.target_id)
        if turns.count("brisk") == 3:
            machines.let_go.set()
            daemon.stop()

    targets = [Target("frozen", "clinic"), Target("brisk", "clinic")]
    daemon = Daemon(
        work=Work(world.engine, targets, Schedule(0.01, 0.0, 2)),
        clock=FakeClock(),
        monotonic=time.monotonic,
        rng=Random(7),  # noqa: S311 - jitter is no secret
        events=Recorder(),
        after_turn=after_turn,
    )
    machines.schedule = threading.current_thread()
    stop = threading.Timer(WAIT_S, daemon.stop)
    stop.start()
    daemon.run()
    stop.cancel()
    stop.join()
    assert turns[:3] == ["brisk"] * 3
    assert machines.was_let_go == [True]
