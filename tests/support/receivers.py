"""Real receivers of alerts on loopback: a web server, a mail server, a syslog collector."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def make_certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """Make a self-signed certificate for localhost; return its PEM file and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{name}.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file = folder / f"{name}.key"
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key_file)
    return pem, context


@dataclass
class Web:
    """A web server that answers as told and keeps what it was sent."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    port: int = 0
    date: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, content: bytes) -> None:
        """Set the answer to this request; by default the one that was told stays."""

    @contextmanager
    def serve(self, context: ssl.SSLContext | None = None) -> Iterator[Self]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                web.requests.append((self.path, dict(self.headers), content))
                web.answer(content)
                self.send_response(web.status)
                for name, value in web.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(web.body)))
                self.end_headers()
                self.wfile.write(web.body)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return web.date or super().date_time_string(timestamp)

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_arguments: object) -> None:
                pass  # a client that refuses our certificate hangs up; that is the test

        with Server(("127.0.0.1", 0), Handler) as server:
            if context is not None:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


@contextmanager
def dripping_server(greeting: bytes) -> Iterator[int]:
    """Serve one client a byte at a time, for ever; yield the port."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(greeting)
                while not stop.wait(0.02):
                    try:
                        client.sendall(b"a")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


@dataclass
class Mail:
    """A mail server that speaks just enough SMTP; answers to commands can be replaced by prefix."""

    answers: dict[str, str] = field(default_factory=dict)
    greeting: str = "220 mail.example ESMTP"
    commands: list[str] = field(default_factory=list)
    message: str = ""
    encrypted: bool = False
    port: int = 0

    @contextmanager
    def serve(self, context: ssl.SSLContext | None = None) -> Iterator[Mail]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=self._talk, args=(listener, context))
            thread.start()
            try:
                yield self
            finally:
                thread.join()

    def _talk(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        client, _ = listener.accept()
        client.settimeout(10)
        try:
            client.sendall(f"{self.greeting}\r\n".encode())
            while line := self._line(client):
                verb, _, rest = line.partition(" ")
                line = f"{verb.upper()} {rest}".strip()
                self.commands.append(line)
                answer = self._answer(line, context)
                client.sendall(f"{answer}\r\n".encode())
                if line == "STARTTLS" and context is not None and answer.startswith("220"):
                    client = context.wrap_socket(client, server_side=True)
                    self.encrypted = True
                if line == "DATA" and answer.startswith("354"):
                    self.message = self._until_dot(client)
                    client.sendall(f"{self.answers.get('.', '250 taken')}\r\n".encode())
        except OSError:
            pass  # the client hung up
        finally:
            client.close()

    def _answer(self, line: str, context: ssl.SSLContext | None) -> str:
        for prefix, answer in self.answers.items():
            if line.startswith(prefix):
                return answer
        if line.startswith("EHLO"):
            offers = ["mail.example", "AUTH PLAIN"] + (
                ["STARTTLS"] if context is not None and not self.encrypted else []
            )
            return "\r\n".join([f"250-{offer}" for offer in offers] + ["250 8BITMIME"])
        if line.startswith("AUTH"):
            return "235 welcome"
        return {"STARTTLS": "220 go ahead", "DATA": "354 go ahead", "QUIT": "221 bye"}.get(line, "250 ok")

    @staticmethod
    def _line(client: socket.socket) -> str:
        data = b""
        while not data.endswith(b"\r\n"):
            byte = client.recv(1)
            if not byte:
                return ""
            data += byte
        return data.decode().rstrip("\r\n")

    @staticmethod
    def _until_dot(client: socket.socket) -> str:
        data = b""
        while not data.endswith(b"\r\n.\r\n"):
            data += client.recv(65_536)
        return data.decode()
