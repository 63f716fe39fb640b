"""Alerts by HTTP: one POST of JSON per alert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from compliance_agent.adapters.alert_channels import ChannelError
from compliance_agent.adapters.alert_channels.addresses import is_here
from compliance_agent.adapters.alert_channels.message import document
from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.deadline import Deadline
from compliance_agent.adapters.http_line import Line, LineAdapter, retry_after_s
from compliance_agent.domain.scrub import scrub
from compliance_agent.errors import CredentialError
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.adapters.store import QueuedAlert

BODY_MAX_BYTES: Final = 262_144
_ANSWER_MAX_BYTES: Final = 2_048
_RETRY_LATER: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A webhook.

    Attributes:
        url: ``https://``; plain ``http://`` to this machine only.
        token_file: Path of a file with a bearer token, read at each delivery; ``None`` for none.
        ca_file: Path of the PEM file to trust instead of the well-known authorities.
        connect_timeout_s: Limit of connecting, and of each read.
        deadline_s: Limit of everything.
        name: What the queue keeps its tries under.

    """

    url: str
    token_file: str | None = None
    ca_file: str | None = None
    connect_timeout_s: float = 10.0
    deadline_s: float = 30.0
    name: str = "webhook"

    def __post_init__(self) -> None:
        """Refuse a URL that would carry the alert in clear text over a network.

        Raises:
            ValueError: It is neither ``https`` nor ``http`` to this machine.

        """
        parts = urlsplit(self.url)
        if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_here(parts.hostname))):
            message = "a webhook's url starts with https:// (http:// to this machine only)"
            raise ValueError(message)

    def deliver(self, queued: QueuedAlert) -> None:
        """POST the alert; any 2xx means that it was taken.

        Raises:
            ChannelError: It was not; see ``retryable`` and ``retry_after_s``.

        """
        body = write_json(document(queued)).encode()
        if len(body) > BODY_MAX_BYTES:
            raise ChannelError(f"webhook: the alert has {len(body)} bytes, at most {BODY_MAX_BYTES} travel")
        headers = {"Content-Type": "application/json", "Idempotency-Key": queued.alert_id, **self._authorization()}
        line = Line()
        with line, requests.Session() as session, Deadline(self.deadline_s, line.current) as limit:
            session.trust_env = False  # neither proxies nor .netrc nor another CA file from the environment
            for prefix in ("https://", "http://"):
                session.mount(prefix, LineAdapter(line))
            try:
                self._post(session, body, headers)
            except (requests.RequestException, HTTPError, OSError) as error:
                raise self._unreachable(error, too_late=limit.passed) from error
            if limit.passed:  # an answer that was cut off can still look like one
                raise self._too_late()

    def _post(self, session: requests.Session, body: bytes, headers: Mapping[str, str]) -> None:
        with session.post(
            self.url,
            data=body,
            headers=dict(headers),
            timeout=(self.connect_timeout_s, self.connect_timeout_s),
            verify=self.ca_file if self.ca_file is not None else True,
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.status_code >= requests.codes.multiple_choices:
                raise _refused(response)

    def _authorization(self) -> dict[str, str]:
        if self.token_file is None:
            return {}
        try:
            token = CredentialReader().read_password(self.token_file, purpose="webhook token").reveal()
        except CredentialError as error:
            raise ChannelError(f"webhook: {error.message}", hint=error.hint, retryable=True) from error
        if not all("!" <= letter <= "~" for letter in token):
            # Checked here, since the HTTP library's own error would quote the token.
            raise ChannelError(
                f"webhook: the webhook token {self.token_file} holds what no token may hold",
                hint="write the token alone into it",
                retryable=True,
            )
        return {"Authorization": f"Bearer {token}"}

    def _too_late(self) -> ChannelError:
        return ChannelError(f"webhook: no answer within {self.deadline_s:g} s", retryable=True)

    def _unreachable(self, error: Exception, *, too_late: bool) -> ChannelError:
        if too_late:
            return self._too_late()
        if isinstance(error, requests.exceptions.SSLError):
            return ChannelError(
                f"webhook: TLS: {scrub(str(error))[:300]}",
                hint="check the receiver's certificate and ca_file",
                retryable=True,
            )
        return ChannelError(f"webhook: {type(error).__name__}: {scrub(str(error))[:300]}", retryable=True)


def _refused(response: requests.Response) -> ChannelError:
    status = response.status_code
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        return ChannelError(
            f"webhook: answered {status}, a redirect, which is never followed", hint="set url to where it leads"
        )
    answer = response.raw.read(_ANSWER_MAX_BYTES, decode_content=False).decode("utf-8", "replace")
    return ChannelError(
        f"webhook: answered {status}: {scrub(' '.join(answer.split()))[:300]}",
        retryable=status in _RETRY_LATER or status >= requests.codes.internal_server_error,
        retry_after_s=retry_after_s(response.headers),
    )
