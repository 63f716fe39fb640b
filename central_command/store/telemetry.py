"""What appliances report of their executions, in; each report counts once, however often it is sent."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_MONTHS_BACK: Final = 3
_MONTHS_AHEAD: Final = 1
_MILLISECOND_SHIFT: Final = 80
_LOCK: Final = 0x0CE4_9A27


@dataclass(frozen=True, slots=True)
class Execution:
    """One outcome, as an appliance reported it. The order of the fields is the order of the columns.

    Attributes:
        execution_id: UUIDv7 of the report.
        ended_at: When the turn ended, UTC, by the appliance's clock.
        outcome: As in the agent's vocabulary, e.g. ``remediated``.
        success: True for ``remediated`` alone.
        level: ``L1`` by a rule, ``L2`` by an approved proposal, ``L3`` by a person's choice; ``None`` for no attempt.
        rule_id: The rule that matched.
        runbook_id: What ran.
        runbook_digest: SHA-256 of what ran, hex.
        action: As dispatched.
        target_id: The machine.
        check_id: The check that failed.
        incident_type: Its type.
        platform: Of the machine.
        distro: Of the machine.
        severity: Of the incident.
        incident_id: The incident.
        fingerprint: Site, target and check.
        opened_at: When the check began to fail, UTC.
        attempt_id: The attempt; ``None`` where nothing ran.
        begun_at: When it began, UTC.
        undoes: The attempt that a person took back; such a report is no attempt itself.
        reason: One sentence.

    """

    execution_id: UUID
    ended_at: datetime
    outcome: str
    success: bool
    level: str | None
    rule_id: str | None
    runbook_id: str | None
    runbook_digest: str | None
    action: str | None
    target_id: str
    check_id: str
    incident_type: str | None
    platform: str | None
    distro: str | None
    severity: str | None
    incident_id: str | None
    fingerprint: str
    opened_at: datetime | None
    attempt_id: UUID | None
    begun_at: datetime | None
    undoes: UUID | None
    reason: str


_COLUMNS: Final = tuple(field.name for field in fields(Execution))
_TYPES: Final = {
    "execution_id": "uuid",
    "ended_at": "timestamptz",
    "success": "bool",
    "opened_at": "timestamptz",
    "attempt_id": "uuid",
    "begun_at": "timestamptz",
    "undoes": "uuid",
}
_NAMES: Final = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))

INGEST: Final = sql.SQL(
    "WITH inserted AS ("
    " INSERT INTO execution_telemetry (site_id, appliance_id, {names})"
    " SELECT %s, %s, * FROM unnest({arrays})"
    " ON CONFLICT DO NOTHING RETURNING execution_id"
    "), appended AS ("
    " INSERT INTO telemetry_delta (site_id, appliance_id, execution_ids)"
    " SELECT %s, %s, array_agg(execution_id) FROM inserted HAVING count(*) > 0"
    ") SELECT execution_id FROM inserted"
).format(
    names=_NAMES,
    arrays=sql.SQL(", ").join(sql.SQL("%s::" + _TYPES.get(name, "text") + "[]") for name in _COLUMNS),
)
"""One statement: rows that are new, and one row that tells the fold which ones they are."""


def ingest(
    connection: psycopg.Connection, *, site_id: str, appliance_id: str, executions: Sequence[Execution]
) -> frozenset[UUID]:
    """Store what is new, in the transaction of the caller; return the ids of the new ones.

    A report that was stored before is left as it is and counts nothing, within one call too.
    """
    if not executions:
        return frozenset()
    columns = [list(column) for column in zip(*map(astuple, executions), strict=True)]
    rows = connection.execute(INGEST, [site_id, appliance_id, *columns, site_id, appliance_id])
    return frozenset(row[0] for row in rows)


def time_of(execution_id: UUID) -> datetime | None:
    """Return when a UUIDv7 was drawn, UTC; ``None`` for any other id."""
    if execution_id.version != 7:  # noqa: PLR2004 - its name
        return None
    return datetime.fromtimestamp((execution_id.int >> _MILLISECOND_SHIFT) / 1000, tz=UTC)


def keep_partitions(connection: psycopg.Connection, *, now: datetime) -> list[str]:
    """Make the partitions of this month, three before and one after, where they are missing; return the new names.

    Run by the owner of the tables. Dropping old ones is a decision about evidence, and not taken here.
    """
    made = []
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))  # two servers start at once
        made += _make_partitions(connection, now)
    return made


def _make_partitions(connection: psycopg.Connection, now: datetime) -> list[str]:
    made = []
    for months in range(-_MONTHS_BACK, _MONTHS_AHEAD + 1):
        first = _month(now, months)
        name = f"execution_telemetry_{first:%Y_%m}"
        if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() != (None,):
            continue
        connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF execution_telemetry FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier(name), sql.Literal(_lowest(first)), sql.Literal(_lowest(_month(now, months + 1)))
            )
        )
        made.append(name)
    return made


def oldest_kept(now: datetime) -> datetime:
    """Return the time before which reports are too old to be taken."""
    return _month(now, -_MONTHS_BACK)


def newest_kept(now: datetime) -> datetime:
    """Return the time after which a report's clock is too wrong: a day ahead."""
    return now + timedelta(days=1)


def _month(now: datetime, months: int) -> datetime:
    """Return the first moment of a month (UTC), counted from that of ``now``."""
    index = now.year * 12 + now.month - 1 + months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def _lowest(moment: datetime) -> UUID:
    return UUID(int=round(moment.timestamp() * 1000) << _MILLISECOND_SHIFT)
