"""Rules, patterns and reports of an earlier control plane, in: one JSON object a line, judged anew by ours.

A rule whose runbook is a placeholder, or is not in the catalogue, is quarantined. A pattern begins as observed,
whatever was made of it before; what that was is kept beside it. Reports count as if their appliances had sent them.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from central_command.errors import CentralError
from central_command.store.promoter import audit
from central_command.store.telemetry import Execution, ingest, oldest_kept, time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from central_command.store.database import Database

_BATCH: Final = 500


def import_lines(
    database: Database, lines: Iterable[bytes], *, actor: str, now: datetime, new_id: Callable[[], str]
) -> Counter[str]:
    """Take all lines; return how many of each kind are new, quarantined, refused or too old to be kept.

    Rules and patterns come in one transaction, reports in batches, all of them idempotent: what stops half way is run
    again.

    Raises:
        CentralError: A line is not what it has to be; the message names it. Rules and patterns were then not taken.

    """
    told: Counter[str] = Counter()
    documents = [(number, _read(number, line)) for number, line in enumerate(lines, 1)]
    with database.fleet() as connection:
        for number, one in documents:
            if one["kind"] != "execution":
                take = _take_rule if one["kind"] == "rule" else _take_pattern
                with _naming(number), connection.transaction():
                    told[take(connection, one)] += 1
        audit(connection, new_id(), actor=actor, what="import", subject="l1_rules", details=dict(told))
    by_appliance: dict[tuple[str, str], list[Execution]] = {}
    for number, one in documents:
        if one["kind"] == "execution":
            with _naming(number):
                execution = _execution(one)
                drawn = time_of(execution.execution_id)
                if drawn is None or drawn < oldest_kept(now):
                    told["reports too old"] += 1
                    continue
                by_appliance.setdefault((one["site_id"], one["appliance_id"]), []).append(execution)
    for (site_id, appliance_id), executions in by_appliance.items():
        for first in range(0, len(executions), _BATCH):
            with database.site(site_id) as connection:
                batch = executions[first : first + _BATCH]
                new = ingest(connection, site_id=site_id, appliance_id=appliance_id, executions=batch)
                told["reports"] += len(new)
                told["reports that were here"] += len(batch) - len(new)
    return +told


class _naming:  # noqa: N801 - used as a word
    """Name the line of what goes wrong in a block."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | psycopg.DataError | psycopg.IntegrityError):
            said = f"lacks {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
            message = f"line {self._number}: {said}"
            raise CentralError(message, hint="docs/reference/central-command.md has the form of each line") from error


def _read(number: int, line: bytes) -> dict[str, Any]:
    with _naming(number):
        document = json.loads(line)
        if not isinstance(document, dict) or document.get("kind") not in ("rule", "pattern", "execution"):
            message = "it is no object whose kind is rule, pattern or execution"
            raise ValueError(message)
        return document
    raise AssertionError


def _wrong_runbook(connection: psycopg.Connection, runbook_id: str) -> str | None:
    """Return why nothing can be dispatched to a runbook, ``None`` for a sound one."""
    if runbook_id.upper().startswith("AUTO-"):
        return f"{runbook_id} is a placeholder, not a runbook"
    row = connection.execute("SELECT remedies FROM runbooks WHERE runbook_id = %s", (runbook_id,)).fetchone()
    if row is None:
        return f"the catalogue has no runbook {runbook_id}"
    return None if row[0] else f"the runbook {runbook_id} only checks"


def _take_rule(connection: psycopg.Connection, one: dict[str, Any]) -> str:
    runbook_id = str(one["runbook_id"])
    wrong = _wrong_runbook(connection, runbook_id)
    enabled = bool(one["enabled"])
    new = connection.execute(
        "INSERT INTO l1_rules (site_id, rule_id, incident_pattern, action, runbook_id, priority, source, stage,"
        " stage_since, stage_reason, hand, quarantine_reason)"
        " VALUES ('*', %s, %s, %s, %s, 200, 'promoted', 'enabled', %s, 'imported', %s, %s) ON CONFLICT DO NOTHING",
        (
            one["rule_id"],
            Jsonb(one["incident_pattern"]),
            f"run_runbook:{runbook_id}",
            None if wrong else runbook_id,
            datetime.fromisoformat(one["since"]),
            "none" if enabled else "disabled",
            wrong,
        ),
    ).rowcount
    if not new:
        return "rules that were here"
    return "rules quarantined" if wrong else "rules" if enabled else "rules disabled"


def _take_pattern(connection: psycopg.Connection, one: dict[str, Any]) -> str:
    runbook_id = str(one["runbook_id"])
    wrong = _wrong_runbook(connection, runbook_id)
    new = connection.execute(
        "INSERT INTO patterns (site_id, pattern_id, check_id, platform, incident_pattern, runbook_id, stage,"
        " stage_reason, first_at, last_at, imported_stage, imported_runbook)"
        " VALUES ('*', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            UUID(one["pattern_id"]),
            one["check_id"],
            one["platform"],
            Jsonb({"check_id": one["check_id"], "platform": one["platform"]}),
            None if wrong else runbook_id,
            "refused" if wrong else "observed",
            wrong or "imported",
            datetime.fromisoformat(one["first_at"]),
            datetime.fromisoformat(one["last_at"]),
            one["stage"],
            runbook_id,
        ),
    ).rowcount
    if not new:
        return "patterns that were here"
    return "patterns refused" if wrong else "patterns"


def _execution(one: dict[str, Any]) -> Execution:
    """Return a report of the earlier form as ours; a run of it was an attempt, and its check opened nothing anew."""
    execution_id = UUID(one["execution_id"])
    ended_at = datetime.fromisoformat(one["ended_at"])
    if ended_at.tzinfo is None:
        message = "ended_at has no zone"
        raise ValueError(message)
    success = one["success"]
    if not isinstance(success, bool):
        message = "success is true or false"
        raise TypeError(message)
    return Execution(
        execution_id=execution_id,
        ended_at=ended_at,
        outcome="remediated" if success else "failed",
        success=success,
        level=one["level"],
        rule_id=one["rule_id"],
        runbook_id=one["runbook_id"],
        runbook_digest=None,
        action=None,
        target_id=one["target_id"],
        check_id=one["check_id"],
        incident_type=one.get("incident_type"),
        platform=one["platform"],
        distro=None,
        severity=None,
        incident_id=None,
        fingerprint=f"imported {execution_id}",
        opened_at=None,
        attempt_id=execution_id,
        begun_at=None,
        undoes=None,
        reason=str(one.get("reason", "")),
    )
