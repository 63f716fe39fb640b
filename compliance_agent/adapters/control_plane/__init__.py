"""The control plane as the sender sees it: one batch out, one answer back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.domain.outbox import OutboxEntry
    from compliance_agent.domain.uplink import Answer

__all__ = ["Uplink"]


class Uplink(Protocol):
    """Where batches of reports go. A call ends within the uplink's deadline."""

    def send(self, entries: Sequence[OutboxEntry], *, sent_at: datetime) -> Answer:
        """Send one batch and return what came back. Never raises: no answer is an answer without a status."""
        ...
