"""The servers that judge: each worker starts its own, one of every version that is here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from central_command.postgres.server import PostgresServer, find_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from central_command.postgres.server import ServerSource

_FUNCTIONS = Path(__file__).with_name("matching.sql")


@pytest.fixture(scope="session", params=find_sources(variable="ORACLE_DATABASE_URL"), ids=lambda source: source.name)
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A running server; each test runs against every version."""
    source: ServerSource = request.param
    with PostgresServer(source) as server:
        yield server


@pytest.fixture(scope="session")
def oracle(postgres: PostgresServer) -> Iterator[psycopg.Connection]:
    """A session of that server that knows the functions of ``matching.sql``."""
    with postgres.connect() as connection:
        connection.execute(_FUNCTIONS.read_bytes())
        yield connection
