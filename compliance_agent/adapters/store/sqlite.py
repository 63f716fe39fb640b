"""The durable state in one SQLite file."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.store import alert_queue, evidence, gate_book, gate_codec, outbox, pruning, writes
from compliance_agent.adapters.store.codec import (
    clean_alert,
    clean_observation,
    clean_outcome,
    clean_steps,
    clean_text,
    time_text,
)
from compliance_agent.adapters.store.database import TurnLock, open_writable
from compliance_agent.adapters.store.gate_rows import SqliteBook, put_action
from compliance_agent.adapters.store.reads import Reader
from compliance_agent.adapters.store.rows import DEFAULT_LIMITS, DeliveryState
from compliance_agent.adapters.store.snapshot import HELD, is_snapshot_due, make_folder, mend, take_snapshot
from compliance_agent.domain.outbox import DEFAULT_OUTBOX_LIMITS
from compliance_agent.domain.timeline import is_stale
from compliance_agent.domain.turn_end import NOTHING
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from compliance_agent.adapters.store.evidence import Recorder
    from compliance_agent.adapters.store.rows import DeadAction, Limits, QueuedAlert, Restoration, Undo
    from compliance_agent.domain.evidence.drafts import EvidenceDraft
    from compliance_agent.domain.gate.decision import Hold
    from compliance_agent.domain.gate.flap import FlapUpdate
    from compliance_agent.domain.gate.ledger import Change, Charge
    from compliance_agent.domain.gate.people import PersonAction, Told, Waiver
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outbox import OutboxLimits
    from compliance_agent.domain.outcome import Alert, Attempt
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.domain.turn_end import Attachments, TurnEnd
    from compliance_agent.domain.uplink import Settlement, UplinkState
    from compliance_agent.wire.evidence.dsse import Signer
    from compliance_agent.wire.evidence.entry import Sealed

ALERT_REPEAT_S: Final = 86_400
"""Seconds after which an alert that was delivered may be told again: a day."""


class SqliteStore(Reader):
    """``engine.ports.Store`` in one file. Thread-safe; safe against SIGKILL and power loss at any moment.

    A method that writes has written when it returns (``synchronous=FULL``), or raises ``StoreError``
    and has written nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        alert_repeat_s: int = ALERT_REPEAT_S,
        outbox_limits: OutboxLimits = DEFAULT_OUTBOX_LIMITS,
        recorder: Recorder | None = None,
        turns_at: datetime | None = None,
    ) -> None:
        """Open the state file; make it, for its owner alone, where there is none.

        Args:
            path: Of the file.
            alert_repeat_s: Seconds after which an alert that was delivered may be told again.
            outbox_limits: How much may wait for the control plane.
            turns_at: Be the one process that runs turns, from this time (UTC) on, and set a damaged file
                aside; ``None`` to work beside that process, which refuses a damaged file.
            recorder: What signs evidence; without one none is kept.

        Raises:
            StoreError: It cannot be opened, is damaged, or is of a newer version.

        """
        self.path = Path(path)
        self._alert_repeat = timedelta(seconds=alert_repeat_s)
        self._outbox_limits = outbox_limits
        self._recorder = recorder
        self._turns = TurnLock(self.path)
        self.restored: Restoration | None = None
        try:
            if turns_at is not None:
                make_folder(self.path)
                self._turns.take()
                self.restored = mend(self.path, now=turns_at)
            super().__init__(open_writable(self.path))
        except BaseException:
            self._turns.release()
            raise

    def close(self) -> None:
        """Close the file and let turns go. May be called twice."""
        super().close()
        self._turns.release()

    def snapshot(self, now: datetime, *, interval: timedelta) -> bool:
        """Take a snapshot where one is due (:func:`is_snapshot_due`); return whether one was taken.

        Raises:
            StoreError: It cannot be taken; the old one stays.

        """
        if not is_snapshot_due(self.path, self._database.rows(HELD), now=now, interval=interval):
            return False
        take_snapshot(self.path, now=now)
        return True

    def hold_turns(self) -> None:
        """Make this the one process that runs turns on this file, until it closes the store or dies.

        To be called before :meth:`interrupt_unfinished`, which would otherwise end the attempts of
        another living process.

        Raises:
            StoreError: Another process runs turns now (retryable).

        """
        self._turns.take()

    def record_scan(
        self,
        target_id: str,
        observations: Sequence[Observation],
        *,
        site_id: str,
        now: datetime,
        attachments: Attachments = NOTHING,
    ) -> None:
        """Keep the latest observation of each check; the target was reached. See ``engine.ports.Store``."""
        cleaned = [clean_observation(observation) for observation in observations]
        with self._database.writing() as connection:
            writes.put_scanned(connection, target_id, site_id=site_id, now=time_text(now))
            for observation in cleaned:
                writes.put_observation(connection, observation, site_id=site_id, now=time_text(now))
            gate_book.forget_requests(SqliteBook(connection), writes.passing(cleaned))
            self._attach(connection, attachments)

    def record_unreachable(
        self, target_id: str, *, fault: str, message: str, now: datetime, attachments: Attachments = NOTHING
    ) -> None:
        """Keep that the target could not be reached; its observations and incidents stay as they were."""
        with self._database.writing() as connection:
            writes.put_unreachable(connection, target_id, fault=fault, message=clean_text(message), now=time_text(now))
            self._attach(connection, attachments)

    def begin(self, attempt: Attempt, charge: Charge | None = None) -> Hold | None:
        """Write the intent, before the deed, and what it uses up. See ``engine.ports.Store``.

        Raises:
            StoreError: An unfinished attempt for the same fingerprint exists, or the write failed.

        """
        with self._database.writing() as connection:
            book = SqliteBook(connection)
            if charge is not None and (hold := gate_book.refusal(book, attempt, charge)) is not None:
                return hold
            writes.begin_attempt(connection, attempt)
            if charge is not None:
                gate_book.begin(book, attempt, charge)
        return None

    def finish(self, end: TurnEnd) -> None:
        """Write all that a turn's end brings, in one transaction. See ``engine.ports.Store``.

        Raises:
            StoreError: ``end.outcome.attempt_id`` names no unfinished attempt, or one cannot end as
                ``outcome.kind``, or the write failed.

        """
        kept = clean_outcome(end.outcome)
        with self._database.writing() as connection:
            if kept.attempt_id is not None:
                writes.end_attempt(connection, kept)
            is_new = writes.put_outcome(connection, kept)
            gate_book.end(SqliteBook(connection), kept, end.gate)
            self._put_observations(connection, end.observations, attempt_id=kept.attempt_id, now=kept.at)
            for alert in end.alerts:
                alert_queue.enqueue(connection, clean_alert(alert), repeat=self._alert_repeat)
            if is_new:
                self._attach(connection, end.attachments)

    def keep_instant(self, now: Instant) -> None:
        """Keep the instant, so that a restart knows it; a recent one is left as it is."""
        if is_stale(self.last_instant(), now):
            with self._database.writing() as connection:
                gate_book.keep_instant(SqliteBook(connection), now)

    def change_flap(self, update: FlapUpdate, *, alerts: Sequence[Alert] = ()) -> None:
        """Apply events to a flap, and queue alerts, in one transaction."""
        with self._database.writing() as connection:
            gate_book.change_flap(SqliteBook(connection), update)
            for alert in alerts:
                alert_queue.enqueue(connection, clean_alert(alert), repeat=self._alert_repeat)

    def tell_of_waiver(self, waiver: Waiver, told: Told, alert: Alert) -> bool:
        """Queue the alert about a waiver's end, and mark it as told, in one transaction; see ``engine.ports.Store``."""
        with self._database.writing() as connection:
            if not gate_book.mark_told(SqliteBook(connection), waiver, told):
                return False
            alert_queue.enqueue(connection, clean_alert(alert), repeat=self._alert_repeat)
        return True

    def record_action(
        self, action: PersonAction, changes: Sequence[Change] = (), *, attachments: Attachments = NOTHING
    ) -> None:
        """Carry out what a person asked for, and keep who did so and why, in one transaction."""
        with self._database.writing() as connection:
            for change in changes:
                gate_book.change(SqliteBook(connection), change)
            put_action(connection, gate_codec.clean_action(action))
            self._attach(connection, attachments)

    def attach(self, attachments: Attachments) -> None:
        """Keep attachments that belong to no other write (a heartbeat), in one transaction."""
        with self._database.writing() as connection:
            self._attach(connection, attachments)

    def record_undo(
        self,
        undo: Undo,
        *,
        observations: Sequence[Observation] = (),
        attachments: Attachments = NOTHING,
        at_s: float = 0.0,
    ) -> None:
        """Keep a try to undo a finished attempt, and what a fresh detect found afterwards.

        After one that succeeded, the attempt has ``undone_at``.

        Raises:
            StoreError: There is no such finished attempt, or it was undone already.

        """
        kept = clean_undo(undo)
        with self._database.writing() as connection:
            writes.put_undo(connection, kept)
            if kept.succeeded:
                gate_book.undo(SqliteBook(connection), kept.attempt_id, at_s)
            self._put_observations(connection, observations, attempt_id=kept.attempt_id, now=kept.at)
            self._attach(connection, attachments)

    def due_alerts(self, now: datetime, limit: int, channels: Sequence[str]) -> list[QueuedAlert]:
        """Return the pending alerts that are due on one of ``channels``, oldest first, at most ``limit``."""
        marks = ", ".join("(?)" for _ in channels)
        if not marks:
            return []
        return self._alerts(
            f"SELECT * FROM alert AS a WHERE state = 'pending' AND EXISTS"  # noqa: S608 - marks hold no value
            f" (SELECT 1 FROM (VALUES {marks}) AS c LEFT JOIN alert_delivery AS d"
            " ON d.alert_id = a.alert_id AND d.channel = c.column1"
            " WHERE d.state IS NULL OR (d.state = 'pending' AND (d.next_try_at IS NULL OR d.next_try_at <= ?)))"
            " ORDER BY raised_at, alert_id LIMIT ?",
            (*channels, time_text(now), limit),
        )

    def alert_delivered(self, alert_id: str, channel: str) -> None:
        """Keep that a channel took the alert.

        Raises:
            StoreError: There is no such alert.

        """
        with self._database.writing() as connection:
            alert_queue.put_delivery(connection, alert_id, channel, state=DeliveryState.DELIVERED)

    def alert_failed(self, alert_id: str, channel: str, *, error: str, next_try_at: datetime | None) -> None:
        """Keep that a channel did not take the alert; it is dead there where ``next_try_at`` is ``None``.

        Raises:
            StoreError: There is no such alert.

        """
        state = DeliveryState.DEAD if next_try_at is None else DeliveryState.PENDING
        with self._database.writing() as connection:
            alert_queue.put_delivery(
                connection, alert_id, channel, state=state, error=clean_text(error), next_try_at=next_try_at
            )

    def settle_alerts(self, channels: Sequence[str], *, now: datetime) -> None:
        """Settle the pending alerts that every one of ``channels`` has taken or given up."""
        with self._database.writing() as connection:
            alert_queue.settle(connection, channels, now=now)

    def prune(self, now: datetime, limits: Limits = DEFAULT_LIMITS) -> Mapping[str, int]:
        """Drop what is too old or too much; return what was dropped, kind to number.

        Unfinished attempts stay. ``counts().dropped`` sums it up over the file's life.
        """
        with self._database.writing() as connection:
            dropped = pruning.prune(connection, limits, now=now)
        if dropped:
            self._database.give_back_space()
        return dropped

    def record_sending(
        self, settlements: Sequence[Settlement], state: UplinkState, *, now: datetime, late_after_s: float
    ) -> None:
        """Keep what became of entries that were sent, and how the conversation stands, in one transaction."""
        cleaned = [replace(one, reason=clean_text(one.reason)) for one in settlements]
        with self._database.writing() as connection:
            outbox.settle(connection, cleaned, now=now, late_after_s=late_after_s)
            outbox.put_uplink(connection, replace(state, trouble=clean_text(state.trouble)))

    def expire_outbox(self, now: datetime) -> int:
        """Drop waiting entries that are too old to tell anybody anything; return how many."""
        if not self._has_expired(now, self._outbox_limits):  # the usual case writes nothing
            return 0
        with self._database.writing() as connection:
            return outbox.expire(connection, self._outbox_limits, now=now)

    def act_on_dead(
        self, entry_ids: Sequence[str] | None, action: DeadAction, *, attachments: Attachments = NOTHING
    ) -> list[str]:
        """Put dead entries back, or remove them (``None``: all), keep who did so and why; return their ids.

        Raises:
            StoreError: One of the ids is no dead entry; nothing was done.

        """
        cleaned = replace(action, actor=clean_text(action.actor), reason=clean_text(action.reason))
        with self._database.writing() as connection:
            done = outbox.act_on_dead(connection, entry_ids, cleaned)
            if done:
                self._attach(connection, attachments)
        return done

    def _attach(self, connection: sqlite3.Connection, attachments: Attachments) -> None:
        """Write what commits together with a fact: the one place for further kinds of record."""
        outbox.put(connection, attachments.outbox, limits=self._outbox_limits)
        if self._recorder is not None:
            self._forward(connection, evidence.append(connection, self._recorder, attachments.evidence))

    def _forward(self, connection: sqlite3.Connection, sealed: Sequence[Sealed]) -> None:
        if self._recorder is not None and self._recorder.forward:
            reports = [evidence.report_of(one) for one in sealed]
            outbox.put(connection, reports, limits=self._outbox_limits)

    def rotate_key(self, new: Signer, draft: EvidenceDraft, *, old_is_lost: bool = False) -> Sealed:
        """Name the key that signs evidence from now on, in an entry of its own.

        Raises:
            StoreError: There is no evidence yet, or no key to sign with.

        """
        if self._recorder is None:
            raise StoreError("this store signs no evidence")
        with self._database.writing() as connection:
            sealed = evidence.rotate(connection, self._recorder, new, draft, old_is_lost=old_is_lost)
            self._forward(connection, [sealed])
        return sealed

    def prune_evidence(self, now: datetime, *, retention_days: int = evidence.RETENTION_DAYS) -> int:
        """Remove the segments of evidence whose retention time is over; return the number of entries."""
        if self._recorder is None:
            return 0
        with self._database.writing() as connection:
            gone, sealed = evidence.prune(connection, self._recorder, retention_days=retention_days, now=now)
            self._forward(connection, sealed)
        if gone:
            self._database.give_back_space()
        return gone

    def _put_observations(
        self,
        connection: sqlite3.Connection,
        observations: Sequence[Observation],
        *,
        attempt_id: str | None,
        now: datetime,
    ) -> None:
        for observation in observations:
            site_id = writes.site_of(connection, observation.target_id, attempt_id)
            writes.put_observation(connection, clean_observation(observation), site_id=site_id, now=time_text(now))
        gate_book.forget_requests(SqliteBook(connection), writes.passing(observations))


def clean_undo(undo: Undo) -> Undo:
    """Return an undo as it may be kept."""
    return replace(undo, actor=clean_text(undo.actor), reason=clean_text(undo.reason), steps=clean_steps(undo.steps))
