"""Fakes for every port, which pass the same contract suites as the real adapters. Only tests import this."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from compliance_agent.adapters.store import MemoryStore
from compliance_agent.domain.timeline import Reading
from compliance_agent.domain.uplink import Answer, EntryAnswer, EntryFate
from compliance_agent.engine.ports import RunResult
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from compliance_agent.adapters.store import QueuedAlert
    from compliance_agent.domain.outbox import OutboxEntry
    from compliance_agent.domain.target import Target

# transports ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FakeAnswer:
    """What a fake machine does with one script.

    Attributes:
        stdout: All that it would print; what arrives is cut as the port says.
        stderr: The same for standard error.
        exit_code: Of the shell; ``None`` for one that a signal ended.
        takes_s: How long it would run. No time really passes; beyond the limit it is timed out.
        error: Raised instead of an answer.
        blocks: Whether it runs until the session is closed from another thread.

    """

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = 0
    takes_s: float = 0.0
    error: TransportError | None = None
    blocks: bool = False


class FakeTransport:
    """A transport whose machines answer as told; keeps what was asked of it.

    Attributes:
        answer: Called with the target and the script of each run.
        faults: Target id to what ``open`` raises for it.
        scripts: Every script that was run, with its target's id, in order.
        opened: Target ids, one for each session.
        fresh: Target ids, one for each session that had to log in anew.
        kept: Target ids with a connection left from before; ``fresh`` does without.
        open_sessions: How many are open now.

    """

    def __init__(
        self,
        answer: Callable[[Target, str], FakeAnswer] = lambda _target, _script: FakeAnswer(),
        *,
        faults: Mapping[str, Exception] | None = None,
    ) -> None:
        """Start without sessions."""
        self.answer = answer
        self.faults = dict(faults or {})
        self.scripts: list[tuple[str, str]] = []
        self.opened: list[str] = []
        self.fresh: list[str] = []
        self.kept: set[str] = set()
        self.open_sessions = 0

    def open(self, target: Target, *, fresh: bool = False) -> FakeSession:
        """Return a session, or raise the target's fault."""
        if target.target_id in self.faults:
            raise self.faults[target.target_id]
        self.opened.append(target.target_id)
        if fresh:
            self.fresh.append(target.target_id)
        self.open_sessions += 1
        return FakeSession(self, target, kept=target.target_id in self.kept and not fresh)


class FakeSession:
    """A session with a fake machine."""

    def __init__(self, transport: FakeTransport, target: Target, *, kept: bool = False) -> None:
        """Belong to the transport that opened it."""
        self.kept = kept
        self._transport = transport
        self._target = target
        self._closed = threading.Event()

    def run(self, script: str, *, timeout_s: float, output_max_bytes: int) -> RunResult:
        """Return what the transport's ``answer`` says, cut and timed as the port demands."""
        if self._closed.is_set():
            raise TransportError(TransportFault.CLOSED, f"the session with {self._target.address} is closed")
        self._transport.scripts.append((self._target.target_id, script))
        answer = self._transport.answer(self._target, script)
        if answer.blocks and self._closed.wait(timeout_s):
            raise TransportError(TransportFault.CLOSED, f"the session with {self._target.address} was closed")
        if answer.error is not None:
            raise answer.error
        timed_out = answer.blocks or answer.takes_s > timeout_s
        return RunResult(
            exit_code=None if timed_out else answer.exit_code,
            stdout=answer.stdout[:output_max_bytes],
            stderr=answer.stderr[:output_max_bytes],
            truncated=max(len(answer.stdout), len(answer.stderr)) > output_max_bytes,
            timed_out=timed_out,
            duration_s=min(answer.takes_s, timeout_s),
        )

    def close(self) -> None:
        """End it; a second time does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            self._transport.open_sessions -= 1

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def bundle_output(script: str, steps: Mapping[str, tuple[str, int]]) -> bytes:
    """Return what a machine prints for a bundle (``domain.bundle``), framed with the bundle's own nonce.

    Args:
        script: The compiled bundle.
        steps: Step id to its standard output and exit code; a step that is left out never reports.

    """
    nonce = re.search(r"(?m)^N=([0-9a-f]+)$", script)
    if nonce is None:
        raise ValueError("the script is no bundle")
    parts = []
    for step_id, (stdout, code) in steps.items():
        lines = "".join(f"O {line}\n" for line in stdout.splitlines())
        parts.append(f"\n{nonce[1]} B {step_id}\n{lines}\nR {code}\n\n{nonce[1]} E {step_id} {min(code, 1)}\n")
    return "".join(parts).encode()


# state --------------------------------------------------------------------------------------------

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
"""When a fake clock starts."""


class FakeStore(MemoryStore):
    """The fake of ``engine.ports.Store``: the product's own store in memory, which passes the same contract."""


