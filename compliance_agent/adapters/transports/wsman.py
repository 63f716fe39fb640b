"""WS-Management over HTTP(S): one connection, one login, one session key; nothing in clear, nothing of the environment.

pywinrm's own transport reads proxies and certificates from the environment, follows redirects, takes an answer in
clear for an encrypted one, and reads as much as a server sends. This one does not.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests_ntlm import HttpNtlmAuth
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError
from winrm.transport import Transport

from compliance_agent.adapters.transports.network import dial
from compliance_agent.adapters.transports.watchdog import WATCHDOG
from compliance_agent.domain.target import WinRmLogin
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.target import Target

ANSWER_MAX_BYTES: Final = 2_097_152
"""Most bytes of one answer. A server is asked for 153,600 at most (MaxEnvelopeSize)."""
_ENCRYPTED: Final = 'protocol="application/HTTP-SPNEGO-session-encrypted"'
_UNAUTHORIZED: Final = 401


class Line:
    """The TCP connections of one conversation: what is open, and that none is made anew once somebody is logged in."""

    def __init__(self, target: Target, *, connect_timeout_s: float) -> None:
        """Start without a connection."""
        self._target = target
        self._connect_timeout_s = connect_timeout_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._shut = False
        self.settled = False
        """Whether the login is over: its session key belongs to the connection, and a new one would need another."""

    def dial(self) -> socket.socket:
        """Return a new connection.

        Raises:
            TransportError: It cannot be made, or the one that was logged in over is gone.

        """
        if self.settled or self._shut:
            raise lost(self._target)
        made = dial(self._target.host, self._target.port, timeout_s=self._connect_timeout_s)
        with self._lock:
            self._socket = made
        return made

    def wrapped(self, sock: socket.socket) -> None:
        """Take note that the connection goes on in TLS."""
        with self._lock:
            self._socket = sock

    @contextmanager
    def limit(self, timeout_s: float) -> Iterator[None]:
        """Shut the connection if the block takes longer: a server that sends a byte now and then holds nobody."""
        if self._socket is None:  # the login, whose steps each have the read timeout
            yield
            return
        with WATCHDOG.limit(self._socket, timeout_s):
            yield

    def shut(self) -> None:
        """Break the connection, from any thread; whoever waits for an answer gets an error."""
        self._shut = True
        with self._lock, suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


def lost(target: Target) -> TransportError:
    """Return the fault of a connection that broke."""
    return TransportError(
        TransportFault.CLOSED,
        f"the connection to {target.address} was lost",
        hint="what the script had begun may be half done; look again before changing anything",
        retryable=True,
    )


class _LineAdapter(HTTPAdapter):
    """Connections over a ``Line``; a pinned certificate is compared before a byte of ours is sent."""

    def __init__(self, line: Line, fingerprint: str) -> None:
        self._line = line
        self._fingerprint = fingerprint
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - as the base class has it
        if self._fingerprint:
            more["assert_fingerprint"] = self._fingerprint
        super().init_poolmanager(*args, **more)
        line = self._line

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return line.dial()

        class Tls(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return line.dial()

            def connect(self) -> None:
                super().connect()
                if isinstance(self.sock, socket.socket):
                    line.wrapped(self.sock)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(HTTPSConnectionPool):
            ConnectionCls = Tls

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401 - as the base class has it
        answer = super().build_response(req, resp)
        if int(answer.headers.get("Content-Length", "0")) > ANSWER_MAX_BYTES:
            resp.close()
            raise too_long()
        return answer


def too_long() -> TransportError:
    """Return the fault of an answer that is longer than any of WinRM's."""
    return TransportError(TransportFault.PROTOCOL, f"an answer has more than {ANSWER_MAX_BYTES:,} bytes", hint="")


