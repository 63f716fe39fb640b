"""The daemon's schedule, with time and workers in the test's hand: nothing here waits or races."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.app import daemon as module
from compliance_agent.app.daemon import Daemon, Schedule, Work
from compliance_agent.domain.target import Target
from compliance_agent.engine.cycle import Turn
from compliance_agent.engine.scan import TargetScan, Unreached
from compliance_agent.errors import TransportFault
from compliance_agent.testing import FakeClock
from tests.support.turns import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S = 10.0
POLL_S = 0.2


@dataclass
class Engine:
    """Stands for an engine; the daemon only hands it on."""

    name: str = "first"
    rules: tuple[str, ...] = ()


def a_turn(target: Target, fault: TransportFault | None = None) -> Turn:
    unreached = Unreached(fault, "why") if fault else None
    return Turn(TargetScan(target, None, unreached=unreached), (), (), dry_run=False, at=FakeClock().now())


@dataclass
class World:
    """A daemon whose time goes on only while it pauses, and whose workers are this object."""

    targets: list[str]
    until_s: float
    slow: set[str] = field(default_factory=set)
    schedule: Schedule = field(default_factory=lambda: Schedule(INTERVAL_S, 0.0, 4))
    now_s: float = 1000.0
    started: dict[str, list[float]] = field(default_factory=dict)
    ran: list[tuple[str, str]] = field(default_factory=list)
    waiting: dict[str, list[tuple[Future[None], Callable[[], None]]]] = field(default_factory=dict)
    at: dict[float, Callable[[], None]] = field(default_factory=dict)
    on_turn: Callable[[str], None] = lambda _target: None
    events: Recorder = field(default_factory=Recorder)
    daemon: Any = None
    began_s: float = 1000.0
    faults: dict[str, TransportFault] = field(default_factory=dict)
    pauses: int = 0

    def run(self, *, once: bool = False, rng: Any = None, **options: Any) -> World:
        self.daemon = Daemon(
            work=self.work(*self.targets),
            clock=FakeClock(),
            monotonic=lambda: self.now_s,
            rng=rng or Random(7),  # noqa: S311 - jitter is no secret
            events=self.events,
            _pause=self,  # type: ignore[arg-type] # only wait() is asked for
            **options,
        )
        self.daemon.run(once=once)
        return self

    def work(self, *names: str, engine: str = "first", schedule: Schedule | None = None) -> Work:
        targets = [Target(name, "clinic") for name in names]
        return Work(Engine(engine), targets, schedule or self.schedule)  # type: ignore[arg-type] # a stub

    def seconds(self) -> float:
        return round(self.now_s - self.began_s, 6)

    def wait(self, pause_s: float) -> None:
        """Let time go on; this is the daemon's pause."""
        assert 0 <= pause_s <= POLL_S
        self.pauses += 1
        self.now_s += max(pause_s, 0.001)
        for moment in [moment for moment in self.at if moment <= self.seconds()]:
            self.at.pop(moment)()
        if self.seconds() >= self.until_s:
            self.daemon.stop()

    def submit(self, pool: str, work: Callable[..., None], *arguments: Any) -> Future[None]:
        """Do the work at once, or when ``release`` says so; this is the pool of workers."""
        future: Future[None] = Future()
        name = arguments[1].target_id if arguments else pool
        self.started.setdefault(name, []).append(self.seconds())

        def do() -> None:
            work(*arguments)
            future.set_result(None)

        if name in self.slow:
            self.waiting.setdefault(name, []).append((future, do))
        else:
            do()
        return future

    def release(self, name: str) -> None:
        for _, do in self.waiting.pop(name, []):
            do()

    def in_flight(self, name: str) -> int:
        return sum(not future.done() for future, _ in self.waiting.get(name, []))


@pytest.fixture
def world(monkeypatch):
    """Return a maker of worlds."""
    made: list[World] = []

    class Pool:
        def __init__(self, _workers: int, *, thread_name_prefix: str) -> None:
            self.prefix = thread_name_prefix

        def submit(self, *work: Any) -> Future[None]:
            return made[-1].submit(self.prefix, *work)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            for name in list(made[-1].waiting):
                made[-1].release(name)

    def run_turn(engine: Engine, target: Target, **_options: Any) -> Turn:
        made[-1].ran.append((target.target_id, engine.name))
        made[-1].on_turn(target.target_id)
        return a_turn(target, made[-1].faults.get(target.target_id))

    def make(*targets: str, until_s: float = 60.0, **options: Any) -> World:
        made.append(World(list(targets), until_s, **options))
        return made[-1]

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(module, "run_turn", run_turn)
    return make


