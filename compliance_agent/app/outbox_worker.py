"""The sender: takes what waits in the outbox to the control plane, and keeps what the answer means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from compliance_agent.domain.uplink import EntryFate, SendPolicy, Settlement, judge, wait_s
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from compliance_agent.adapters.control_plane import Uplink
    from compliance_agent.adapters.store.rows import OutboxRow
    from compliance_agent.domain.uplink import Answer, Judgement, UplinkState
    from compliance_agent.engine.ports import Clock

BATCHES_MAX: Final = 20
"""Most batches in one call, so that a stop never waits for a long backlog."""

DEFAULT_SEND_POLICY: Final = SendPolicy()

_log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """The part of the store that the sender uses."""

    def uplink(self) -> UplinkState:
        """Return how the conversation with the control plane stands."""
        ...

    def due_entries(self, now: datetime, *, rows_max: int, bytes_max: int) -> list[OutboxRow]:
        """Return what is to be sent next: heartbeats, then evidence, then telemetry, each oldest first."""
        ...

    def record_sending(
        self, settlements: Sequence[Settlement], state: UplinkState, *, now: datetime, late_after_s: float
    ) -> None:
        """Keep what became of entries, and how the conversation stands, in one transaction."""
        ...

    def expire_outbox(self, now: datetime) -> int:
        """Drop what is too old to tell anybody anything; return how many."""
        ...


@dataclass(frozen=True, slots=True)
class SendReport:
    """What one call did.

    Attributes:
        delivered: Entries that the receiver has now, duplicates included.
        again: Entries that it asked for once more.
        dead: Entries that were given up.
        trouble: Why the call ended early; empty when it did not.
        store_failed: It ended since the state cannot be written, so that no wait could be kept.

    """

    delivered: int = 0
    again: int = 0
    dead: int = 0
    trouble: str = ""
    store_failed: bool = False

    def plus(self, settlements: Sequence[Settlement], trouble: str) -> SendReport:
        """Return the report with one more answer counted."""
        fates = [one.fate for one in settlements]
        return replace(
            self,
            delivered=self.delivered + sum(fate in {EntryFate.TAKEN, EntryFate.HAD} for fate in fates),
            again=self.again + fates.count(EntryFate.AGAIN),
            dead=self.dead + fates.count(EntryFate.HOPELESS),
            trouble=trouble,
        )


class OutboxWorker:
    """Delivers at least once: a crash between an answer and its record sends the same ``entry_id`` again."""

    def __init__(
        self,
        outbox: Outbox,
        uplink: Uplink,
        clock: Clock,
        rng: random.Random,
        *,
        policy: SendPolicy = DEFAULT_SEND_POLICY,
    ) -> None:
        """Take the outbox, the way out, the clock, the source of jitter and the limits."""
        self._outbox = outbox
        self._uplink = uplink
        self._clock = clock
        self._rng = rng
        self._policy = policy

    def send_due(self, keep_going: Callable[[], bool] = lambda: True) -> SendReport:
        """Send what is due, batch after batch, until nothing is left or the line fails. Never raises.

        ``keep_going`` is asked before each batch, so that a stop waits for one answer at most.
        """
        try:
            return self._send_due(keep_going)
        except StoreError as error:
            _log.error("outbox.store_failed", error=error.message, hint=error.hint)
            return SendReport(trouble=str(error), store_failed=True)
        except Exception:  # noqa: BLE001 - the caller is the daemon, which must go on
            _log.exception("outbox.worker_failed")
            return SendReport(trouble="an unexpected error; see the log")

    def _send_due(self, keep_going: Callable[[], bool]) -> SendReport:
        report = SendReport()
        self._outbox.expire_outbox(self._clock.now())
        for _ in range(BATCHES_MAX):
            now = self._clock.now()
            if not keep_going() or not self._outbox.uplink().is_due(now):
                break
            rows = self._outbox.due_entries(
                now, rows_max=self._policy.batch_rows_max, bytes_max=self._policy.batch_bytes_max
            )
            if not rows:
                break
            for _, alike in groupby(rows, key=lambda row: row.entry.kind):
                report = self._send(list(alike), report)
                if report.trouble:
                    return report
        return report

    def _send(self, rows: Sequence[OutboxRow], report: SendReport) -> SendReport:
        """Send one batch; where it is refused as a whole, its halves."""
        answer = self._uplink.send([row.entry for row in rows], sent_at=self._clock.now())
        judgement = judge(answer, [row.entry.entry_id for row in rows])
        if judgement.split:
            middle = len(rows) // 2
            report = self._send(rows[:middle], report)
            return report if report.trouble else self._send(rows[middle:], report)
        now = self._clock.now()  # after the try, which may have taken long
        state = self._state_after(judgement, answer, now)
        settlements = [self._settle(row, judgement, answer, now) for row in rows if judgement.entries]
        self._outbox.record_sending(settlements, state, now=now, late_after_s=self._policy.late_after_s)
        _tell(settlements, judgement)
        return report.plus(settlements, judgement.trouble)

    def _settle(self, row: OutboxRow, judgement: Judgement, answer: Answer, now: datetime) -> Settlement:
        said = judgement.entries[row.entry.entry_id]
        if said.fate is not EntryFate.AGAIN:
            return Settlement(row.entry.entry_id, said.fate, said.reason)
        wait = wait_s(row.tries + 1, policy=self._policy, chance=self._rng.random(), retry_after_s=answer.retry_after_s)
        return Settlement(row.entry.entry_id, said.fate, said.reason, now + timedelta(seconds=wait))

    def _state_after(self, judgement: Judgement, answer: Answer, now: datetime) -> UplinkState:
        before = self._outbox.uplink()
        if not judgement.line_failed:
            return before.succeeded(now)
        return before.failed(
            now,
            judgement.trouble,
            policy=self._policy,
            chance=self._rng.random(),
            retry_after_s=answer.retry_after_s,
        )


def _tell(settlements: Sequence[Settlement], judgement: Judgement) -> None:
    for one in settlements:
        if one.fate is EntryFate.HOPELESS:
            _log.warning("outbox.dead", entry=one.entry_id, reason=one.reason)
    if judgement.line_failed:
        _log.warning("outbox.line_failed", error=judgement.trouble)