class FakeClock:
    """Clocks that stand until they are moved.

    Attributes:
        boot: Which boot it is, counted from 1.

    """

    def __init__(self, start: datetime = NOON) -> None:
        """Stand at ``start``, just booted."""
        self._now = start
        self._monotonic_s = 0.0
        self.boot = 1

    def now(self) -> datetime:
        """Return where it stands."""
        return self._now

    def read(self) -> Reading:
        """Return where all of them stand."""
        return Reading(self._now, f"boot-{self.boot}", self._monotonic_s)

    def advance(self, seconds: float) -> datetime:
        """Let time pass (the wall goes back, where negative) and return where the wall clock stands."""
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += max(0.0, seconds)
        return self._now

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self._now += timedelta(seconds=seconds)

    def reboot(self, seconds: float = 0.0) -> None:
        """Be off for a while, then boot: the monotonic clock begins anew."""
        self._now += timedelta(seconds=seconds)
        self._monotonic_s = 0.0
        self.boot += 1


class FakeIds:
    """Ids and nonces that count up: valid UUIDv7 and hex digits, the same in every run."""

    def __init__(self) -> None:
        """Start at one."""
        self._lock = threading.Lock()
        self._number = 0

    def _next(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def new_id(self) -> str:
        """Return the next UUIDv7, text."""
        return f"01900000-0000-7000-8000-{self._next():012x}"

    def nonce(self) -> str:
        """Return the next 32 hex digits."""
        return f"{self._next():032x}"


class FakeChannel:
    """An alert channel that takes alerts, or raises what it was told to, once each.

    Attributes:
        errors: Raised by the next calls, first one first; afterwards all is taken.
        delivered: What it took, in order.

    """

    def __init__(self, name: str = "fake", *errors: Exception) -> None:
        """Name it, and say how the next calls fail."""
        self.name = name
        self.errors = list(errors)
        self.delivered: list[QueuedAlert] = []

    def deliver(self, queued: QueuedAlert) -> None:
        """Take the alert, or fail as told."""
        if self.errors:
            raise self.errors.pop(0)
        self.delivered.append(queued)


class FakeUplink:
    """A control plane in memory, which drops what it has by id.

    Attributes:
        answers: What the next calls get instead of an answer of its own, first one first; such a batch is not taken.
        answers_lost: How many of the next batches are taken, with the answer lost on the way.
        rejected: Entry ids that it can never take: one among others has the whole batch refused, as a receiver does
            that cannot read it.
        received: Entry id to its copies, in the order in which the first ones came.
        batches: The ids of every batch that was sent.

    """

    def __init__(self, *answers: Answer, answers_lost: int = 0, rejected: Collection[str] = ()) -> None:
        """Say how the next calls go."""
        self.answers = list(answers)
        self.answers_lost = answers_lost
        self.rejected = set(rejected)
        self.received: dict[str, list[OutboxEntry]] = {}
        self.batches: list[list[str]] = []

    def send(self, entries: Sequence[OutboxEntry], *, sent_at: datetime) -> Answer:
        """Take the batch, or answer as told."""
        del sent_at
        self.batches.append([entry.entry_id for entry in entries])
        if self.answers:
            return self.answers.pop(0)
        if self.rejected & set(self.batches[-1]):
            return Answer(422, "answered 422: cannot be read")
        said = {entry.entry_id: EntryAnswer(self._take(entry)) for entry in entries}
        if self.answers_lost:
            self.answers_lost -= 1
            return Answer(None, "the line broke")
        return Answer(200, entries=said)

    def _take(self, entry: OutboxEntry) -> EntryFate:
        copies = self.received.setdefault(entry.entry_id, [])
        copies.append(entry)
        return EntryFate.TAKEN if len(copies) == 1 else EntryFate.HAD
