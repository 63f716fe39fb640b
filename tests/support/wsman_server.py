"""A WS-Management server for tests: WinRM's shell protocol as [MS-WSMV] has it, behind NTLM, sealed or in TLS.

It speaks to the real pywinrm. Structure, field names and fault codes are those that Windows' own answers have. What
runs in its shells is a POSIX script, read from standard input as the bootstrap reads it: nothing of Windows itself.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

import spnego
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from spnego.channel_bindings import GssChannelBindings

from compliance_agent.adapters.transports.winrm import arguments
from compliance_agent.domain.target import Platform, Target, TransportKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USER: Final = "agent"
PASSWORD: Final = "Correct-Horse-7"
TIMED_OUT: Final = 2150858793
TOO_MANY_SHELLS: Final = 2150859173
BAD_SELECTOR: Final = 2150858843
_BOUNDARY: Final = b"--Encrypted Boundary"
_SEALED: Final = (
    'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
)
_PIECE: Final = 98_304
_SHELL: Final = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_STATE: Final = f"{_SHELL}/CommandState"
_NAMES: Final = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "rsp": _SHELL,
}


class FaultError(Exception):
    """A fault to answer with."""

    def __init__(self, code: int, subcode: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.subcode, self.reason = code, subcode, reason


class DropError(Exception):
    """The connection is to break now."""


@dataclass
class Command:
    """One command: it starts when its standard input has ended, as the bootstrap reads that whole."""

    line: str
    stdin: bytearray = field(default_factory=bytearray)
    process: subprocess.Popen[bytes] | None = None
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    readers: list[threading.Thread] = field(default_factory=list)
    news: threading.Event = field(default_factory=threading.Event)

    def start(self, run: Callable[[str], list[str]]) -> None:
        text = base64.b64decode(b"".join(bytes(self.stdin).split())).decode()
        self.process = subprocess.Popen(
            run(text), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        threads = [(self._write, text), (self._read, "out"), (self._read, "err")]
        self.readers = [threading.Thread(target=do, args=(what,), daemon=True) for do, what in threads]
        for thread in self.readers:
            thread.start()

    def _write(self, text: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(OSError), self.process.stdin as pipe:
            pipe.write(text.encode())

    def _read(self, name: str) -> None:
        assert self.process is not None
        pipe, kept = getattr(self.process, f"std{name}"), getattr(self, name)
        with pipe:
            while data := os.read(pipe.fileno(), 65_536):
                kept += data
                self.news.set()
        self.news.set()

    def take(self, wait_s: float) -> tuple[bytes, bytes, bool]:
        """Return what has arrived, and whether that is all; waits for something to say."""
        until = time.monotonic() + wait_s
        while True:
            self.news.clear()
            done = self._is_done()
            out, err = bytes(self.out[:_PIECE]), bytes(self.err[: _PIECE - len(self.out[:_PIECE])])
            if out or err or done:
                del self.out[: len(out)]
                del self.err[: len(err)]
                return out, err, done and not self.out and not self.err
            if time.monotonic() >= until:
                raise FaultError(TIMED_OUT, "w:TimedOut", "The WS-Management service cannot complete the operation.")
            self.news.wait(0.05)

    def _is_done(self) -> bool:
        """A child left behind with the streams open holds nobody: half a second after the end all is read."""
        if self.process is None or self.process.poll() is None:
            return False
        for reader in self.readers[1:]:
            reader.join(0.5)
        return True

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for reader in self.readers:
                reader.join(5)


@dataclass
class WsmanServer:
    """A running server, what it was asked, and how it is to misbehave.

    Attributes:
        logins: User names of the logins that were tried (NTLM's third message), in order.
        actions: What it was asked, in order.
        clear: Bodies that arrived in clear after the login.
        shells: Open ones, with their commands.
        options: WINRS options of every shell and command, in order.
        max_shells: MaxShellsPerUser.
        before: Action to what is done in front of it: raise a fault or ``DropError``, or return an answer's text.
        answers_in_clear: Whether it answers without sealing.
        run: From what standard input held to the process that runs.
    """

    host: str
    port: int
    folder: Path
    tls: bool
    certificate: Path
    fingerprint: str
    logins: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    clear: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    shells: dict[str, dict[str, Command]] = field(default_factory=dict)
    options: list[dict[str, str]] = field(default_factory=list)
    max_shells: int = 30
    offers: tuple[str, ...] = ("Negotiate", "NTLM")
    before: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    answers_in_clear: bool = False
    handler: Any = None
    run: Callable[[str], list[str]] = lambda _text: ["/bin/sh", "-s"]

    def target(self, **more: Any) -> Target:
        password = self.folder / "password"
        if not password.exists():
            password.touch(0o600)
            password.write_text(PASSWORD)
        given: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": USER,
            "password_file": str(password),
            "tls": self.tls,
            "ca_file": str(self.certificate) if self.tls else None,
        }
        return Target("pc", "site", Platform.WINDOWS, TransportKind.WINRM, **{**given, **more})

    def answer(self, text: str) -> str:
        envelope = ET.fromstring(text)  # noqa: S314 - our own client's
        action = (envelope.findtext("s:Header/a:Action", "", _NAMES)).rpartition("/")[2]
        message_id = envelope.findtext("s:Header/a:MessageID", "", _NAMES)
        self.actions.append(action)
        planned = self.before.get(action, lambda: None)()
        if planned is not None:
            return planned
        body = getattr(self, f"do_{action.lower()}")(envelope)
        return _envelope(f"<a:RelatesTo>{escape(message_id)}</a:RelatesTo>", body)

    def do_create(self, envelope: ET.Element) -> str:
        self.options.append(_options(envelope))
        if len(self.shells) >= self.max_shells:
            reason = f"This user is allowed a maximum number of {self.max_shells} concurrent shells."
            raise FaultError(TOO_MANY_SHELLS, "w:QuotaLimit", reason)
        shell_id = str(uuid.uuid4()).upper()
        self.shells[shell_id] = {}
        selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
        return f"<x:ResourceCreated><a:ReferenceParameters>{selector}</a:ReferenceParameters></x:ResourceCreated>"

    def do_command(self, envelope: ET.Element) -> str:
        self.options.append(_options(envelope))
        line = envelope.findtext(".//rsp:Command", "", _NAMES)
        given = envelope.findtext(".//rsp:Arguments", "", _NAMES).split(" ")
        if not line.endswith("powershell.exe") or given != arguments():
            raise FaultError(2147942402, "w:SchemaValidationError", "The system cannot find the file specified.")
        command_id = str(uuid.uuid4()).upper()
        self._shell(envelope)[command_id] = Command(line)
        return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"

    def do_send(self, envelope: ET.Element) -> str:
        stream = envelope.find(".//rsp:Stream", _NAMES)
        assert stream is not None
        command = self._command(envelope, stream.attrib["CommandId"])
        command.stdin += base64.b64decode(stream.text or "")
        if stream.attrib.get("End") == "true":
            command.start(self.run)
        return "<rsp:SendResponse/>"

    def do_receive(self, envelope: ET.Element) -> str:
        command_id = envelope.find(".//rsp:DesiredStream", _NAMES).attrib["CommandId"]  # type: ignore[union-attr]
        command = self._command(envelope, command_id)
        wait_s = float(envelope.findtext("s:Header/w:OperationTimeout", "PT60S", _NAMES)[2:-1])
        out, err, done = command.take(wait_s)
        parts = [
            f'<rsp:Stream Name="{name}" CommandId="{command_id}">{base64.b64encode(data).decode()}</rsp:Stream>'
            for name, data in (("stdout", out), ("stderr", err))
            if data
        ]
        state = f'<rsp:CommandState CommandId="{command_id}" State="{_STATE}/{"Done" if done else "Running"}">'
        if done:
            assert command.process is not None
            code = command.process.returncode
            state += f"<rsp:ExitCode>{code if code >= 0 else ''}</rsp:ExitCode>"
        return f"<rsp:ReceiveResponse>{''.join(parts)}{state}</rsp:CommandState></rsp:ReceiveResponse>"

    def do_signal(self, envelope: ET.Element) -> str:
        command_id = envelope.find(".//rsp:Signal", _NAMES).attrib["CommandId"]  # type: ignore[union-attr]
        self._command(envelope, command_id).kill()
        del self._shell(envelope)[command_id]
        return "<rsp:SignalResponse/>"

    def do_delete(self, envelope: ET.Element) -> str:
        shell = self._shell(envelope)
        for command in shell.values():
            command.kill()
        self.shells = {key: value for key, value in self.shells.items() if value is not shell}
        return ""

    def _shell(self, envelope: ET.Element) -> dict[str, Command]:
        found = self.shells.get(envelope.findtext(".//w:Selector", "", _NAMES))
        if found is None:
            raise FaultError(BAD_SELECTOR, "w:InvalidSelectors", "The request contained invalid selectors.")
        return found

    def _command(self, envelope: ET.Element, command_id: str) -> Command:
        found = self._shell(envelope).get(command_id)
        if found is None:
            raise FaultError(BAD_SELECTOR, "w:InvalidSelectors", "The request contained invalid selectors.")
        return found


def _options(envelope: ET.Element) -> dict[str, str]:
    return {node.attrib["Name"]: node.text or "" for node in envelope.findall(".//w:Option", _NAMES)}


def _envelope(header: str, body: str) -> str:
    names = "".join(f' xmlns:{prefix}="{name}"' for prefix, name in _NAMES.items())
    names += ' xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer"'
    return f'<s:Envelope xml:lang="en-US"{names}><s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>'


def fault(code: int, subcode: str, reason: str) -> str:
    """Return a SOAP fault as Windows writes it."""
    detail = (
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" Machine="pc">'
        f"<f:Message>{escape(reason)}</f:Message></f:WSManFault>"
    )
    return _envelope(
        "",
        f"<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{escape(reason)}</s:Text></s:Reason>'
        f"<s:Detail>{detail}</s:Detail></s:Fault>",
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wsman: WsmanServer
    bindings: GssChannelBindings | None
    timeout = 120
    disable_nagle_algorithm = True
    elsewhere = ""

    def setup(self) -> None:
        super().setup()
        self.context: Any = None  # NTLM's state belongs to the connection
        self.logged_in = False

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.wsman.headers.append(dict(self.headers.items()))
        if not self.logged_in and not self._log_in():
            return
        if not body:
            self._send(302 if self.elsewhere else 200, b"", "")
            return
        try:
            text = self._open(body)
            if text is None:
                self._send(400, b"", "")
                return
            try:
                status, answer = 200, self.wsman.answer(text)
            except FaultError as error:
                status, answer = 500, fault(error.code, error.subcode, error.reason)
            self._reply(status, answer)
        except DropError:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def _log_in(self) -> bool:
        _, _, token = self.headers.get("Authorization", "").partition(" ")
        if not token or self.headers["Authorization"].startswith("Basic"):
            self._challenge(self.wsman.offers)
            return False
        message = base64.b64decode(token)
        try:
            if self.context is None:
                self.context = spnego.server(
                    protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm, channel_bindings=self.bindings
                )
            else:
                self.wsman.logins.append(USER)
            reply = self.context.step(message)
        except spnego.exceptions.SpnegoError:
            self.context = None
            self._challenge(self.wsman.offers)
            return False
        if not self.context.complete:
            self._challenge((f"NTLM {base64.b64encode(reply).decode()}",))
            return False
        self.logged_in = True
        return True

    def _challenge(self, offers: tuple[str, ...]) -> None:
        self.send_response(401)
        for offer in offers:
            self.send_header("WWW-Authenticate", offer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _open(self, body: bytes) -> str | None:
        """Return the message; ``None`` for one in clear where it should be sealed."""
        if self.wsman.tls:
            return body.decode()
        if not self.headers.get("Content-Type", "").startswith("multipart/encrypted"):
            self.wsman.clear.append(body)
            return None
        sealed = body.split(b"application/octet-stream\r\n", 1)[1].removesuffix(_BOUNDARY + b"--\r\n")
        (length,) = struct.unpack("<i", sealed[:4])
        assert length == 16
        text: bytes = self.context.unwrap(sealed[4:]).data
        return text.decode()

    def _reply(self, status: int, answer: str) -> None:
        data = answer.encode()
        if self.wsman.tls or self.wsman.answers_in_clear:
            self._send(status, data, "application/soap+xml;charset=UTF-8")
            return
        sealed = self.context.wrap(data, encrypt=True).data
        parts = (
            _BOUNDARY,
            b"\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: ",
            b"type=application/soap+xml;charset=UTF-8;Length=" + str(len(data)).encode() + b"\r\n",
            _BOUNDARY,
            b"\r\n\tContent-Type: application/octet-stream\r\n",
            struct.pack("<i", 16) + sealed,
            _BOUNDARY + b"--\r\n",
        )
        self._send(status, b"".join(parts), _SEALED)

    def _send(self, status: int, data: bytes, kind: str) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            if status == 302:
                self.send_header("Location", self.elsewhere)
            if kind:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(30)
        with suppress(OSError), self.tls.wrap_socket(request, server_side=True) as wrapped:  # where it is trusted
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away


@contextmanager
def start_wsman(folder: Path, *, tls: bool = False, host: str = "127.0.0.1") -> Iterator[WsmanServer]:
    """Run a server; the environment names its user file, since NTLM's acceptor reads it from there."""
    folder.mkdir(parents=True, exist_ok=True)
    users = folder / "users"
    users.write_text(f":{USER}:{PASSWORD}\nPC:{USER}:{PASSWORD}\n")
    before = os.environ.get("NTLM_USER_FILE")
    os.environ["NTLM_USER_FILE"] = str(users)
    certificate, key, der = make_certificate(folder, host)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    print_ = digest.finalize()
    server = _Server((host, 0), _Handler)
    wsman = WsmanServer(host, server.server_address[1], folder, tls, certificate, print_.hex())
    bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + print_) if tls else None
    wsman.handler = server.RequestHandlerClass = type("Handler", (_Handler,), {"wsman": wsman, "bindings": bindings})
    if tls:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        server.tls.load_cert_chain(certificate, key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield wsman
    finally:
        server.shutdown()
        server.server_close()
        for shell in wsman.shells.values():
            for command in shell.values():
                command.kill()
        if before is None:
            os.environ.pop("NTLM_USER_FILE", None)
        else:
            os.environ["NTLM_USER_FILE"] = before


def make_certificate(folder: Path, host: str) -> tuple[Path, Path, bytes]:
    """Write a self-signed certificate and its key; return both paths, and the certificate as it travels."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pc")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding
    (folder / "certificate.pem").write_bytes(made.public_bytes(encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem", made.public_bytes(encoding.DER)


def framed(script: str, parameters: object = None) -> str:
    """Return a script as the bootstrap takes it."""
    return json.dumps({"script": script, "parameters": parameters})
