"""Connections: a pool, and transactions that are one of two roles."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Self

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from central_command.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAIT_S: Final = 5.0
_STATEMENT_TIMEOUT_MS: Final = 30_000


class Database:
    """A pool of connections. Each block is one transaction, and has the rights of one role, no more."""

    def __init__(self, conninfo: str, *, connections_max: int = 10) -> None:
        """Take how to reach the database; nothing is opened yet."""
        self._pool = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=connections_max,
            timeout=_WAIT_S,
            open=False,
            kwargs={"options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} -c application_name=central-command"},
            check=ConnectionPool.check_connection,
        )

    def __enter__(self) -> Self:
        """Open the pool.

        Raises:
            DatabaseError: The server does not answer.

        """
        self._pool.open()
        try:
            self._pool.wait(timeout=_WAIT_S)
        except PoolTimeout as error:
            self._pool.close()
            message = "PostgreSQL does not answer"
            raise DatabaseError(message, hint="is it running, and does DATABASE_URL name it?") from error
        return self

    def __exit__(self, *_error: object) -> None:
        """Close every connection."""
        self._pool.close()

    @contextlib.contextmanager
    def site(self, site_id: str) -> Iterator[psycopg.Connection]:
        """Be the role that answers appliances, of one site: row security lets nothing else through."""
        with self._transaction("central_agent") as connection:
            connection.execute("SELECT set_config('central.site_id', %s, true)", (site_id,))
            yield connection

    @contextlib.contextmanager
    def fleet(self) -> Iterator[psycopg.Connection]:
        """Be the role that sees every site: for the fold, for operators, and to learn whose a credential is."""
        with self._transaction("central_fleet") as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self, role: str) -> Iterator[psycopg.Connection]:
        try:
            with self._pool.connection() as connection:
                connection.execute(psycopg.sql.SQL("SET LOCAL ROLE {}").format(psycopg.sql.Identifier(role)))
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            message = f"the database does not answer: {str(error).strip()}"
            raise DatabaseError(message, hint="try again later") from error
