"""The daemon: one turn per target, again and again, each target on its own clock.

A slow or dead target never delays another: every target has at most one turn in flight, in a pool
of workers, and a turn that outlasts its interval is followed by the next one at once. A slow alert
channel or control plane delays no turn either: housekeeping, sending and syncing have threads of their own.
A stop lets what has begun finish, and begins nothing more.
"""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from compliance_agent.domain.target import Platform
from compliance_agent.engine.cycle import run_turn
from compliance_agent.errors import TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from datetime import datetime
    from random import Random

    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.cycle import Turn
    from compliance_agent.engine.ports import Clock, Events

_POLL_S = 0.2
"""Longest wait between two looks at the schedule, in seconds."""

_REFUSED_MAX_S = 3_600.0
"""Longest pause between two tries of a login that is refused, in seconds."""

_SILENT_MAX_S = 600.0
"""Longest pause between two tries of a machine that lets us wait, in seconds."""

_SILENT_TRIES = 3
"""So often a machine may let us wait before it is asked more seldom: each try holds a worker until a deadline."""

_SHUT = frozenset({TransportFault.AUTH_FAILED, TransportFault.HOST_KEY_CHANGED, TransportFault.HOST_KEY_UNKNOWN})
"""What only a person can mend; trying on locks accounts, or speaks to an impostor."""

_RELOAD_CHECK_S = 2.0
"""How often the settings are looked at for changes, in seconds."""


