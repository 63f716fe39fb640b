"""Numbered migrations, forward only. ``versions/`` is Alembic's list; the tables stand in ``sql/``."""

from pathlib import Path

from alembic import op


def run_file(name: str) -> None:
    """Run ``sql/NAME`` as it stands, within the transaction of the migration."""
    connection = op.get_bind().connection.driver_connection
    if connection is None:
        message = "the migration has no connection"
        raise RuntimeError(message)
    connection.execute((Path(__file__).parent / "sql" / name).read_bytes())
