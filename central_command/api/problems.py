"""Refusals as problem documents (RFC 9457): a person reads what is wrong and what to do, a program the status."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping


class Problem(Exception):  # noqa: N818 - it is an answer
    """An answer that is no success.

    Attributes:
        status: Of HTTP.
        detail: What is wrong with this request, one sentence.
        headers: Further headers of the answer.

    """

    def __init__(self, status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Take what is to be answered."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the problem document."""
        document = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        return JSONResponse(document, self.status, self.headers, media_type="application/problem+json")


def unauthorized(detail: str) -> Problem:
    """Return the answer to a missing or unknown credential."""
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="central-command"'})


def too_many(wait_s: float) -> Problem:
    """Return the answer to a request that comes too soon."""
    seconds = max(1, math.ceil(wait_s))
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS, f"too many requests; again in {seconds} s", headers={"Retry-After": str(seconds)}
    )


def unavailable(detail: str, *, wait_s: int = 30) -> Problem:
    """Return the answer while the database is away."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(wait_s)})