def test_each_target_has_a_turn_in_each_interval(world):
    found = world("a", "b", until_s=35).run()
    assert [len(found.started[name]) for name in "ab"] == [4, 4]


def test_the_first_turn_comes_at_once_and_the_others_within_a_tenth_of_the_interval(world):
    found = world("a", "b", "c", "d", until_s=5).run()
    firsts = [found.started[name][0] for name in "abcd"]
    assert firsts[0] == 0
    assert firsts == sorted(firsts)
    assert 0.7 <= firsts[-1] <= 1.0


def test_a_slow_target_never_delays_another(world):
    alone = world("b", until_s=60).run().started["b"]
    beside = world("b", "slow", until_s=60, slow={"slow"}).run()
    assert beside.started["b"] == alone
    assert len(beside.started["slow"]) == 1


def test_a_target_has_at_most_one_turn_in_flight_and_the_next_follows_at_once(world):
    found = world("slow", until_s=36, slow={"slow"})
    found.at[25.0] = lambda: found.release("slow")
    found.run()
    first, second = found.started["slow"]
    assert first == 0
    assert 25 <= second <= 25 + 2 * POLL_S


@given(seed=st.integers(), jitter=st.floats(0, 0.5))
def test_jitter_stays_within_its_share_of_the_interval(seed, jitter):
    schedule = Schedule(INTERVAL_S, jitter, 1)
    made = Daemon(
        work=Work(Engine(), [], schedule),  # type: ignore[arg-type] # a stub
        clock=FakeClock(),
        monotonic=lambda: 0.0,
        rng=Random(seed),  # noqa: S311 - jitter is no secret
        events=Recorder(),
    )
    assert INTERVAL_S * (1 - jitter) - 1e-9 <= made._interval_s(Target("t", "site")) <= INTERVAL_S * (1 + jitter) + 1e-9


@pytest.mark.parametrize(("share", "gap_s"), [(0.0, 5.0), (0.5, 10.0), (1.0, 15.0)])
def test_the_drawn_jitter_is_the_gap_between_turns(world, share, gap_s):
    class Drawn:
        def uniform(self, low: float, high: float) -> float:
            drawn: float = low + (high - low) * share
            return drawn

    found = world("a", until_s=50, schedule=Schedule(INTERVAL_S, 0.5, 1)).run(rng=Drawn())
    starts = found.started["a"]
    gaps = [after - before for before, after in pairwise(starts)]
    assert gaps == pytest.approx([gap_s] * len(gaps), abs=POLL_S)
    assert len(gaps) >= 2


def test_a_failing_turn_is_told_and_the_daemon_goes_on(world):
    found = world("bad", "good", until_s=25)

    def fail(target: str) -> None:
        if target == "bad":
            raise RuntimeError("the disk is full")

    found.on_turn = fail
    found.run()
    assert [len(found.started[name]) for name in ("bad", "good")] == [3, 3]
    told = [fields for name, fields in found.events.events if name == "turn.failed"]
    assert told == [{"target": "bad", "error": "RuntimeError: the disk is full"}] * 3


def test_trouble_after_a_turn_is_told_like_trouble_in_it(world):
    def fail(_turn: object) -> None:
        raise ValueError("no log")

    found = world("a", until_s=5).run(after_turn=fail)
    assert "turn.failed" in found.events.names()


def test_every_turn_is_reported(world):
    seen: list[Turn] = []
    world("a", until_s=15).run(after_turn=seen.append)
    assert [turn.scan.target.target_id for turn in seen] == ["a"] * 2


def test_failing_housekeeping_is_told_and_the_daemon_goes_on(world):
    def fail(_now: object) -> None:
        raise OSError("no space left")

    found = world("a", until_s=15).run(housekeeping=fail)
    assert len(found.started["a"]) == 2
    told = [fields for name, fields in found.events.events if name == "housekeeping.failed"]
    assert len(told) > 5
    assert told[-1] == {"error": "OSError: no space left"}


