"""The alert worker: takes due alerts from the queue and hands them to the configured channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from compliance_agent.adapters.store import AlertState
from compliance_agent.domain.scrub import scrub
from compliance_agent.errors import DeliveryError, StoreError

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from compliance_agent.adapters.alert_channels import Channel
    from compliance_agent.adapters.store import Counts, QueuedAlert
    from compliance_agent.engine.ports import Clock

NO_CHANNEL: Final = "no channel configured"

_log = structlog.get_logger(__name__)


class AlertQueue(Protocol):
    """The part of the store that the worker uses."""

    def due_alerts(self, now: datetime, limit: int, channels: Sequence[str]) -> list[QueuedAlert]:
        """Return the pending alerts that are due on one of ``channels``, oldest first."""
        ...

    def alert_delivered(self, alert_id: str, channel: str) -> None:
        """Keep that a channel took the alert."""
        ...

    def alert_failed(self, alert_id: str, channel: str, *, error: str, next_try_at: datetime | None) -> None:
        """Keep that a channel did not take it, and when to try again (``None``: never)."""
        ...

    def settle_alerts(self, channels: Sequence[str], *, now: datetime) -> None:
        """Settle the pending alerts that every one of ``channels`` is done with."""
        ...

    def counts(self) -> Counts:
        """Return how much there is."""
        ...


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed delivery is tried again: exponential backoff with full jitter.

    Attributes:
        base_s: Upper end of the first wait, in seconds; it doubles with each try.
        cap_s: Most that the upper end grows to. A receiver's ``Retry-After`` may ask for more.
        tries_max: Tries on one channel after which the alert is dead there. At the cap this is about
            four days, so that a long weekend without a line loses nothing.
        batch_max: Most alerts in one call.

    """

    base_s: float = 30.0
    cap_s: float = 3_600.0
    tries_max: int = 200
    batch_max: int = 50


DEFAULT_RETRY_POLICY: Final = RetryPolicy()


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What one call did.

    Attributes:
        delivered: Deliveries that a channel took.
        failed: Tries that failed and will be repeated.
        dead: Deliveries that were given up.
        pending: Alerts that still wait, by the queue's count.
        trouble: Why nothing can be delivered at all; empty when something can.

    """

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    pending: int = 0
    trouble: str = ""


class AlertWorker:
    """Delivers at least once: a crash between delivery and its record sends the same ``alert_id`` again."""

    def __init__(
        self,
        store: AlertQueue,
        channels: Sequence[Channel],
        clock: Clock,
        rng: random.Random,
        *,
        policy: RetryPolicy = DEFAULT_RETRY_POLICY,
    ) -> None:
        """Take the queue, the channels (names differ), the clock, the source of jitter and the limits.

        Raises:
            ValueError: Two channels share a name.

        """
        self._channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}
        if len(self._channels) != len(channels):
            message = "two alert channels share a name"
            raise ValueError(message)
        self._store = store
        self._clock = clock
        self._rng = rng
        self._policy = policy

    def deliver_due(self) -> DeliveryReport:
        """Try every due alert on every channel that still wants it. Never raises: troubles are kept and logged."""
        try:
            return self._deliver_due()
        except StoreError as error:
            _log.error("alerts.store_failed", error=error.message, hint=error.hint)
            return DeliveryReport(trouble=str(error))
        except Exception:  # noqa: BLE001 - the caller is the daemon loop, which must go on
            _log.exception("alerts.worker_failed")
            return DeliveryReport(trouble="an unexpected error; see the log")

    def _deliver_due(self) -> DeliveryReport:
        names = list(self._channels)
        now = self._clock.now()
        report = DeliveryReport()
        for queued in self._store.due_alerts(now, self._policy.batch_max, names):
            for name in names:
                if queued.is_due(name, now):
                    report = self._try(queued, self._channels[name], report)
        if names:
            self._store.settle_alerts(names, now=now)
        pending = self._store.counts().alerts.get(AlertState.PENDING, 0)
        return replace(report, pending=pending, trouble=NO_CHANNEL if pending and not names else "")

    def _try(self, queued: QueuedAlert, channel: Channel, report: DeliveryReport) -> DeliveryReport:
        try:
            channel.deliver(queued)
        except Exception as error:  # noqa: BLE001 - a channel's fault must not stop its neighbours
            return self._failed(queued, channel.name, _as_delivery_error(error), report)
        self._store.alert_delivered(queued.alert_id, channel.name)
        _log.info("alert.delivered", alert=queued.alert_id, channel=channel.name, name=queued.alert.name)
        return replace(report, delivered=report.delivered + 1)

    def _failed(
        self, queued: QueuedAlert, channel: str, error: DeliveryError, report: DeliveryReport
    ) -> DeliveryReport:
        tries = queued.delivery(channel).tries + 1
        next_try_at = None
        if error.retryable and tries < self._policy.tries_max:
            # After the try, which may have taken long.
            next_try_at = self._clock.now() + self._wait(tries, error)
        self._store.alert_failed(queued.alert_id, channel, error=str(error), next_try_at=next_try_at)
        event = "alert.dead" if next_try_at is None else "alert.failed"
        _log.warning(
            event,
            alert=queued.alert_id,
            channel=channel,
            error=error.message,
            hint=error.hint,
            tries=tries,
            next=next_try_at,
        )
        if next_try_at is None:
            return replace(report, dead=report.dead + 1)
        return replace(report, failed=report.failed + 1)

    def _wait(self, tries: int, error: DeliveryError) -> timedelta:
        """Return how long to wait after the ``tries``-th try: at random below the limit, not below Retry-After."""
        doubled = self._policy.base_s * 2.0 ** min(tries - 1, 32)
        jitter_s = self._rng.uniform(0.0, min(self._policy.cap_s, doubled))
        floor_s = getattr(error, "retry_after_s", None) or 0.0
        return timedelta(seconds=max(jitter_s, floor_s))


def _as_delivery_error(error: Exception) -> DeliveryError:
    """Return the error itself, or, for one that a channel should not have raised, one that is tried again."""
    if isinstance(error, DeliveryError):
        return error
    return DeliveryError(f"unexpected {type(error).__name__}: {scrub(str(error))}", retryable=True)
