"""Channels that carry alerts to people. Each is one ``deliver`` that returns or raises ``DeliveryError``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from compliance_agent.errors import DeliveryError

if TYPE_CHECKING:
    from compliance_agent.adapters.store import QueuedAlert

__all__ = ["Channel", "ChannelError"]


class Channel(Protocol):
    """One way to tell people. Thread-safe; a call ends within the channel's deadline."""

    @property
    def name(self) -> str:
        """Return the channel's name: what the queue keeps its tries under."""
        ...

    def deliver(self, queued: QueuedAlert) -> None:
        """Hand the alert over. It may come twice; ``queued.alert_id`` tells so.

        Raises:
            DeliveryError: It was not taken; ``retryable`` tells whether a later try may help.

        """
        ...


class ChannelError(DeliveryError):
    """A delivery error that may carry the receiver's wish when to try again."""

    def __init__(
        self, message: str, *, hint: str = "", retryable: bool = False, retry_after_s: float | None = None
    ) -> None:
        """Keep beside message, hint and retryable the seconds that the receiver asked to wait, if it did."""
        super().__init__(message, hint=hint, retryable=retryable)
        self.retry_after_s = retry_after_s