def test_housekeeping_comes_every_two_seconds_and_once_more_at_the_end(world):
    calls: list[object] = []
    found = world("a", until_s=9).run(housekeeping=calls.append)
    gaps = [after - before for before, after in pairwise(found.started["house"])]
    assert gaps == pytest.approx([2.0] * 4, abs=POLL_S)
    assert len(calls) == len(found.started["house"]) + 1


def test_slow_housekeeping_delays_no_turn_and_is_never_doubled(world):
    found = world("a", until_s=35, slow={"house"}).run()
    assert len(found.started["a"]) == 4
    assert len(found.started["house"]) == 1


def test_slow_sending_delays_neither_a_turn_nor_housekeeping_and_is_never_doubled(world):
    found = world("a", until_s=35, slow={"sender"}).run()
    assert len(found.started["a"]) == 4
    assert len(found.started["house"]) > 10
    assert len(found.started["sender"]) == 1


def test_failing_sending_is_told_and_the_daemon_goes_on(world):
    def fail(_now: object) -> None:
        raise OSError("no route")

    found = world("a", until_s=15).run(sending=fail)
    told = [fields for name, fields in found.events.events if name == "sending.failed"]
    assert len(told) > 5
    assert told[-1] == {"error": "OSError: no route"}


def test_once_is_one_turn_of_each_target_whatever_the_interval(world):
    found = world("a", "b", "slow", until_s=1000, slow={"slow"})
    found.at[30.0] = lambda: found.release("slow")
    found.run(once=True)
    assert {
        name: len(starts) for name, starts in found.started.items() if name not in {"house", "sender", "syncer"}
    } == {
        "a": 1,
        "b": 1,
        "slow": 1,
    }
    assert 30 <= found.seconds() <= 31


def test_once_without_targets_ends_at_once(world):
    assert world(until_s=1000).run(once=True).seconds() < 1


def test_without_targets_it_waits_for_some(world):
    found = world(until_s=10)
    pending = [found.work("late")]
    found.run(reload=lambda: pending.pop() if pending and found.seconds() > 5 else None)
    assert len(found.started["late"]) == 1


def test_a_reload_keeps_the_schedule_of_targets_that_stay(world):
    alone = world("a", until_s=45).run().started["a"]
    found = world("a", until_s=45)
    pending = [found.work("a", "b", engine="second")]
    found.run(reload=lambda: pending.pop() if pending and found.seconds() > 13 else None)
    assert found.started["a"] == alone
    assert 13 < found.started["b"][0] < 16
    assert found.ran[0] == ("a", "first")
    assert found.ran[-1][1] == "second"
    assert ("daemon.reloaded", {"targets": 2, "rules": 0}) in found.events.events


def test_a_target_taken_out_has_no_further_turn(world):
    found = world("a", "b", until_s=45)
    pending = [found.work("b")]
    found.run(reload=lambda: pending.pop() if pending and found.seconds() > 13 else None)
    assert len(found.started["a"]) == 2
    assert len(found.started["b"]) == 5


def test_a_target_taken_out_and_put_back_while_its_turn_runs_has_no_second_one_beside_it(world):
    found = world("slow", until_s=45, slow={"slow"})
    pending = [found.work("slow"), found.work()]
    most: list[int] = []

    def reload() -> Work | None:
        most.append(found.in_flight("slow"))
        return pending.pop() if pending and found.seconds() > 5 else None

    found.at[30.0] = lambda: found.release("slow")
    found.run(reload=reload)
    assert max(most) == 1
    assert found.started["slow"][0] == 0
    assert 30 <= found.started["slow"][1] <= 31


@pytest.mark.parametrize(("interval_s", "second_turn_s"), [(5.0, 7.0), (20.0, 10.0)])
def test_a_shorter_interval_counts_at_once_and_a_longer_one_from_the_next_turn_on(world, interval_s, second_turn_s):
    found = world("a", until_s=13)
    pending = [found.work("a", schedule=Schedule(interval_s, 0.0, 4))]
    found.run(reload=lambda: pending.pop() if pending and found.seconds() > 1 else None)
    assert found.started["a"][1] == pytest.approx(second_turn_s, abs=2 * POLL_S)


def test_once_takes_up_nothing(world):
    found = world("a", until_s=1000)
    found.run(once=True, reload=lambda: found.work("b"))
    assert "b" not in found.started