class Monotonic(Protocol):
    """Seconds that never go back; a wrong or jumping wall clock must not stop the schedule."""

    def __call__(self) -> float:
        """Return seconds since some fixed moment."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """When targets are scanned.

    Attributes:
        interval_s: Seconds between the start of two turns of one target.
        windows_interval_s: The same for a Windows target.
        jitter: Share of the interval by which each turn may come early or late, 0 to 0.5, so that
            a fleet does not beat in step.
        workers: Most turns at once; fixed for the daemon's life.

    """

    interval_s: float = 120.0
    jitter: float = 0.1
    workers: int = 8
    windows_interval_s: float = 300.0

    def of(self, target: Target) -> float:
        """Return the seconds between the start of two turns of this target."""
        return self.windows_interval_s if target.platform is Platform.WINDOWS else self.interval_s


@dataclass(frozen=True, slots=True)
class Work:
    """What the daemon works with; replaced as a whole when the settings change."""

    engine: Engine
    targets: Sequence[Target]
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(slots=True)
class _Slot:
    """One target's place in the schedule; ``due_s`` is infinite when no further turn is to follow."""

    target: Target
    due_s: float
    running: Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        return self.running is not None and not self.running.done()

    @property
    def is_over(self) -> bool:
        return self.due_s == math.inf and not self.is_busy


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A target that refused us or let us wait: how long to leave it alone, until when, and how often by now."""

    pause_s: float
    until_s: float
    times: int = 1


@dataclass
class Daemon:
    """Runs turns until told to stop.

    Attributes:
        work: Engine, targets and when.
        clock: Wall time; read once a turn.
        monotonic: Time of the schedule.
        rng: Chance for jitter.
        events: Listener.
        dry_run: End every turn at the plan.
        after_turn: Called with each turn, from the worker's thread.
        housekeeping: Called about every two seconds, one call at a time, in a thread of its own, and
            once more at the end: delivers alerts, prunes.
        sending: The same for reports to the control plane, so that a slow one delays no alert; not at the end,
            since what waits is on the disk.
        syncing: The same for rules from the control plane.
        reload: Returns new work when the settings changed, else ``None``; errors are its own affair.

    """

    work: Work
    clock: Clock
    monotonic: Monotonic
    rng: Random
    events: Events
    dry_run: bool = False
    after_turn: Callable[[Turn], None] = lambda _turn: None
    housekeeping: Callable[[datetime], None] = lambda _now: None
    sending: Callable[[datetime], None] = lambda _now: None
    syncing: Callable[[datetime], None] = lambda _now: None
    reload: Callable[[], Work | None] = lambda: None
    _stopping: bool = False
    _pause: threading.Event = field(default_factory=threading.Event)
    _chores: dict[str, Future[None]] = field(default_factory=dict)
    _refused: dict[str, _Refusal] = field(default_factory=dict)

    def stop(self) -> None:
        """Ask for a stop; safe in a signal handler (a plain flag: setting an Event there can deadlock)."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Tell whether a stop was asked for."""
        return self._stopping

    def run(self, *, once: bool = False) -> None:
        """Run until ``stop``; with ``once``, one turn of each target."""
        slots = self._first_slots(spread=not once)
        next_check_s = self.monotonic()
        with (
            ThreadPoolExecutor(1, thread_name_prefix="house") as house,
            ThreadPoolExecutor(1, thread_name_prefix="sender") as sender,
            ThreadPoolExecutor(1, thread_name_prefix="syncer") as syncer,
            ThreadPoolExecutor(self.work.schedule.workers, thread_name_prefix="turn") as pool,
        ):
            while not self._stopping and (slots or not once):
                now_s = self.monotonic()
                if now_s >= next_check_s:
                    next_check_s = now_s + _RELOAD_CHECK_S
                    self._start_chore("housekeeping", self._keep_house, house)
                    self._start_chore("sending", self._send, sender)
                    self._start_chore("syncing", self._sync, syncer)
                    slots = slots if once else self._take_up_changes(slots)
                self._start_due(pool, slots, now_s, once=once)
                slots = {name: slot for name, slot in slots.items() if not slot.is_over}
                self._pause.wait(self._pause_s(slots))
            self.events.emit("daemon.stopping", running=sum(slot.is_busy for slot in slots.values()))
        self._keep_house()

    def _first_slots(self, *, spread: bool) -> dict[str, _Slot]:
        """Give every target its first turn: spread over a tenth of the interval, the first one at once."""
        now_s, targets = self.monotonic(), self.work.targets
        step_s = self.work.schedule.interval_s * 0.1 / len(targets) if targets and spread else 0.0
        return {target.target_id: _Slot(target, now_s + step_s * index) for index, target in enumerate(targets)}

    def _start_due(self, pool: ThreadPoolExecutor, slots: dict[str, _Slot], now_s: float, *, once: bool) -> None:
        for slot in slots.values():
            if not slot.is_busy and self._next_s(slot) <= now_s:
                slot.due_s = math.inf if once else now_s + self._interval_s(slot.target)
                slot.running = pool.submit(self._turn, self.work.engine, slot.target)

    def _next_s(self, slot: _Slot) -> float:
        """Return when the target's next turn may begin: when it is due, and no refused login keeps it away."""
        refusal = self._refused.get(slot.target.target_id)
        return slot.due_s if refusal is None else max(slot.due_s, refusal.until_s)

    def _interval_s(self, target: Target) -> float:
        jitter = self.work.schedule.jitter
        return self.work.schedule.of(target) * self.rng.uniform(1 - jitter, 1 + jitter)

    def _pause_s(self, slots: dict[str, _Slot]) -> float:
        idle = [self._next_s(slot) for slot in slots.values() if not slot.is_busy]
        return min(_POLL_S, max(0.0, min(idle) - self.monotonic())) if idle else _POLL_S

    def _turn(self, engine: Engine, target: Target) -> None:
        if self._stopping:  # it waited for a free worker, and has not begun
            return
        try:
            turn = run_turn(
                engine,
                target,
                now=self.clock.read(),
                dry_run=self.dry_run,
                keep_going=lambda: not self._stopping,
            )
            self._remember_refusal(turn)
            self.after_turn(turn)
        except Exception as error:  # noqa: BLE001 - one target's trouble must not end the daemon; it is told in full
            self.events.emit("turn.failed", target=target.target_id, error=f"{type(error).__name__}: {error}")

    def _remember_refusal(self, turn: Turn) -> None:
        """Ask a target that is shut ever more seldom: a wrong password, repeated, locks the account.

        So too, after some tries, one that lets us wait. One that answers at once, if only to say no, costs nobody
        anything, and is asked as often as ever.
        """
        name = turn.scan.target.target_id
        fault = turn.scan.unreached.fault if turn.scan.unreached else None
        before = self._refused.get(name)
        if fault is TransportFault.TIMED_OUT:
            self._refused[name] = self._after_silence(before)
            return
        if fault not in _SHUT:
            self._refused.pop(name, None)
            return
        before = before if before and before.pause_s else None
        pause_s = min(_REFUSED_MAX_S, 2 * (before.pause_s if before else self.work.schedule.interval_s))
        self._refused[name] = _Refusal(pause_s, self.monotonic() + pause_s)

    def _after_silence(self, before: _Refusal | None) -> _Refusal:
        times = before.times + 1 if before else 1
        interval_s = self.work.schedule.interval_s
        doubled_s = interval_s * 2 ** min(times - _SILENT_TRIES, 30) if times > _SILENT_TRIES else 0.0
        pause_s = min(doubled_s, max(_SILENT_MAX_S, interval_s))
        return _Refusal(pause_s, self.monotonic() + pause_s, times)

    def _start_chore(self, name: str, chore: Callable[[], None], pool: ThreadPoolExecutor) -> None:
        before = self._chores.get(name)
        if before is None or before.done():
            self._chores[name] = pool.submit(chore)

    def _keep_house(self) -> None:
        self._do("housekeeping", self.housekeeping)

    def _send(self) -> None:
        self._do("sending", self.sending)

    def _sync(self) -> None:
        self._do("syncing", self.syncing)

    def _do(self, name: str, chore: Callable[[datetime], None]) -> None:
        try:
            chore(self.clock.now())
        except Exception as error:  # noqa: BLE001 - an undeliverable alert or a full disk must not end the daemon
            self.events.emit(f"{name}.failed", error=f"{type(error).__name__}: {error}")

    def _take_up_changes(self, slots: dict[str, _Slot]) -> dict[str, _Slot]:
        """Take up changed settings; targets that stay keep their schedule, and none gets two turns at once."""
        try:
            changed = self.reload()
        except Exception as error:  # noqa: BLE001 - whatever stands in the files, the last good settings go on
            self.events.emit("reload.failed", error=f"{type(error).__name__}: {error}")
            changed = None
        if changed is None:
            return slots
        self._refused.clear()  # a person has been here; perhaps the login is mended
        latest_s = self.monotonic() + changed.schedule.interval_s
        kept: dict[str, _Slot] = {}
        for target in changed.targets:
            old = slots.get(target.target_id)
            if old is None or old.due_s == math.inf:
                kept[target.target_id] = _Slot(target, self.monotonic(), old.running if old else None)
            else:
                sooner = changed.schedule.interval_s < self.work.schedule.interval_s
                due_s = min(old.due_s, latest_s) if sooner else old.due_s
                kept[target.target_id] = _Slot(target, due_s, old.running)
        self.work = changed
        self.events.emit("daemon.reloaded", targets=len(kept), rules=len(changed.engine.rules))
        gone = {name: slot for name, slot in slots.items() if name not in kept and slot.is_busy}
        return kept | {name: _Slot(slot.target, math.inf, slot.running) for name, slot in gone.items()}
