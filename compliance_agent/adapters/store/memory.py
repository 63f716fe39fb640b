"""The state in memory: for ``run --dry-run`` and for tests. Same contract as the file, lost at the end."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from compliance_agent.adapters.store import gate_book
from compliance_agent.adapters.store.codec import clean_alert, clean_observation, clean_outcome, clean_text
from compliance_agent.adapters.store.memory_alerts import MemoryAlerts
from compliance_agent.adapters.store.memory_evidence import EvidenceSide, MemoryEvidence
from compliance_agent.adapters.store.memory_gate import MemoryBook, MemoryGateSide
from compliance_agent.adapters.store.memory_outbox import MemoryOutbox, OutboxSide
from compliance_agent.adapters.store.memory_pruning import prune
from compliance_agent.adapters.store.memory_state import MemoryIncident, MemoryState
from compliance_agent.adapters.store.rows import DEFAULT_LIMITS, Counts, OpenIncident, RecordedOutcome
from compliance_agent.adapters.store.sqlite import ALERT_REPEAT_S, clean_undo
from compliance_agent.adapters.store.writes import (
    CLOSING,
    already_begun,
    impossible_end,
    not_unfinished,
    passing,
    refuse_undo,
)
from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outbox import DEFAULT_OUTBOX_LIMITS
from compliance_agent.domain.outcome import ATTEMPT_OUTCOMES, FinishedAttempt
from compliance_agent.domain.turn_end import NOTHING
from compliance_agent.engine.ports import TargetStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from compliance_agent.adapters.store.evidence import Recorder
    from compliance_agent.adapters.store.rows import AlertState, Limits, QueuedAlert, Undo
    from compliance_agent.domain.gate.decision import Hold
    from compliance_agent.domain.gate.ledger import Charge
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outbox import OutboxLimits
    from compliance_agent.domain.outcome import Attempt, Outcome
    from compliance_agent.domain.turn_end import Attachments, TurnEnd


class MemoryStore(OutboxSide, EvidenceSide, MemoryGateSide):
    """``engine.ports.Store`` in memory, with the read side and the alert queue of ``SqliteStore``. Thread-safe."""

    def __init__(
        self,
        *,
        alert_repeat_s: int = ALERT_REPEAT_S,
        outbox_limits: OutboxLimits = DEFAULT_OUTBOX_LIMITS,
        recorder: Recorder | None = None,
    ) -> None:
        """Start empty; without a recorder no evidence is kept."""
        self._lock = threading.RLock()
        self._state = MemoryState()
        self._alerts = MemoryAlerts(timedelta(seconds=alert_repeat_s))
        self._outbox = MemoryOutbox(outbox_limits)
        self._ledger = MemoryEvidence(recorder)
        self._gate = MemoryBook()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def hold_turns(self) -> None:
        """Do nothing: nobody else has this memory."""

    # --- engine.ports.Store

    def opened_at(self, fingerprint: str) -> datetime | None:
        """Return when the open incident of this fingerprint opened, or ``None`` if none is open."""
        with self._lock:
            incident = self._state.incidents.get(fingerprint)
            return incident.opened_at if incident is not None and incident.closed_at is None else None

    def history(self, fingerprint: str, *, since: datetime) -> Sequence[FinishedAttempt]:
        """Return the attempts for this fingerprint that finished or were undone at or after ``since``, oldest first."""
        with self._lock:
            found = [
                past
                for past in self._state.finished.values()
                if past.attempt.fingerprint == fingerprint
                and (past.finished_at >= since or (past.undone_at is not None and past.undone_at >= since))
            ]
        return sorted(found, key=lambda past: (past.finished_at, past.attempt.attempt_id))

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
        with self._lock:
            self._state.targets[target_id] = TargetStatus(target_id, scanned_at=now, attempted_at=now)
            self._state.sites[target_id] = site_id
            for observation in observations:
                self._observe(observation, site_id=site_id, now=now)
            gate_book.forget_requests(self._gate, passing(observations))
            self._attach(attachments)

    def record_unreachable(
        self, target_id: str, *, fault: str, message: str, now: datetime, attachments: Attachments = NOTHING
    ) -> None:
        """Keep that the target could not be reached; its observations and incidents stay as they were."""
        with self._lock:
            known = self._state.targets.get(target_id)
            self._state.targets[target_id] = TargetStatus(
                target_id,
                scanned_at=None if known is None else known.scanned_at,
                attempted_at=now,
                fault=fault,
                message=clean_text(message),
            )
            self._attach(attachments)

    def begin(self, attempt: Attempt, charge: Charge | None = None) -> Hold | None:
        """Write the intent, before the deed, and what it uses up. See ``engine.ports.Store``.

        Raises:
            StoreError: An unfinished attempt for the same fingerprint exists.

        """
        with self._lock:
            if charge is not None and (hold := gate_book.refusal(self._gate, attempt, charge)) is not None:
                return hold
            if attempt.attempt_id in self._state.unfinished or attempt.attempt_id in self._state.finished:
                raise already_begun(attempt, attempt.attempt_id)
            for other in self._state.unfinished.values():
                if other.fingerprint == attempt.fingerprint:
                    raise already_begun(attempt, other.attempt_id)
            self._state.unfinished[attempt.attempt_id] = attempt
            if charge is not None:
                gate_book.begin(self._gate, attempt, charge)
        return None

    def finish(self, end: TurnEnd) -> None:
        """Write all that a turn's end brings. See ``engine.ports.Store``.

        Raises:
            StoreError: ``end.outcome.attempt_id`` names no unfinished attempt, or one cannot end as
                ``outcome.kind``.

        """
        kept = clean_outcome(end.outcome)
        with self._lock:
            self._end_attempt(kept)
            is_new = self._put_outcome(kept)
            gate_book.end(self._gate, kept, end.gate)
            for observation in end.observations:
                site_id = self._site_of(observation.target_id, kept.attempt_id)
                self._observe(observation, site_id=site_id, now=kept.at)
            gate_book.forget_requests(self._gate, passing(end.observations))
            for alert in end.alerts:
                self._alerts.enqueue(clean_alert(alert))
            if is_new:
                self._attach(end.attachments)

    def unfinished(self, target_id: str | None = None) -> Sequence[Attempt]:
        """Return the attempts that have not ended, of one target or of all, in the order in which they began."""
        with self._lock:
            found = [one for one in self._state.unfinished.values() if target_id in {None, one.target_id}]
        return sorted(found, key=lambda one: (one.begun_at, one.attempt_id))

    def attach(self, attachments: Attachments) -> None:
        """Keep attachments that belong to no other write (a heartbeat)."""
        with self._lock:
            self._attach(attachments)

    # --- undo and pruning

    def record_undo(
        self,
        undo: Undo,
        *,
        observations: Sequence[Observation] = (),
        attachments: Attachments = NOTHING,
        at_s: float = 0.0,
    ) -> None:
        """Keep a try to undo a finished attempt, and what a fresh detect found afterwards.

        Raises:
            StoreError: There is no such finished attempt, or it was undone already.

        """
        kept = clean_undo(undo)
        with self._lock:
            done = any(one.succeeded and one.attempt_id == kept.attempt_id for one in self._state.undos)
            refuse_undo(kept, finished=kept.attempt_id in self._state.finished, done=done)
            self._state.undos.append(kept)
            if kept.succeeded:
                past = self._state.finished[kept.attempt_id]
                self._state.finished[kept.attempt_id] = replace(past, undone_at=kept.at)
                gate_book.undo(self._gate, kept.attempt_id, at_s)
            for observation in observations:
                site_id = self._site_of(observation.target_id, kept.attempt_id)
                self._observe(observation, site_id=site_id, now=kept.at)
            gate_book.forget_requests(self._gate, passing(observations))
            self._attach(attachments)

    def prune(self, now: datetime, limits: Limits = DEFAULT_LIMITS) -> Mapping[str, int]:
        """Drop what is too old or too much; return what was dropped, kind to number."""
        with self._lock:
            dropped = prune(self._state, self._alerts, limits, now=now)
            if tries := self._gate.prune(keep_s=limits.retention_days * 86_400.0):
                dropped["gate_tries"] = tries
            for what, number in dropped.items():
                self._state.dropped[what] = self._state.dropped.get(what, 0) + number
            return dropped

    # --- the alert queue

    def due_alerts(self, now: datetime, limit: int, channels: Sequence[str]) -> list[QueuedAlert]:
        """Return the pending alerts that are due on one of ``channels``, oldest first, at most ``limit``."""
        with self._lock:
            return self._alerts.due(now, limit, channels)

    def alert_delivered(self, alert_id: str, channel: str) -> None:
        """Keep that a channel took the alert."""
        with self._lock:
            self._alerts.delivered(alert_id, channel)

    def alert_failed(self, alert_id: str, channel: str, *, error: str, next_try_at: datetime | None) -> None:
        """Keep that a channel did not take the alert; it is dead there where ``next_try_at`` is ``None``."""
        with self._lock:
            self._alerts.failed(alert_id, channel, error=clean_text(error), next_try_at=next_try_at)

    def settle_alerts(self, channels: Sequence[str], *, now: datetime) -> None:
        """Settle the pending alerts that every one of ``channels`` has taken or given up."""
        with self._lock:
            self._alerts.settle(channels, now=now)

    # --- the read side

    def targets(self) -> list[TargetStatus]:
        """Return the last that is known of each target that was ever tried, by id."""
        with self._lock:
            return sorted(self._state.targets.values(), key=lambda status: status.target_id)

    def latest_observations(self, target_id: str | None = None) -> list[Observation]:
        """Return the latest observation of each check, of one target or of all, by target and check."""
        with self._lock:
            return [
                observation
                for (place, _), observation in sorted(self._state.observations.items())
                if target_id is None or place == target_id
            ]

    def open_incidents(self) -> list[OpenIncident]:
        """Return the incidents that are open, by target and check."""
        with self._lock:
            found = [self._open_incident(one) for one in self._state.incidents.values() if one.closed_at is None]
        return sorted(found, key=lambda one: (one.target_id, one.check_id))

    def recent_outcomes(self, limit: int, target_id: str | None = None) -> list[RecordedOutcome]:
        """Return the outcomes seen last, newest first, of one target or of all."""
        with self._lock:
            found = [one for one in self._state.outcomes if target_id is None or one.outcome.target_id == target_id]
        order = sorted(range(len(found)), key=lambda index: (found[index].last_seen_at, index), reverse=True)
        return [found[index] for index in order[:limit]]

    def attempt(self, attempt_id: str) -> FinishedAttempt | Attempt | None:
        """Return an attempt as it was recorded: finished or not; ``None`` if there is none of this id."""
        with self._lock:
            return self._state.finished.get(attempt_id) or self._state.unfinished.get(attempt_id)

    def undos(self, attempt_id: str) -> list[Undo]:
        """Return the tries to undo this attempt, oldest first."""
        with self._lock:
            return [undo for undo in self._state.undos if undo.attempt_id == attempt_id]

    def alerts(self, state: AlertState | None = None) -> list[QueuedAlert]:
        """Return the queued alerts, of one state or of all, oldest first."""
        with self._lock:
            return self._alerts.listed(state)

    def counts(self) -> Counts:
        """Return how much there is."""
        with self._lock:
            state = self._state
            return Counts(
                targets=len(state.targets),
                unreachable_targets=sum(1 for status in state.targets.values() if status.fault),
                open_incidents=sum(1 for one in state.incidents.values() if one.closed_at is None),
                unfinished_attempts=len(state.unfinished),
                attempts=len(state.unfinished) + len(state.finished),
                outcomes=len(state.outcomes),
                alerts=self._alerts.numbers(),
                outbox=self._outbox.numbers(),
                dropped=dict(sorted(state.dropped.items())),
            )

    # --- how

    def _attach(self, attachments: Attachments) -> None:
        self._outbox.put(attachments.outbox)
        self._outbox.put(self._ledger.append(attachments.evidence))

    def _observe(self, observation: Observation, *, site_id: str | None, now: datetime) -> None:
        kept = clean_observation(observation)
        place = (kept.target_id, kept.check_id)
        self._state.observations[place] = kept
        if kept.verdict is Verdict.FAIL and site_id is not None:
            key = fingerprint(site_id, *place)
            known = self._state.incidents.get(key)
            opened_at = now if known is None or known.closed_at is not None else known.opened_at
            self._state.incidents[key] = MemoryIncident(key, site_id, *place, opened_at, now)
        elif kept.verdict in CLOSING:
            for key, incident in self._state.incidents.items():
                if (incident.target_id, incident.check_id) == place and incident.closed_at is None:
                    self._state.incidents[key] = replace(incident, closed_at=now)

    def _end_attempt(self, outcome: Outcome) -> None:
        if outcome.attempt_id is None:
            return
        if outcome.kind not in ATTEMPT_OUTCOMES:
            raise impossible_end(outcome)
        attempt = self._state.unfinished.pop(outcome.attempt_id, None)
        if attempt is None:
            raise not_unfinished(outcome)
        self._state.finished[attempt.attempt_id] = FinishedAttempt(attempt, outcome.kind, outcome.reason, outcome.at)

    def _put_outcome(self, outcome: Outcome) -> bool:
        last = self._last_outcome(outcome.fingerprint)
        if outcome.attempt_id is None and last is not None:
            past = self._state.outcomes[last]
            if _same(past.outcome, outcome):
                self._state.outcomes[last] = RecordedOutcome(
                    replace(past.outcome, until=outcome.until), outcome.at, past.seen_count + 1
                )
                return False
        self._state.outcomes.append(RecordedOutcome(outcome, outcome.at, 1))
        return True

    def _last_outcome(self, fingerprint: str, since: datetime | None = None) -> int | None:
        for index in range(len(self._state.outcomes) - 1, -1, -1):
            one = self._state.outcomes[index]
            if one.outcome.fingerprint == fingerprint and (since is None or one.last_seen_at >= since):
                return index
        return None

    def _open_incident(self, incident: MemoryIncident) -> OpenIncident:
        bare = OpenIncident(
            incident.fingerprint,
            incident.site_id,
            incident.target_id,
            incident.check_id,
            incident.opened_at,
            incident.last_seen_at,
        )
        last = self._last_outcome(incident.fingerprint, since=incident.opened_at)
        if last is None:
            return bare
        outcome = self._state.outcomes[last].outcome
        return replace(
            bare,
            outcome_kind=outcome.kind,
            outcome_reason=outcome.reason,
            outcome_until=outcome.until,
            rule_id=outcome.rule_id,
            action=outcome.action,
        )

    def _site_of(self, target_id: str, attempt_id: str | None) -> str | None:
        past = self._state.finished.get(attempt_id or "")
        if past is not None and past.attempt.target_id == target_id:
            return past.attempt.site_id
        return self._state.sites.get(target_id)


def _same(left: Outcome, right: Outcome) -> bool:
    return (left.kind, left.incident_id, left.rule_id, left.reason) == (
        right.kind,
        right.incident_id,
        right.rule_id,
        right.reason,
    )
