"""Failure 40: the watchdog was fed from the work loop, so a busy agent was killed every minute.

Here work has threads of its own: while every worker is busy the schedule goes on, keeps house, reports and obeys. The
unit sets no watchdog that work would have to feed; issue 8 may set one, fed by the schedule that is proved here.
"""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

from compliance_agent.app.daemon import Daemon, Schedule, Work
from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.errors import TransportError, TransportFault
from compliance_agent.testing import FakeClock
from tests.support.turns import Recorder, make_world

WAIT_S = 60
MODULE = Path(__file__).parents[2] / "nix" / "modules" / "compliance-agent.nix"


class BusyMachine:
    """Keeps whoever speaks to it busy until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.busy_in: list[str] = []

    def open(self, target: Target, **_: object) -> object:
        self.busy_in.append(threading.current_thread().name)
        if threading.current_thread().name.startswith("turn"):  # elsewhere nobody is left to let it go
            self.let_go.wait(WAIT_S)
        raise TransportError(TransportFault.REFUSED, f"{target.target_id} has had enough", retryable=True)


def test_while_every_worker_is_busy_house_is_kept_and_reports_are_sent(tmp_path: Path) -> None:
    world, machine = make_world(tmp_path), BusyMachine()
    world.with_engine(transports={TransportKind.LOCAL: machine})
    kept, sent = threading.Event(), threading.Event()
    signs: list[str] = []

    def look() -> None:
        """Let the machine go as soon as both have happened while it was busy."""
        if kept.is_set() and sent.is_set() and machine.busy_in:
            signs.append("alive")
            daemon.stop()
            machine.let_go.set()

    def keep(_now: object) -> None:
        kept.set()
        look()

    def send(_now: object) -> None:
        sent.set()
        look()

    ticks = iter(range(0, 10_000_000, 3))
    daemon = Daemon(
        work=Work(world.engine, [Target("srv01", "clinic")], Schedule(1, 0.0, 1)),
        clock=FakeClock(),
        monotonic=lambda: float(next(ticks)),
        rng=Random(7),  # noqa: S311 - jitter is no secret
        events=Recorder(),
        housekeeping=keep,
        sending=send,
    )
    stop = threading.Timer(WAIT_S, daemon.stop)
    stop.start()
    daemon.run()
    stop.cancel()
    stop.join()
    assert signs
    assert [name[:4] for name in machine.busy_in] == ["turn"]


def test_nothing_in_the_unit_kills_an_agent_that_is_merely_busy() -> None:
    text = MODULE.read_text(encoding="utf-8")
    assert "Restart = " in text
    for killer in ("WatchdogSec", "RuntimeMaxSec", "WatchdogSignal"):
        assert killer not in text
    assert 'TimeoutStopSec = "15min"' in text
