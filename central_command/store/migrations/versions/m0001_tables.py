"""The first tables."""

from central_command.store.migrations import run_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    run_file("0001_tables.sql")
