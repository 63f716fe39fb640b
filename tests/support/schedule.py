"""A daemon whose time is the test's: turns run at once, and time goes on only while the daemon pauses."""

from __future__ import annotations

from concurrent.futures import Future
from random import Random
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from compliance_agent.app import daemon as module
from compliance_agent.app.daemon import Daemon, Schedule, Work
from compliance_agent.testing import FakeClock
from tests.support.turns import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.cycle import Turn


class _Pool:
    """Does the work at once, in the thread that asks."""

    def __init__(self, _workers: int, *, thread_name_prefix: str) -> None:
        del thread_name_prefix

    def submit(self, work: Callable[..., None], *arguments: Any) -> Future[None]:
        future: Future[None] = Future()
        work(*arguments)
        future.set_result(None)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class _Pause:
    """Lets time go on in steps of at least ``step_s`` and stops the daemon at the end."""

    def __init__(self, until_s: float, step_s: float) -> None:
        self.now_s, self.until_s, self.step_s = 0.0, until_s, step_s
        self.daemon: Any = None

    def wait(self, pause_s: float) -> None:
        self.now_s += max(pause_s, self.step_s)
        if self.now_s >= self.until_s:
            self.daemon.stop()


def run_schedule(
    engine: Engine,
    targets: Sequence[Target],
    *,
    until_s: float,
    interval_s: float = 120,
    step_s: float = 10,
    **options: Any,
) -> list[tuple[float, Turn]]:
    """Run the daemon for ``until_s`` seconds of its own time; return when each turn was, and the turn."""
    turns: list[tuple[float, Turn]] = []
    pause = _Pause(until_s, step_s)
    with patch.object(module, "ThreadPoolExecutor", _Pool):
        pause.daemon = Daemon(
            work=Work(engine, targets, Schedule(interval_s, 0.0, 4)),
            clock=FakeClock(),
            monotonic=lambda: pause.now_s,
            rng=Random(7),  # noqa: S311 - jitter is no secret
            events=Recorder(),
            after_turn=lambda turn: turns.append((pause.now_s, turn)),
            _pause=pause,  # type: ignore[arg-type] # only wait() is asked for
            **options,
        )
        pause.daemon.run()
    return turns