def test_after_a_stop_turns_that_wait_for_a_worker_do_not_begin(world):
    found = world("a", "waits", until_s=5, slow={"waits"}).run()
    assert found.started["waits"]
    assert [name for name, _ in found.ran] == ["a"]
    assert found.events.events[-1] == ("daemon.stopping", {"running": 1})


def test_a_turn_is_told_of_the_stop_and_of_the_dry_run(world, monkeypatch):
    seen: list[tuple[bool, bool]] = []
    found = world("a", until_s=5)

    def run_turn(_engine: object, target: Target, *, dry_run: bool, keep_going: Any, now: Any) -> Turn:
        before = keep_going()
        found.daemon.stop()
        seen.append((before, keep_going()))
        assert dry_run
        assert now == FakeClock().now()
        return a_turn(target)

    monkeypatch.setattr(module, "run_turn", run_turn)
    found.run(dry_run=True)
    assert seen == [(True, False)]
    assert found.daemon.stopping


def test_a_login_that_is_refused_is_tried_ever_more_seldom_up_to_a_limit(world, monkeypatch):
    monkeypatch.setattr(module, "_REFUSED_MAX_S", 100.0)
    found = world("a", "b", until_s=500)
    found.faults["a"] = TransportFault.AUTH_FAILED
    found.run()
    gaps = [round(later - earlier) for earlier, later in pairwise(found.started["a"])]
    assert gaps == [20, 40, 80, 100, 100, 100]
    assert len(found.started["b"]) == 50


def test_the_daemon_rests_while_a_refused_login_is_left_alone(world):
    found = world("a", until_s=100)
    found.faults["a"] = TransportFault.AUTH_FAILED
    found.run()
    assert found.pauses <= 100 / POLL_S + 2 * len(found.started["a"])


@pytest.mark.parametrize("fault", [TransportFault.HOST_KEY_CHANGED, TransportFault.HOST_KEY_UNKNOWN])
def test_a_host_key_that_is_not_trusted_is_asked_for_as_seldom(world, fault):
    found = world("a", until_s=200)
    found.faults["a"] = fault
    gaps = [round(later - earlier) for earlier, later in pairwise(found.run().started["a"])]
    assert gaps == [20, 40, 80]


def test_a_machine_that_lets_us_wait_is_asked_more_seldom_after_some_tries_up_to_a_limit(world, monkeypatch):
    monkeypatch.setattr(module, "_SILENT_MAX_S", 45.0)
    found = world("a", "b", until_s=260)
    found.faults["a"] = TransportFault.TIMED_OUT
    found.run()
    gaps = [round(later - earlier) for earlier, later in pairwise(found.started["a"])]
    assert gaps == [10, 10, 10, 20, 40, 45, 45, 45]
    assert len(found.started["b"]) == 26


def test_a_machine_that_answers_again_is_asked_as_often_as_before(world):
    found = world("a", until_s=200)
    found.faults["a"] = TransportFault.TIMED_OUT
    found.at[45.0] = found.faults.clear
    starts = [round(moment) for moment in found.run().started["a"]]
    assert starts[:8] == [0, 10, 20, 30, 50, 60, 70, 80]


def test_a_refusal_after_silence_begins_with_the_interval(world):
    found = world("a", until_s=100)
    found.faults["a"] = TransportFault.TIMED_OUT
    found.at[5.0] = lambda: found.faults.update(a=TransportFault.AUTH_FAILED)
    assert [round(moment) for moment in found.run().started["a"]] == [0, 10, 30, 70]


_AS_EVER = set(TransportFault) - {
    TransportFault.AUTH_FAILED,
    TransportFault.HOST_KEY_CHANGED,
    TransportFault.HOST_KEY_UNKNOWN,
    TransportFault.TIMED_OUT,
}


@pytest.mark.parametrize("fault", sorted(_AS_EVER))
def test_any_other_fault_keeps_the_schedule(world, fault):
    found = world("a", until_s=60)
    found.faults["a"] = fault
    assert len(found.run().started["a"]) == 6


def test_a_reload_forgets_refusals_and_so_does_a_login_that_works(world):
    found = world("a", until_s=100)
    found.faults["a"] = TransportFault.AUTH_FAILED
    changes = iter([None] * 20 + [found.work("a")])
    found.at[45.0] = found.faults.clear
    found.run(reload=lambda: next(changes, None))
    assert [round(moment) for moment in found.started["a"]][:3] == [0, 20, 40]
    assert found.started["a"][-1] > 90
