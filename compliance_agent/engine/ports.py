"""The ports: what the engine needs of the outside world. ``adapters`` has the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from compliance_agent.domain.turn_end import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from compliance_agent.domain.gate.decision import Hold
    from compliance_agent.domain.gate.flap import FlapRow, FlapUpdate
    from compliance_agent.domain.gate.ledger import Change, Charge
    from compliance_agent.domain.gate.people import (
        Approval,
        Choice,
        NotedPause,
        Pause,
        PauseOrder,
        PersonAction,
        Told,
        Waiver,
    )
    from compliance_agent.domain.gate.tries import Try
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Alert, Attempt, FinishedAttempt
    from compliance_agent.domain.target import Target
    from compliance_agent.domain.timeline import Instant, Reading
    from compliance_agent.domain.turn_end import Attachments, TurnEnd


@dataclass(frozen=True, slots=True)
class RunResult:
    """How one script run ended.

    Attributes:
        exit_code: Of the remote shell; ``None`` when it never ended or was killed by a signal.
        stdout: Standard output, cut at the limit.
        stderr: Standard error, cut at the limit.
        truncated: Whether either stream was cut.
        timed_out: Whether the deadline ended it; what had arrived by then is in the streams.
        duration_s: Wall time, by a monotonic clock.

    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    truncated: bool
    timed_out: bool
    duration_s: float


class Session(Protocol):
    """One conversation with one target, root or not as the target's ``become`` says."""

    @property
    def kept(self) -> bool:
        """Tell whether it goes on with a connection that an earlier session left: that one may have died unseen."""
        ...

    def run(self, script: str, *, timeout_s: float, output_max_bytes: int) -> RunResult:
        """Run a POSIX script by ``/bin/sh -s`` with the script on standard input, in a new process.

        Both streams are drained together; each is capped at ``output_max_bytes``.

        Raises:
            TransportError: The conversation broke (a deadline is no error, see ``timed_out``).

        """
        ...

    def close(self) -> None:
        """End the conversation; leaves no descriptor, thread or remote session. May be called twice."""
        ...

    def __enter__(self) -> Self:
        """Return the session."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        ...


class Transport(Protocol):
    """Opens sessions to targets of one transport kind. Thread-safe."""

    def open(self, target: Target, *, fresh: bool = False) -> Session:
        """Connect, trust, log in; or go on with a connection that was kept, where it still answers.

        Args:
            target: The machine.
            fresh: Log in anew in any case: proof that a new session still works. A connection that was kept
                stays as it is until the new login has succeeded, so that it can still take a change back.

        Raises:
            TransportError: With the fault that tells why; never falls back to another machine.
            CredentialError: A secret that the target names by path cannot be read.

        """
        ...

    def close(self) -> None:
        """Close what is kept for later, and keep nothing from now on; sessions under way go on to their end."""
        ...


class Clock(Protocol):
    """The only reader of time. A turn reads it once, by ``read``."""

    def now(self) -> datetime:
        """Return the wall time, UTC, with time zone."""
        ...

    def read(self) -> Reading:
        """Return wall time, boot and monotonic time, all at one moment."""
        ...


class IdSource(Protocol):
    """The only source of chance for ids and nonces."""

    def new_id(self) -> str:
        """Return a UUIDv7, text."""
        ...

    def nonce(self) -> str:
        """Return 32 random lower-case hex digits."""
        ...


class Events(Protocol):
    """Where the engine says what it is doing, as events with keys; the log and the progress line listen."""

    def emit(self, event: str, **fields: object) -> None:
        """Tell one event, e.g. ``emit("scan.started", target="front-desk", checks=12)``. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """The last that is known of one target.

    Attributes:
        target_id: Which.
        scanned_at: Last scan that reached it; ``None`` if none ever did.
        attempted_at: Last scan that was tried.
        fault: Why the last try did not reach it; empty when it did.
        message: The same for people.

    """

    target_id: str
    scanned_at: datetime | None
    attempted_at: datetime
    fault: str = ""
    message: str = ""


