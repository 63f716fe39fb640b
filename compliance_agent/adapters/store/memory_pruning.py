"""Pruning in memory, the same as in the file but for its size."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from compliance_agent.adapters.store.memory_alerts import MemoryAlerts
    from compliance_agent.adapters.store.memory_state import MemoryState
    from compliance_agent.adapters.store.rows import Limits, QueuedAlert


class _Pruner:
    def __init__(self, state: MemoryState, alerts: MemoryAlerts, limits: Limits, now: datetime) -> None:
        self.state, self.alerts, self.limits = state, alerts, limits
        self.retention = timedelta(days=limits.retention_days)
        self.cutoff = now - self.retention
        self.dropped: dict[str, int] = {}

    def count(self, what: str, number: int) -> None:
        if number:
            self.dropped[what] = self.dropped.get(what, 0) + number

    def outcomes(self) -> None:
        state = self.state
        before = len(state.outcomes)
        state.outcomes = [one for one in state.outcomes if one.last_seen_at >= self.cutoff]
        order = sorted(range(len(state.outcomes)), key=lambda index: (state.outcomes[index].last_seen_at, index))
        kept = set(order[max(0, len(order) - self.limits.outcomes_max) :])
        state.outcomes = [one for index, one in enumerate(state.outcomes) if index in kept]
        self.count("outcomes", before - len(state.outcomes))

    def attempts(self) -> None:
        old = [key for key, past in self.state.finished.items() if past.finished_at < self.cutoff]
        order = sorted(
            (key for key in self.state.finished if key not in set(old)),
            key=lambda key: (self.state.finished[key].finished_at, key),
        )
        for key in (*old, *order[: max(0, len(order) - self.limits.attempts_max)]):
            del self.state.finished[key]
            self.state.undos = [undo for undo in self.state.undos if undo.attempt_id != key]
            self.count("attempts", 1)

    def incidents(self, unwanted: Callable[[str, str], bool]) -> None:
        gone = [key for key, one in self.state.incidents.items() if unwanted(one.target_id, one.check_id)]
        for key in gone:
            del self.state.incidents[key]
        self.count("incidents", len(gone))

    def observations(self, unwanted: Callable[[str, str], bool]) -> None:
        gone = [place for place in self.state.observations if unwanted(*place)]
        for place in gone:
            del self.state.observations[place]
        self.count("observations", len(gone))

    def closed_incidents(self) -> None:
        closed = [
            key
            for key, one in self.state.incidents.items()
            if one.closed_at is not None and one.closed_at < self.cutoff
        ]
        for key in closed:
            del self.state.incidents[key]
        self.count("incidents", len(closed))

    def targets(self) -> None:
        gone = {key for key, status in self.state.targets.items() if status.attempted_at < self.cutoff}
        self.incidents(lambda target_id, _: target_id in gone)
        self.observations(lambda target_id, _: target_id in gone)
        for key in gone:
            del self.state.targets[key]
            self.state.sites.pop(key, None)
        self.count("targets", len(gone))

    def stale_checks(self) -> None:
        stale = {
            place
            for place, one in self.state.observations.items()
            if (status := self.state.targets.get(place[0])) is not None
            and status.scanned_at is not None
            and one.observed_at < status.scanned_at - self.retention
        }
        self.incidents(lambda target_id, check_id: (target_id, check_id) in stale)
        self.observations(lambda target_id, check_id: (target_id, check_id) in stale)

    def queue(self) -> None:
        settled = [(one.settled_at, one) for one in self.alerts.listed() if one.settled_at is not None]
        self.remove("alerts_settled", (one for at, one in settled if at < self.cutoff))
        pending = [one for one in self.alerts.listed() if one.settled_at is None]
        room = max(0, self.limits.alerts_max - len(pending))
        left = sorted((at, one.alert_id) for at, one in settled if at >= self.cutoff)
        self.remove("alerts_settled", (self.alerts.by_id[key] for _, key in left[: max(0, len(left) - room)]))
        self.remove("alerts_undelivered", pending[: max(0, len(pending) - self.limits.alerts_max)])

    def remove(self, what: str, unwanted: Iterable[QueuedAlert]) -> None:
        gone = [one.alert_id for one in unwanted]
        for alert_id in gone:
            del self.alerts.by_id[alert_id]
        self.count(what, len(gone))


def prune(state: MemoryState, alerts: MemoryAlerts, limits: Limits, *, now: datetime) -> dict[str, int]:
    """Drop what is too old, then what is too much; return kind -> number, zeros left out."""
    pruner = _Pruner(state, alerts, limits, now)
    pruner.outcomes()
    pruner.attempts()
    pruner.closed_incidents()
    pruner.targets()
    pruner.stale_checks()
    pruner.queue()
    return pruner.dropped
