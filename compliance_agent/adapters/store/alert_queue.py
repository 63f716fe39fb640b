"""What one write transaction does to the queue of alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.store.codec import alert_id_for, optional_time_text, time_text
from compliance_agent.adapters.store.rows import AlertState, DeliveryState
from compliance_agent.adapters.store.writes import insert
from compliance_agent.errors import StoreError
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from compliance_agent.domain.outcome import Alert


def enqueue(connection: sqlite3.Connection, alert: Alert, *, repeat: timedelta) -> None:
    """Queue an alert, or count it where the same is open: undelivered, or settled less than ``repeat`` ago.

    One that was settled in the future, by a clock that was wrong then, is not open.
    """
    alert_id = alert_id_for(alert.dedupe_key, alert.raised_at)
    changed = connection.execute(
        "UPDATE alert SET raised_count = raised_count + 1, last_raised_at = ?1"
        " WHERE alert_id = (SELECT alert_id FROM alert WHERE dedupe_key = ?2"
        " AND (state = 'pending' OR settled_at > ?3 AND settled_at <= ?5 OR alert_id = ?4)"
        " ORDER BY state != 'pending', settled_at DESC, alert_id LIMIT 1)",
        (
            time_text(alert.raised_at),
            alert.dedupe_key,
            time_text(alert.raised_at - repeat),
            alert_id,
            time_text(alert.raised_at + repeat),
        ),
    ).rowcount
    if changed:
        return
    insert(
        connection,
        "alert",
        {
            "alert_id": alert_id,
            "dedupe_key": alert.dedupe_key,
            "kind": alert.kind.value,
            "name": alert.name,
            "summary": alert.summary,
            "document": write_json(alert.document),
            "raised_at": time_text(alert.raised_at),
            "state": AlertState.PENDING.value,
            "raised_count": 1,
            "last_raised_at": time_text(alert.raised_at),
        },
    )


def put_delivery(
    connection: sqlite3.Connection,
    alert_id: str,
    channel: str,
    *,
    state: DeliveryState,
    error: str = "",
    next_try_at: datetime | None = None,
) -> None:
    """Keep how one try on one channel ended.

    Raises:
        StoreError: There is no such alert.

    """
    known = connection.execute("SELECT 1 FROM alert WHERE alert_id = ?", (alert_id,)).fetchone()
    if known is None:
        raise unknown_alert(alert_id)
    connection.execute(
        "INSERT INTO alert_delivery (alert_id, channel, state, tries, last_error, next_try_at)"
        " VALUES (?1, ?2, ?3, 1, ?4, ?5) ON CONFLICT DO UPDATE SET"
        " state = ?3, tries = tries + 1, last_error = ?4, next_try_at = ?5",
        (alert_id, channel, state.value, error, optional_time_text(next_try_at)),
    )


def unknown_alert(alert_id: str) -> StoreError:
    """Return the error for an alert that is not in the queue."""
    return StoreError(f"there is no alert {alert_id} in the queue")


def settle(connection: sqlite3.Connection, channels: Sequence[str], *, now: datetime) -> None:
    """Settle each pending alert that every one of ``channels`` is done with."""
    for row in connection.execute(
        "SELECT alert_id FROM alert WHERE state = 'pending' AND alert_id IN (SELECT alert_id FROM alert_delivery)"
    ).fetchall():
        states = {
            line["channel"]: DeliveryState(line["state"])
            for line in connection.execute(
                "SELECT channel, state FROM alert_delivery WHERE alert_id = ?", (row["alert_id"],)
            )
        }
        settled = settled_state([states.get(channel, DeliveryState.PENDING) for channel in channels])
        if settled is not AlertState.PENDING:
            connection.execute(
                "UPDATE alert SET state = ?, settled_at = ? WHERE alert_id = ?",
                (settled.value, time_text(now), row["alert_id"]),
            )


def settled_state(states: Collection[DeliveryState]) -> AlertState:
    """Return the state of an alert over its channels; without a channel it stays pending."""
    if not states or DeliveryState.PENDING in states:
        return AlertState.PENDING
    if DeliveryState.DEAD not in states:
        return AlertState.DELIVERED
    return AlertState.PARTLY_DELIVERED if DeliveryState.DELIVERED in states else AlertState.DEAD