class Store(Protocol):
    """The durable state: incidents, attempts, observations, outcomes, alerts. Thread-safe.

    Methods that write are durable when they return, each one transaction.
    """

    def opened_at(self, fingerprint: str) -> datetime | None:
        """Return when the open incident of this fingerprint opened, or ``None`` if none is open."""
        ...

    def history(self, fingerprint: str, *, since: datetime) -> Sequence[FinishedAttempt]:
        """Return the attempts for this fingerprint that ended, or were undone, since then; oldest first."""
        ...

    def record_scan(
        self,
        target_id: str,
        observations: Sequence[Observation],
        *,
        site_id: str,
        now: datetime,
        attachments: Attachments = NOTHING,
    ) -> None:
        """Keep the latest observation of each check; the target was reached.

        ``fail`` opens an incident that is not open yet; ``pass`` and ``not_applicable`` close it;
        ``error`` and ``not_assessed`` leave it as it is.
        """
        ...

    def record_unreachable(
        self, target_id: str, *, fault: str, message: str, now: datetime, attachments: Attachments = NOTHING
    ) -> None:
        """Keep that the target could not be reached; its observations and incidents stay as they were."""
        ...

    def begin(self, attempt: Attempt, charge: Charge | None = None) -> Hold | None:
        """Write the intent, before the deed, and in the same transaction what it uses up.

        Returns:
            The limit that other turns have used up since this attempt was planned: nothing was written then.

        Raises:
            StoreError: An unfinished attempt for the same fingerprint exists, or the write failed.

        """
        ...

    def finish(self, end: TurnEnd) -> None:
        """Write all that a turn's end brings, in one transaction.

        That is the outcome, the attempt's end (where ``end.outcome.attempt_id`` is set), what a fresh
        detect observed, the alerts and the attachments.

        An outcome without an attempt that repeats the last one of its fingerprint (same kind, rule
        and reason) only moves that one's last-seen time, and its attachments are left out, so that a held
        incident does not grow the store at every scan. An alert whose ``dedupe_key`` is open is not queued again.
        """
        ...

    def unfinished(self, target_id: str | None = None) -> Sequence[Attempt]:
        """Return the attempts that have not ended, of one target or of all, in the order in which they began."""
        ...

    def attach(self, attachments: Attachments) -> None:
        """Keep attachments that belong to no other write (a heartbeat), in one transaction."""
        ...

    def record_action(
        self, action: PersonAction, changes: Sequence[Change] = (), *, attachments: Attachments = NOTHING
    ) -> None:
        """Carry out what a person asked for, and keep who did so and why, in one transaction."""
        ...

    # --- the gate's memory

    def last_instant(self) -> Instant | None:
        """Return the instant that was kept last, or ``None``."""
        ...

    def keep_instant(self, now: Instant) -> None:
        """Keep the instant, so that a restart knows it; a recent one is left as it is."""
        ...

    def tries(self, site_id: str, *, target_id: str, since_s: float, since_uptime_s: float) -> Sequence[Try]:
        """Return the site's tries that may still count, in the order in which they began.

        Those that began after ``since_uptime_s``, and of the target also those that ended, or were undone, at or
        after ``since_s`` (``elapsed_s``).
        """
        ...

    def flap(self, fingerprint: str) -> FlapRow | None:
        """Return a flap, or ``None`` where nothing ever happened."""
        ...

    def flaps(self) -> Sequence[FlapRow]:
        """Return every flap, by target and check."""
        ...

    def change_flap(self, update: FlapUpdate, *, alerts: Sequence[Alert] = ()) -> None:
        """Apply events to a flap as it is now, and queue alerts, in one transaction."""
        ...

    def pause(self) -> Pause | None:
        """Return the pause, over or not, or ``None``."""
        ...

    def noted_pause(self) -> NotedPause | None:
        """Return what was noted of the pause file that was seen last, or ``None``."""
        ...

    def waiver(self, target_id: str, check_id: str) -> Waiver | None:
        """Return the waiver for this check on this target, over or not, or ``None``."""
        ...

    def waivers(self) -> Sequence[Waiver]:
        """Return every waiver, over or not, by target and check."""
        ...

    def tell_of_waiver(self, waiver: Waiver, told: Told, alert: Alert) -> bool:
        """Queue the alert about a waiver's end, and mark the waiver as told, in one transaction.

        Returns:
            Whether it was: not where the waiver was changed or told of since it was read.

        """
        ...

    def approval(self, incident_id: str) -> Approval | None:
        """Return the approval for an incident, over or not, or ``None``."""
        ...

    def choice(self, incident_id: str) -> Choice | None:
        """Return the choice of a runbook for an incident, over or not, or ``None``."""
        ...

    def forgiven(self) -> Mapping[str, float]:
        """Return target id, or ``TARGET/CHECK``, to when a person cleared it last, ``elapsed_s``."""
        ...


class KillSwitch(Protocol):
    """The file that stops all healing."""

    def order(self) -> PauseOrder | None:
        """Return what the file says and whose it is; ``None`` where there is none.

        A file that cannot be read or understood stops healing, too.
        """
        ...


class NoKillSwitch:
    """Where there is no state folder, there is no file either."""

    def order(self) -> PauseOrder | None:
        """Return ``None``."""
        return None
