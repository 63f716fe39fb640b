"""The alert queue in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from compliance_agent.adapters.store.alert_queue import settled_state, unknown_alert
from compliance_agent.adapters.store.codec import alert_id_for
from compliance_agent.adapters.store.rows import AlertState, ChannelDelivery, DeliveryState, QueuedAlert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from compliance_agent.domain.outcome import Alert


class MemoryAlerts:
    """Queued alerts by id. Not thread-safe: its owner holds the lock."""

    def __init__(self, repeat: timedelta) -> None:
        """Start empty; a settled alert stays open for ``repeat``."""
        self._repeat = repeat
        self.by_id: dict[str, QueuedAlert] = {}

    def enqueue(self, alert: Alert) -> None:
        """Queue an alert, or count it where the same is open."""
        alert_id = alert_id_for(alert.dedupe_key, alert.raised_at)
        known = [one for one in self.by_id.values() if self._is_open(one, alert, alert_id)]
        if not known:
            self.by_id[alert_id] = QueuedAlert(alert_id, alert, AlertState.PENDING, 1, alert.raised_at)
            return
        pending = [one for one in known if one.state is AlertState.PENDING]
        settled = sorted((one for one in known if one.settled_at is not None), key=_settled_last_first)
        one = (pending or settled)[0]
        self.by_id[one.alert_id] = replace(one, raised_count=one.raised_count + 1, last_raised_at=alert.raised_at)

    def _is_open(self, known: QueuedAlert, alert: Alert, alert_id: str) -> bool:
        if known.alert.dedupe_key != alert.dedupe_key:
            return False
        if known.settled_at is None or known.alert_id == alert_id:
            return True
        return alert.raised_at - self._repeat < known.settled_at <= alert.raised_at + self._repeat

    def due(self, now: datetime, limit: int, channels: Sequence[str]) -> list[QueuedAlert]:
        """Return the alerts that are due on one of ``channels``."""
        return [one for one in self.listed() if any(one.is_due(channel, now) for channel in channels)][:limit]

    def delivered(self, alert_id: str, channel: str) -> None:
        """Keep that a channel took it."""
        self._put(alert_id, channel, DeliveryState.DELIVERED, "", None)

    def failed(self, alert_id: str, channel: str, *, error: str, next_try_at: datetime | None) -> None:
        """Keep that a channel did not take it."""
        state = DeliveryState.DEAD if next_try_at is None else DeliveryState.PENDING
        self._put(alert_id, channel, state, error, next_try_at)

    def _put(self, alert_id: str, channel: str, state: DeliveryState, error: str, next_try_at: datetime | None) -> None:
        one = self.by_id.get(alert_id)
        if one is None:
            raise unknown_alert(alert_id)
        tried = ChannelDelivery(channel, state, one.delivery(channel).tries + 1, error, next_try_at)
        others = [delivery for delivery in one.deliveries if delivery.channel != channel]
        deliveries = tuple(sorted((*others, tried), key=lambda delivery: delivery.channel))
        self.by_id[alert_id] = replace(one, deliveries=deliveries)

    def settle(self, channels: Sequence[str], *, now: datetime) -> None:
        """Settle the pending alerts that every one of ``channels`` is done with."""
        for one in self.listed(AlertState.PENDING):
            state = settled_state([one.delivery(channel).state for channel in channels])
            if state is not AlertState.PENDING:
                self.by_id[one.alert_id] = replace(one, state=state, settled_at=now)

    def listed(self, state: AlertState | None = None) -> list[QueuedAlert]:
        """Return the alerts, oldest first."""
        found = [one for one in self.by_id.values() if state is None or one.state is state]
        return sorted(found, key=lambda one: (one.alert.raised_at, one.alert_id))

    def numbers(self) -> dict[AlertState, int]:
        """Return how many are in each state."""
        return dict(Counter(one.state for one in self.by_id.values()))


def _settled_last_first(one: QueuedAlert) -> tuple[float, str]:
    return (-one.settled_at.timestamp() if one.settled_at is not None else 0.0, one.alert_id)
