"""One exchange with the control plane: verified TLS, no proxy, no redirect, one deadline, a bound on every answer."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import requests

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.deadline import Deadline
from compliance_agent.adapters.http_line import Line, LineAdapter
from compliance_agent.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Address:
    """Where the control plane is, and how it is reached.

    Attributes:
        url: Its base, ``https://``; plain ``http://`` to this machine only.
        ca_file: Path of the PEM file to trust instead of the well-known authorities.
        connect_timeout_s: Limit of connecting, and of each read.
        deadline_s: Limit of everything.

    """

    url: str
    ca_file: str | None = None
    connect_timeout_s: float = 10.0
    deadline_s: float = 30.0


class Exchange:
    """Requests under one deadline; made by ``exchange``."""

    def __init__(self, address: Address, session: requests.Session, limit: Deadline) -> None:
        """Take what is open."""
        self._address = address
        self._session = session
        self._limit = limit

    @property
    def is_over(self) -> bool:
        """Tell whether the time is up: an answer that was cut off can still look like one."""
        return self._limit.passed

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> requests.Response:
        """Return an answer, its body unread; to be closed.

        Raises:
            requests.RequestException: There is none.

        """
        return self._session.request(
            method,
            path if "://" in path else self._address.url.rstrip("/") + path,
            data=body,
            headers={"Accept-Encoding": "identity", **(headers or {})},
            timeout=(self._address.connect_timeout_s, self._address.connect_timeout_s),
            verify=self._address.ca_file if self._address.ca_file is not None else True,
            allow_redirects=False,
            stream=True,
        )


@contextmanager
def exchange(address: Address) -> Iterator[Exchange]:
    """Open a line to the control plane for a few requests; all of them together end by the deadline."""
    line = Line()
    with line, requests.Session() as session, Deadline(address.deadline_s, line.current) as limit:
        session.trust_env = False  # neither proxies nor .netrc nor another CA file from the environment
        for prefix in ("https://", "http://"):
            session.mount(prefix, LineAdapter(line))
        yield Exchange(address, session, limit)


def bearer(token_file: str) -> str:
    """Return the value of ``Authorization`` for the token in a file.

    Raises:
        CredentialError: It cannot be read, or holds what no token may hold; the HTTP library's error would quote it.

    """
    token = CredentialReader().read_password(token_file, purpose="control plane token").reveal()
    if not all("!" <= letter <= "~" for letter in token):
        raise CredentialError(
            f"the control plane token {token_file} holds what no token may hold", hint="enrol again, or mend the file"
        )
    return f"Bearer {token}"


def read_at_most(response: requests.Response, most: int) -> bytes | None:
    """Return the body, or ``None`` if it is longer than ``most`` bytes."""
    content = b""
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) > most:
            return None
    return content
