"""The routes, and what becomes of what goes wrong in them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from central_command.api import enrolment, reports, sync
from central_command.api.problems import Problem, unavailable
from central_command.errors import DatabaseError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from central_command.api.requests import Services

_log = structlog.get_logger(__name__)


def make_app(services: Services) -> Starlette:
    """Return the application. Machine routes know no cookie, so there is nothing to forge across sites."""
    app = Starlette(
        routes=[
            Route("/agent/sync/{path:path}", sync.sync, methods=["GET"]),  # first: what is asked most
            Route("/agent/enroll", enrolment.enroll, methods=["POST"]),
            Route("/agent/telemetry", reports.telemetry, methods=["POST"]),
            Route("/agent/evidence", reports.evidence_entries, methods=["POST"]),
            Route("/agent/checkin", reports.checkin, methods=["POST"]),
            Route("/health", _health, methods=["GET"]),
        ],
        exception_handlers={
            Problem: _problem,
            DatabaseError: _no_database,
            HTTPException: _http,
            Exception: _unexpected,
        },
    )
    app.state.services = services
    return app


def _health(request: Request) -> Response:
    """Tell whether the database answers."""
    services: Services = request.app.state.services
    with services.database.fleet() as connection:
        connection.execute("SELECT 1")
    return JSONResponse({"status": "ok"})


def _problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return error.response()


def _no_database(request: Request, error: Exception) -> Response:
    _log.error("database.away", path=request.url.path, error=str(error))
    return unavailable("the database does not answer; nothing was stored").response()


def _http(_request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = error.headers if isinstance(error, HTTPException) else None
    return Problem(status, status.description or status.phrase, headers=headers).response()


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("request.failed", path=request.url.path, exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error; the server's log has it").response()
