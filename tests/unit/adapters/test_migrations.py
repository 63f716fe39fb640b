"""Migrations are numbered as they stand, and each leads from the one before it."""

from __future__ import annotations

import re
import sqlite3
from importlib import import_module
from pathlib import Path

from compliance_agent.adapters.store import migrations
from compliance_agent.adapters.store.migrations import MIGRATIONS
from compliance_agent.adapters.store.schema import migrate

MODULES = sorted(path.stem for path in Path(migrations.__file__).parent.glob("m*.py"))


def test_every_module_is_listed_at_the_place_that_its_number_says() -> None:
    numbers = [int(re.fullmatch(r"m(\d{4})_[a-z_]+", name)[1]) for name in MODULES]  # type: ignore[index]
    assert numbers == list(range(1, len(MIGRATIONS) + 1))
    found = [import_module(f"{migrations.__name__}.{name}").STATEMENTS for name in MODULES]
    assert found == list(MIGRATIONS)


def test_a_file_of_every_older_version_becomes_what_a_new_one_is() -> None:
    new = _schema(len(MIGRATIONS), len(MIGRATIONS))
    for version in range(1, len(MIGRATIONS)):
        assert _schema(version, len(MIGRATIONS)) == new


def _schema(first: int, then: int) -> list[tuple[str, str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, name="x", migrations=MIGRATIONS[:first])
        migrate(connection, name="x", migrations=MIGRATIONS[:then])
        return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    finally:
        connection.close()
