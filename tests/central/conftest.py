"""One server of each version that is here, with one database for the whole run; each test leaves it empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from central_command.postgres.server import PostgresServer, find_sources
from tests.support.central import add_rule, add_runbook, add_site, empty_database, make_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central_command.postgres.server import ServerSource


@pytest.fixture(
    scope="session", params=find_sources(variable="CENTRAL_TEST_DATABASE_URL"), ids=lambda source: source.name
)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A running server; each test runs against every version."""
    source: ServerSource = request.param
    with PostgresServer(source) as running:
        yield running


@pytest.fixture(scope="session")
def database(server: PostgresServer) -> str:
    """A database with this release's tables: how to reach it."""
    return make_database(server, "central")


@pytest.fixture
def conninfo(database: str) -> Iterator[str]:
    """The database, empty; emptied afterwards, which is twenty times as fast as a copy for each test."""
    yield database
    with psycopg.connect(database, autocommit=True) as connection:
        empty_database(connection)


@pytest.fixture
def owner(conninfo: str) -> Iterator[psycopg.Connection]:
    """A session of the owner of the tables: one site with one appliance, one runbook, one rule."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        add_site(connection, "site-1", "a")
        add_runbook(connection, "LIN-SSH-001")
        add_rule(connection, "RULE-1")
        yield connection


@pytest.fixture
def fleet(owner: psycopg.Connection, conninfo: str) -> Iterator[psycopg.Connection]:
    """A session of the role that folds."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET ROLE central_fleet")
        yield connection


@pytest.fixture
def agent(owner: psycopg.Connection, conninfo: str) -> Iterator[psycopg.Connection]:
    """A session of the role that answers appliances."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection
