"""``python -m central_command``, and the program ``central-command``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from central_command.cli.main import run  # noqa: PLC0415 - what is missing is told in words
    except ModuleNotFoundError as error:
        if error.name not in {"psycopg", "psycopg_pool", "alembic", "sqlalchemy", "starlette", "uvicorn"}:
            raise
        sys.exit(f"error: {error.name} is missing\nhint: install compliance-agent[central]")
    sys.exit(run())


if __name__ == "__main__":
    main()
