"""A new appliance shows its one-time token and its public key, and is given its credential."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from central_command.api.problems import Problem, too_many, unauthorized
from central_command.api.rates import Rate
from central_command.api.requests import read_body
from central_command.errors import RefusedError
from central_command.store.access import enrol

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from central_command.api.requests import Services

_TRIES = Rate(burst=10, per_s=0.1)
_BODY_MAX_BYTES = 4_096
"""Nobody is known yet: no more is read of a stranger."""


class _Enrolment(msgspec.Struct, forbid_unknown_fields=True):
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    appliance_id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    public_key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


async def enroll(request: Request) -> Response:
    """Enrol an appliance."""
    services: Services = request.app.state.services
    address = request.client.host if request.client else ""
    if wait := services.limiter.wait_s(("enroll", address), _TRIES, now_s=services.monotonic_s()):
        raise too_many(wait)
    try:
        asked = msgspec.json.decode(await read_body(request, most=_BODY_MAX_BYTES), type=_Enrolment)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"no enrolment: {error}"[:300]) from error
    return JSONResponse(await run_in_threadpool(_enrol, services, asked), HTTPStatus.CREATED)


def _enrol(services: Services, asked: _Enrolment) -> dict[str, str]:
    try:
        with services.database.fleet() as connection:
            caller, credential = enrol(
                connection,
                asked.token,
                appliance_id=asked.appliance_id,
                public_key=bytes.fromhex(asked.public_key),
                credential_id=UUID(services.new_id()),
                now=services.now(),
            )
    except RefusedError as error:
        raise unauthorized(str(error)) from error
    answer = {"site_id": caller.site_id, "appliance_id": caller.appliance_id, "credential": credential}
    if services.publisher is not None:
        answer["trusted_root"] = services.publisher.repository.trusted_root().decode()
    return answer
