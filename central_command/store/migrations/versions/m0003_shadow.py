"""What appliances have shown of rules in shadow."""

from central_command.store.migrations import run_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make it."""
    run_file("0003_shadow.sql")
