"""What every machine route does first: who asks, may they, not too often, not too much."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool

from central_command.api.problems import Problem, too_many, unauthorized
from central_command.api.rates import Rate, RateLimiter
from central_command.store.access import find_caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from starlette.requests import Request

    from central_command.api.publisher import Publisher
    from central_command.store.access import Caller
    from central_command.store.database import Database

BODY_MAX_BYTES: Final = 8 * 1_048_576
"""Most bytes of a request: several times what an agent's batch has."""

_TOKEN_MAX: Final = 200
_CALLERS_KEPT_S: Final = 5.0
"""How long a credential that was found is believed without asking again: as long as a revoked one may live on."""
_CALLERS_MAX: Final = 100_000

RATES: Final = {
    "checkin": Rate(burst=10, per_s=0.5),
    "evidence": Rate(burst=60, per_s=2),
    "sync": Rate(burst=60, per_s=1),
    "telemetry": Rate(burst=60, per_s=2),
}
"""Requests of one appliance on one route. A backlog of 20,000 reports is 200 batches: under two minutes."""

AT_ONCE_MAX: Final = 2
"""Requests of one appliance on one route that are worked on at the same time: the connections to the database are for
everybody."""

_STRANGERS: Final = Rate(burst=30, per_s=0.5)
"""Requests with a wrong token, or none, from one address. Right ones cost nothing: a clinic, or everything behind one
proxy, is one address. When they are used up, only tokens that were never right here have to wait."""


@dataclass(slots=True)
class Services:
    """What the routes need.

    Attributes:
        database: Where everything is kept.
        now: The time, UTC.
        monotonic_s: Seconds that never go back.
        new_id: Draws a UUIDv7, text.
        body_timeout_s: Longest time that the body of a request may take.
        publisher: What publishes rules; ``None`` where this server does not.

    """

    database: Database
    now: Callable[[], datetime]
    monotonic_s: Callable[[], float]
    new_id: Callable[[], str]
    publisher: Publisher | None = None
    limiter: RateLimiter = field(default_factory=RateLimiter)
    body_timeout_s: float = 60.0
    callers: dict[str, tuple[Caller, float]] = field(default_factory=dict)
    at_work: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    @contextmanager
    def one_of_few(self, caller: Caller, scope: str) -> Iterator[None]:
        """Be one of the few requests of an appliance on a route; called on the event loop alone, which is one thread.

        Raises:
            Problem: There are enough already.

        """
        key = (caller.site_id, caller.appliance_id, scope)
        if self.at_work[key] >= AT_ONCE_MAX:
            raise too_many(1)
        self.at_work[key] += 1
        try:
            yield
        finally:
            self.at_work[key] -= 1
            if not self.at_work[key]:
                del self.at_work[key]


async def admit(request: Request, scope: str) -> Caller:
    """Return who asks, when they may.

    Raises:
        Problem: No credential, an unknown one, one for something else, or too many requests.

    """
    services: Services = request.app.state.services
    caller = await _caller(request, services)
    if scope not in caller.scopes:
        raise Problem(HTTPStatus.FORBIDDEN, f"the credential is not for {scope}")
    key = (caller.site_id, caller.appliance_id, scope)
    if wait := services.limiter.wait_s(key, RATES[scope], now_s=services.monotonic_s()):
        raise too_many(wait)
    return caller


async def _caller(request: Request, services: Services) -> Caller:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    now_s = services.monotonic_s()
    known = services.callers.get(token)
    if known is not None and known[1] > now_s:
        return known[0]
    stranger = ("stranger", request.client.host if request.client else "")
    if known is None and (wait := services.limiter.wait_s(stranger, _STRANGERS, now_s=now_s, take=False)):
        raise too_many(wait)
    if kind.lower() != "bearer" or not 0 < len(token) <= _TOKEN_MAX or not token.isascii():
        services.limiter.wait_s(stranger, _STRANGERS, now_s=now_s)
        raise unauthorized("a bearer token is needed: Authorization: Bearer ...")
    caller = await run_in_threadpool(_find, services, token)
    if caller is None:
        services.callers.pop(token, None)
        services.limiter.wait_s(stranger, _STRANGERS, now_s=now_s)
        raise unauthorized("the bearer token is unknown, expired or revoked")
    if len(services.callers) >= _CALLERS_MAX:
        services.callers.clear()
    services.callers[token] = (caller, now_s + _CALLERS_KEPT_S)
    return caller


def _find(services: Services, token: str) -> Caller | None:
    with services.database.fleet() as connection:
        return find_caller(connection, token, now=services.now())


async def read_body(request: Request, *, most: int = BODY_MAX_BYTES) -> bytes:
    """Return the body, no longer than allowed, in bytes and in seconds.

    Raises:
        Problem: It is longer, comes too slowly, is compressed, or no JSON by its own account.

    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bodies are taken uncompressed")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is application/json")
    services: Services = request.app.state.services
    body = bytearray()
    try:
        async with asyncio.timeout(services.body_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {most:,} bytes")
    except TimeoutError as error:
        detail = f"the body did not arrive within {services.body_timeout_s:g} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, headers={"Connection": "close"}) from error
    return bytes(body)
