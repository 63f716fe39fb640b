"""Alarms of evidence chains: which stand, and their end by a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from central_command.errors import RefusedError
from central_command.store.promoter import audit

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg


@dataclass(frozen=True, slots=True)
class Alarm:
    """A chain that is not as it should be.

    Attributes:
        id: ``site/appliance/chain``.
        reason: What was found first.
        since: When, UTC.
        seq: The last entry that is sound here.

    """

    id: str
    reason: str
    since: datetime
    seq: int


def standing_alarms(connection: psycopg.Connection) -> list[Alarm]:
    """Return the alarms that nobody has ended, the oldest first."""
    rows = connection.execute(
        "SELECT concat_ws('/', site_id, appliance_id, chain_id), alarm, alarmed_at, seq FROM evidence_chains"
        " WHERE alarm IS NOT NULL ORDER BY alarmed_at, 1"
    )
    return [Alarm(*row) for row in rows]


def end_alarm(connection: psycopg.Connection, alarm_id: str, *, actor: str, reason: str, audit_id: str) -> Alarm:
    """End an alarm, with an audit row that keeps it; entries are neither taken anew nor changed by that.

    Args:
        connection: Of the role ``central_fleet``.
        alarm_id: ``site/appliance/chain``, or the chain alone where no other appliance has one of that name.
        actor: Who ends it.
        reason: Why it is over.
        audit_id: Id of the audit row, UUIDv7.

    Raises:
        RefusedError: No such alarm stands, or several do, or there is no reason.

    """
    if not reason.strip():
        message = "the end of an alarm has a reason"
        raise RefusedError(message, hint="--reason TEXT")
    found = [one for one in standing_alarms(connection) if alarm_id in (one.id, one.id.rsplit("/", 1)[-1])]
    if len(found) != 1:
        message = f"{len(found) or 'no'} alarms stand for {alarm_id}"
        raise RefusedError(message, hint="central-command evidence alarms list shows their ids")
    alarm = found[0]
    site_id, appliance_id, chain_id = alarm.id.split("/", 2)
    done = connection.execute(
        "UPDATE evidence_chains SET alarm = NULL, alarmed_at = NULL"
        " WHERE site_id = %s AND appliance_id = %s AND chain_id = %s AND alarm = %s AND alarmed_at = %s",
        (site_id, appliance_id, chain_id, alarm.reason, alarm.since),
    ).rowcount
    if not done:
        message = f"the alarm of {alarm_id} has just changed"
        raise RefusedError(message, hint="look again: central-command evidence alarms list")
    details = {"alarm": alarm.reason, "since": alarm.since.isoformat(), "seq": alarm.seq}
    audit(
        connection,
        audit_id,
        actor=actor,
        what="evidence_alarm_ended",
        subject=alarm.id,
        reason=reason,
        details=details,
        site_id=site_id,
    )
    return alarm
