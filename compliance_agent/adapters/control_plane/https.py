"""Reports by HTTPS: one POST of JSON per batch, a bearer credential, verified TLS, one deadline for all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from compliance_agent.adapters.alert_channels.addresses import is_here
from compliance_agent.adapters.control_plane.exchange import Address, bearer, exchange, read_at_most
from compliance_agent.adapters.http_line import retry_after_s
from compliance_agent.domain.outbox import OutboxClass
from compliance_agent.domain.scrub import scrub
from compliance_agent.domain.text import one_line
from compliance_agent.domain.uplink import Answer
from compliance_agent.errors import CredentialError, InputError
from compliance_agent.wire.report_batch import batch_key, read_answer, write_batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.adapters.control_plane.exchange import Exchange
    from compliance_agent.domain.outbox import OutboxEntry

REPORT_PATHS: Final = {
    OutboxClass.HEARTBEAT: "/agent/checkin",
    OutboxClass.EVIDENCE: "/agent/evidence",
    OutboxClass.TELEMETRY: "/agent/telemetry",
}
"""A route for each class, so that a backlog of one never stands in the way of another."""
ANSWER_MAX_BYTES: Final = 1_048_576
_REFUSAL_MAX_BYTES: Final = 2_048


@dataclass(frozen=True, slots=True)
class HttpsUplink:
    """The control plane by HTTPS.

    Attributes:
        url: Its base, ``https://``; plain ``http://`` to this machine only.
        token_file: Path of the file with the bearer token, read at each sending, so that a new one is taken up.
        site_id: Sent along.
        appliance_id: Sent along.
        ca_file: Path of the PEM file to trust instead of the well-known authorities.
        connect_timeout_s: Limit of connecting, and of each read.
        deadline_s: Limit of everything.

    """

    url: str
    token_file: str
    site_id: str
    appliance_id: str
    ca_file: str | None = None
    connect_timeout_s: float = 10.0
    deadline_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse a URL that would carry reports in clear text over a network.

        Raises:
            ValueError: It is neither ``https`` nor ``http`` to this machine.

        """
        parts = urlsplit(self.url)
        if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_here(parts.hostname))):
            message = "the control plane's url starts with https:// (http:// to this machine only)"
            raise ValueError(message)

    def send(self, entries: Sequence[OutboxEntry], *, sent_at: datetime) -> Answer:
        """POST one batch and return what came back. Never raises: no answer is an answer without a status.

        The class of the first entry says which route it takes; the sender puts one class into a batch.
        """
        try:
            authorization = bearer(self.token_file)
        except CredentialError as error:
            return Answer(None, str(error))
        headers = {
            "Authorization": authorization,
            "Content-Type": "application/json",
            "Idempotency-Key": batch_key(entries),
        }
        body = write_batch(entries, site_id=self.site_id, appliance_id=self.appliance_id, sent_at=sent_at)
        address = Address(self.url, self.ca_file, self.connect_timeout_s, self.deadline_s)
        with exchange(address) as line:
            try:
                answer = _post(line, REPORT_PATHS[entries[0].kind], body, headers)
            except (requests.RequestException, HTTPError, OSError) as error:
                answer = _no_answer(error)
        # An answer that was cut off can still look like one.
        return Answer(None, f"no answer within {self.deadline_s:g} s") if line.is_over else answer


def _post(line: Exchange, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    with line.ask("POST", path, body=body, headers=headers) as response:
        status, wish = response.status_code, retry_after_s(response.headers)
        if not requests.codes.ok <= status < requests.codes.multiple_choices:
            said = response.raw.read(_REFUSAL_MAX_BYTES, decode_content=False).decode("utf-8", "replace")
            words = one_line(scrub(" ".join(said.split()))[:300])
            return Answer(status, f"answered {status}{': ' if words else ''}{words}", retry_after_s=wish)
        content = read_at_most(response, ANSWER_MAX_BYTES)
    if content is None:
        return Answer(None, f"the answer has more than {ANSWER_MAX_BYTES} bytes", retry_after_s=wish)
    try:
        return Answer(status, entries=read_answer(content, source="the answer"), retry_after_s=wish)
    except InputError as error:
        return Answer(None, scrub(error.message)[:300], retry_after_s=wish)


def _no_answer(error: Exception) -> Answer:
    if isinstance(error, requests.exceptions.SSLError):
        return Answer(None, f"TLS: {scrub(str(error))[:300]} (check the control plane's certificate and ca_file)")
    cause = _innermost(error)
    what = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
    return Answer(None, f"{type(error).__name__}: {one_line(scrub(' '.join(what.split()))[:300])}")


def _innermost(error: BaseException) -> BaseException:
    """Return what happened first: the libraries wrap it, and tell it in the words of Python."""
    inside = (*error.args, getattr(error, "reason", None), error.__cause__)
    found = next((one for one in inside if isinstance(one, BaseException)), None)
    return error if found is None else _innermost(found)
