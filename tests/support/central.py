"""Databases of Central Command for tests, and reports to fill them with."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from central_command.store.migrate import migrate
from central_command.store.telemetry import Execution, ingest, keep_partitions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from central_command.postgres.server import PostgresServer

NOW: Final = datetime(2026, 3, 15, 12, tzinfo=UTC)

_numbers = itertools.count()


def make_database(server: PostgresServer, name: str, *, now: datetime = NOW) -> str:
    """Make a database with this release's tables and the partitions around ``now``; return how to reach it."""
    with server.connect() as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    conninfo = psycopg.conninfo.make_conninfo(server.conninfo, dbname=name)
    migrate(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        keep_partitions(connection, now=now)
    return conninfo


def empty_database(connection: psycopg.Connection) -> None:
    """Remove every row of every table. As the owner, with foreign keys left aside for the moment."""
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname <> 'alembic_version'"
    ).fetchall()
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for (name,) in tables:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))


def add_site(connection: psycopg.Connection, site_id: str, *appliances: str) -> None:
    """Add a site with its appliances, which have reported all that they did."""
    connection.execute("INSERT INTO sites (site_id) VALUES (%s) ON CONFLICT DO NOTHING", (site_id,))
    for appliance_id in appliances:
        connection.execute(
            "INSERT INTO appliances (site_id, appliance_id, reported_until) VALUES (%s, %s, 'infinity')",
            (site_id, appliance_id),
        )


def add_runbook(connection: psycopg.Connection, runbook_id: str) -> None:
    """Add a runbook to the catalogue."""
    connection.execute(
        "INSERT INTO runbooks VALUES (%s, 'a runbook', '{linux}', 'ssh_config', 1, 'none', 'never', true)",
        (runbook_id,),
    )


def add_rule(connection: psycopg.Connection, rule_id: str, runbook_id: str = "LIN-SSH-001", **columns: Any) -> None:
    """Add an enabled rule of the fleet that runs a runbook."""
    values = {
        "site_id": "*",
        "rule_id": rule_id,
        "incident_pattern": '{"check_id": "LIN-SSH-001"}',
        "action": f"run_linux_runbook:{runbook_id}",
        "runbook_id": runbook_id,
        "source": "synced",
        "stage": "enabled",
        "stage_since": NOW - timedelta(days=1),
        **columns,
    }
    connection.execute(
        sql.SQL("INSERT INTO l1_rules ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(sql.Placeholder() * len(values))
        ),
        list(values.values()),
    )


def execution(outcome: str = "remediated", **changes: Any) -> Execution:
    """Return the report of one attempt that ended so, an own id each time."""
    ended_at = changes.get("ended_at", max(NOW, changes.get("opened_at") or NOW))
    number = next(_numbers)
    base = Execution(
        execution_id=uuid7(NOW, number),
        ended_at=ended_at,
        outcome=outcome,
        success=outcome == "remediated",
        level="L1",
        rule_id="RULE-1",
        runbook_id="LIN-SSH-001",
        runbook_digest="ab" * 32,
        action="run_linux_runbook:LIN-SSH-001",
        target_id="server-1",
        check_id="LIN-SSH-001",
        incident_type="ssh_config",
        platform="linux",
        distro="debian",
        severity="high",
        incident_id=f"incident-{number}",
        fingerprint=f"fingerprint-{number}",
        opened_at=ended_at - timedelta(minutes=1),
        attempt_id=uuid7(NOW, number),
        begun_at=ended_at - timedelta(seconds=30),
        undoes=None,
        reason="done",
    )
    return dataclasses.replace(base, **changes)


def uuid7(moment: datetime, number: int) -> uuid.UUID:
    """Return the UUIDv7 of a moment that carries this number."""
    milliseconds = round(moment.timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | number)


@contextlib.contextmanager
def as_agent(connection: psycopg.Connection, site_id: str) -> Iterator[psycopg.Connection]:
    """Be the role that answers appliances of one site, for one transaction."""
    with connection.transaction():
        connection.execute("SELECT set_config('central.site_id', %s, true)", (site_id,))
        connection.execute("SET LOCAL ROLE central_agent")
        yield connection


def report(
    connection: psycopg.Connection, executions: Sequence[Execution], *, site_id: str = "site-1", appliance_id: str = "a"
) -> frozenset[uuid.UUID]:
    """Ingest reports as the appliance's route does."""
    with as_agent(connection, site_id):
        return ingest(connection, site_id=site_id, appliance_id=appliance_id, executions=executions)
