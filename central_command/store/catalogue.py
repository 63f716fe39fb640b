"""The catalogue of runbooks, from the content of this release: a rule can only name what appliances really have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.errors import InputError
from compliance_agent.wire.runbook_document import read_runbook
from compliance_agent.wire.yaml_document import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from compliance_agent.domain.runbook import Runbook

_PLATFORMS: Final = ("linux", "windows")


def read_runbooks(folder: Path) -> list[Runbook]:
    """Return the runbooks below a folder, by id.

    Raises:
        InputError: A file is none, with the file and the line of each problem.

    """
    runbooks, problems = [], []
    for file in sorted(file for platform in _PLATFORMS for file in folder.glob(f"{platform}/*.yaml")):
        runbook, wrong = read_runbook(read_yaml(file.read_bytes(), source=str(file)), stem=file.stem)
        problems += wrong
        runbooks += [runbook] if runbook is not None else []
    if problems:
        raise InputError(problems)
    return sorted(runbooks, key=lambda runbook: runbook.id)


def store_runbooks(connection: psycopg.Connection, runbooks: list[Runbook]) -> None:
    """Make the catalogue know these; one that this release no longer has stays, as rules of the past name it."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO runbooks (runbook_id, title, platforms, check_type, version, disruption, reboot, remedies)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (runbook_id) DO UPDATE SET"
            " title = excluded.title, platforms = excluded.platforms, check_type = excluded.check_type,"
            " version = excluded.version, disruption = excluded.disruption, reboot = excluded.reboot,"
            " remedies = excluded.remedies",
            [
                (
                    one.id,
                    one.title,
                    list(one.platforms),
                    one.check_type,
                    one.version,
                    one.effects.disruption,
                    one.effects.reboot,
                    one.remediate is not None,
                )
                for one in runbooks
            ],
        )
