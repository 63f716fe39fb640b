"""What operators decide, for the fleet and for one site; patterns of an earlier control plane."""

from central_command.store.migrations import run_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    run_file("0002_hands.sql")