class WsmanTransport(Transport):
    """What a pywinrm ``Protocol`` sends by. Belongs to one thread, and to one connection."""

    def __init__(self, target: Target, password: str, line: Line, *, answer_timeout_s: float) -> None:
        """Prepare; the first message logs in."""
        scheme = "https" if target.tls else "http"
        host = f"[{target.host}]" if ":" in target.host else target.host
        super().__init__(
            endpoint=f"{scheme}://{host}:{target.port}/wsman",
            username=target.user,
            password=password,
            read_timeout_sec=int(answer_timeout_s),
            auth_method=target.login.value,
            message_encryption="auto" if target.tls else "always",
            server_cert_validation="validate",
            proxy=None,
        )
        self._target = target
        self._line = line
        self.answer_timeout_s = answer_timeout_s

    def build_session(self) -> requests.Session:
        """Return the HTTP session; the first call makes it, and over HTTP logs in.

        Raises:
            TransportError: This login needs what is not installed.

        """
        if self.session is not None:
            return self.session
        target, session = self._target, requests.Session()
        session.trust_env = False  # no proxy, no netrc, no certificates of the environment
        session.max_redirects = 0
        session.verify = False if target.certificate_sha256 else (target.ca_file or True)
        session.headers.update({**self.default_headers, "Accept-Encoding": "identity"})
        session.mount("http://", _LineAdapter(self._line, ""))
        session.mount("https://", _LineAdapter(self._line, target.certificate_sha256))
        session.auth = self._auth()
        self.session = session
        if not target.tls:
            self.setup_encryption(session)
        return session

    def _auth(self) -> requests.auth.AuthBase:
        if self._target.login is WinRmLogin.NTLM:
            return HttpNtlmAuth(username=self.username, password=self.password, send_cbt=True)
        try:
            from winrm.vendor.requests_kerberos import REQUIRED, HTTPKerberosAuth  # noqa: PLC0415 - where installed
        except ImportError:
            raise TransportError(
                TransportFault.NOT_CONFIGURED,
                f"{self._target.target_id} logs in by Kerberos, which is not installed here",
                hint="install pykerberos for the agent's Python, or write login: ntlm",
            ) from None
        auth: requests.auth.AuthBase = HTTPKerberosAuth(  # type: ignore[no-untyped-call]  # as it comes
            mutual_authentication=REQUIRED, force_preemptive=True, principal=self.username, service="HTTP"
        )
        return auth

    def _send_message_request(
        self, session: requests.Session, prepared_request: requests.PreparedRequest
    ) -> requests.Response:
        until = time.monotonic() + self.answer_timeout_s
        with self._line.limit(self.answer_timeout_s):
            answer = session.send(prepared_request, timeout=self.answer_timeout_s, stream=True)
            _read(answer, until)
        if answer.status_code == _UNAUTHORIZED:
            raise InvalidCredentialsError("the login was refused")
        self._line.settled = True
        if not answer.ok:
            text = self._get_message_response_text(answer).decode("utf-8", "replace") if answer.content else ""
            raise WinRMTransportError("http", answer.status_code, text)
        return answer

    def _get_message_response_text(self, response: requests.Response) -> bytes:
        """Return the answer in clear; where messages are encrypted, one in clear is nobody's we know."""
        if self.encryption is not None and _ENCRYPTED not in response.headers.get("Content-Type", ""):
            raise TransportError(
                TransportFault.PROTOCOL,
                f"{self._target.address} answered in clear where every message is to be encrypted",
                hint="somebody may be in between; look at the network before trying again",
            )
        text: bytes = super()._get_message_response_text(response)
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
            raise TransportError(
                TransportFault.PROTOCOL,
                f"{self._target.address} sent a document type, which SOAP forbids",
                hint="this is not Windows' own answer; look at what listens there",
            )
        return text


def _read(answer: requests.Response, until: float) -> None:
    """Read the answer whole, up to the limit."""
    parts, size = [], 0
    for part in answer.raw.stream(65_536, decode_content=False):
        size += len(part)
        if size > ANSWER_MAX_BYTES or time.monotonic() > until:
            answer.close()
            raise too_long() if size > ANSWER_MAX_BYTES else TimeoutError
        parts.append(part)
    if not isinstance(getattr(answer, "_content", False), bytes):
        answer._content = b"".join(parts)  # noqa: SLF001 - where requests itself keeps it
        answer._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001 - as above
