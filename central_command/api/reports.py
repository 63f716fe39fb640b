"""Reports of appliances, in: telemetry, evidence, signs of life. Each entry of a batch is answered by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from central_command.api.batches import read_batch, read_execution, read_heartbeat
from central_command.api.requests import admit, read_body
from central_command.store import evidence
from central_command.store.telemetry import ingest

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from central_command.api.batches import Batch, Entry
    from central_command.api.requests import Services
    from central_command.store.access import Caller
    from central_command.store.telemetry import Execution

Result = dict[str, str]

_EVIDENCE_STATUS: Final = {
    evidence.Fate.STORED: "accepted",
    evidence.Fate.HAD: "duplicate",
    evidence.Fate.EARLY: "retry",
    evidence.Fate.REFUSED: "rejected",
}


async def telemetry(request: Request) -> Response:
    """Take outcomes of attempts."""
    return await _take(request, scope="telemetry", kind="telemetry", take=_take_telemetry)


async def evidence_entries(request: Request) -> Response:
    """Take signed evidence."""
    return await _take(request, scope="evidence", kind="evidence", take=_take_evidence)


async def checkin(request: Request) -> Response:
    """Take signs of life."""
    return await _take(request, scope="checkin", kind="heartbeat", take=_take_heartbeats)


async def _take(
    request: Request, *, scope: str, kind: str, take: Callable[[Services, Caller, Batch], list[Result]]
) -> Response:
    caller = await admit(request, scope)
    services: Services = request.app.state.services
    with services.one_of_few(caller, scope):
        body = await read_body(request)
        batch = read_batch(body, site_id=caller.site_id, appliance_id=caller.appliance_id, kind=kind)
        results = await run_in_threadpool(take, services, caller, batch)
    results += [_result(entry_id, "rejected", reason) for entry_id, reason in batch.refused if entry_id]
    return JSONResponse({"results": results})


def _take_telemetry(services: Services, caller: Caller, batch: Batch) -> list[Result]:
    now = services.now()
    results, executions = [], []
    for entry in batch.entries:
        try:
            executions.append(read_execution(entry, now=now))
        except ValueError as error:
            results.append(_result(str(entry.id), "rejected", str(error)))
    with services.database.site(caller.site_id) as connection:
        try:
            with connection.transaction():
                results += _answers(connection, caller, executions)
        except (psycopg.DataError, psycopg.IntegrityError):
            for execution in executions:  # one of them is at fault: find it, and take the others
                results.append(_alone(connection, caller, execution))
    return results


def _answers(connection: psycopg.Connection, caller: Caller, executions: list[Execution]) -> list[Result]:
    new = ingest(connection, site_id=caller.site_id, appliance_id=caller.appliance_id, executions=executions)
    return [
        _result(str(one.execution_id), "accepted" if one.execution_id in new else "duplicate") for one in executions
    ]


def _alone(connection: psycopg.Connection, caller: Caller, execution: Execution) -> Result:
    try:
        with connection.transaction():
            return _answers(connection, caller, [execution])[0]
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        reason = str(error.diag.message_primary or "the database refuses it")
        ours = isinstance(error, psycopg.errors.CheckViolation) and "no partition" in reason  # it may come again
        return _result(str(execution.execution_id), "retry" if ours else "rejected", reason[:300])


def _take_evidence(services: Services, caller: Caller, batch: Batch) -> list[Result]:
    results = []
    with services.database.site(caller.site_id) as connection:
        for entry in batch.entries:
            received = _receive(connection, caller, entry, services.now())
            results.append(_result(str(entry.id), _EVIDENCE_STATUS[received.fate], received.reason))
    return results


def _receive(connection: psycopg.Connection, caller: Caller, entry: Entry, now: datetime) -> evidence.Reception:
    try:
        with connection.transaction():
            return evidence.receive(
                connection,
                site_id=caller.site_id,
                appliance_id=caller.appliance_id,
                entry_id=entry.id,
                line=bytes(entry.body),
                now=now,
            )
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        return evidence.Reception(evidence.Fate.REFUSED, str(error.diag.message_primary or "refused")[:300])


_SEEN: Final = """
UPDATE appliances SET seen_at = %(now)s::timestamptz, clock_ahead_s = %(ahead)s, version = %(version)s,
  heartbeat = %(heartbeat)s,
  reported_until = greatest(reported_until, least(%(until)s::timestamptz, %(now)s::timestamptz))
WHERE site_id = %(site_id)s AND appliance_id = %(appliance_id)s
"""


def _take_heartbeats(services: Services, caller: Caller, batch: Batch) -> list[Result]:
    now = services.now()
    results, newest = [], None
    for entry in batch.entries:
        try:
            beat = read_heartbeat(entry)
            beat.reported_until()
        except ValueError as error:
            results.append(_result(str(entry.id), "rejected", str(error)))
            continue
        results.append(_result(str(entry.id), "accepted"))
        if newest is None or beat.at > newest[0].at:
            newest = (beat, entry)
    if newest is not None:
        beat, entry = newest
        values = {
            "now": now,
            "ahead": (batch.sent_at - now).total_seconds(),
            "version": beat.version,
            "heartbeat": bytes(entry.body).decode(),
            "until": beat.reported_until(),
            "site_id": caller.site_id,
            "appliance_id": caller.appliance_id,
        }
        with services.database.site(caller.site_id) as connection:
            _see(connection, values)
    return results


def _see(connection: psycopg.Connection, values: dict[str, object]) -> None:
    """Keep the newest sign of life; of one that no jsonb can hold (NUL, half a surrogate, 1e999999), all but its text.

    The appliance lives, whatever its text is: it must not look silent.
    """
    try:
        with connection.transaction():
            connection.execute(_SEEN, values)
    except (psycopg.DataError, psycopg.errors.StatementTooComplex):
        connection.execute(_SEEN, values | {"heartbeat": None})


def _result(entry_id: str, status: str, reason: str = "") -> Result:
    return {"id": entry_id, "status": status, "reason": reason}
