"""``GET /agent/sync/...``: signed metadata and bundles, from memory."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from central_command.api.problems import Problem, unavailable
from central_command.api.requests import admit

if TYPE_CHECKING:
    from starlette.requests import Request

    from central_command.api.requests import Services

POLL_AFTER_S: Final = 45
"""What appliances are asked to wait, on average, before they look again; each draws its own time."""


async def sync(request: Request) -> Response:
    """Answer one file of the repository, 304 where the caller has it."""
    caller = await admit(request, "sync")
    services: Services = request.app.state.services
    if services.publisher is None:
        raise unavailable("this server publishes no rules: it was started without --signing", wait_s=3_600)
    path: str = request.path_params["path"]
    file = services.publisher.file(path, site_id=caller.site_id)
    if file is None:
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such file")
    headers = {"ETag": file.etag, "Vary": "Authorization"}
    if file.is_immutable:
        headers["Cache-Control"] = "private, max-age=31536000, immutable"
    else:
        headers |= {"Cache-Control": "private, no-cache", "Retry-After": str(POLL_AFTER_S)}
    if _has(request.headers.get("if-none-match", ""), file.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type="application/json", headers=headers)


def _has(given: str, etag: str) -> bool:
    """Tell whether ``If-None-Match`` names this one (RFC 9110, section 13.1.2: compared weakly)."""
    return given == etag or etag in [one.strip().removeprefix("W/") for one in given.split(",")]
