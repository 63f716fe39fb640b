"""The SSH handshake: version, key exchange, and which host key the peer proved. No login yet."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import paramiko

from compliance_agent.adapters.transports.certificate import SUFFIX
from compliance_agent.adapters.transports.host_key import HostKey
from compliance_agent.adapters.transports.network import dial
from compliance_agent.adapters.transports.watchdog import WATCHDOG
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compliance_agent.adapters.transports.network import PeekedSocket

# What paramiko says goes into our errors; without a handler it would print tracebacks on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_DISABLED: Final = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-md5", "hmac-md5-96", "hmac-sha1", "hmac-sha1-96", "hmac-sha1-etm@openssh.com"],
    "kex": ["diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1"],
    "keys": ["ssh-rsa", "ssh-dss"],
    "pubkeys": ["ssh-rsa", "ssh-dss"],
}
_RSA_SIGNATURES: Final = ("rsa-sha2-512", "rsa-sha2-256")
_JOIN_S: Final = 2.0
_TRIES: Final = 5
_FIRST_PAUSE_S: Final = 0.25
_EXCEEDED: Final = b"Exceeded MaxStartups"


class Conversation(paramiko.Transport):
    """Paramiko's transport, which also remembers why the peer said good-bye.

    Attributes:
        farewell: The peer's own words, printable, short; empty if it said nothing.

    """

    farewell = ""

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        m.get_int()
        words = m.get_text()[:200]
        self.farewell = "".join(letter if letter.isprintable() else "?" for letter in words)
        m.rewind()
        super()._parse_disconnect(m)  # type: ignore[misc]  # not in the stubs


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection whose peer has proved a host key.

    Attributes:
        sock: Its TCP socket.
        transport: Paramiko's side of it; one thread.
        host_key: What the peer proved to hold. Whether to trust it is the caller's question.
        certificate: The OpenSSH certificate that the key came in, as it travels; empty for a bare key.

    """

    sock: PeekedSocket
    transport: Conversation
    host_key: HostKey
    certificate: bytes = b""

    def close(self) -> None:
        """Free the socket and the thread. May be called twice."""
        tear_down(self.transport, self.sock)


def connect(
    address: str,
    dialler: Callable[[float], PeekedSocket],
    *,
    connect_timeout_s: float,
    banner_timeout_s: float,
    key_types: Sequence[str] = (),
) -> Connection:
    """Return a connection after the key exchange.

    A peer that hangs up before it says anything is tried again, up to five times, after random pauses that grow:
    SSH servers drop connections at random when many begin at once (``MaxStartups``).

    Args:
        address: For messages.
        dialler: Returns a new connected socket within the seconds given.
        connect_timeout_s: For name lookup and TCP, all tries and pauses together.
        banner_timeout_s: For version and key exchange, each try.
        key_types: Types of host key to ask for first.

    Raises:
        TransportError: See ``network.dial``; also ``TIMED_OUT``, ``PROTOCOL`` and ``CLOSED``.

    """
    deadline = time.monotonic() + connect_timeout_s
    for attempt in range(_TRIES):
        sock = dialler(max(deadline - time.monotonic(), 0.001))
        try:
            return _shake_hands(sock, address, banner_timeout_s, key_types, only=False)
        except _DroppedEarlyError:
            # Random, so that those who were dropped together do not come back together.
            pause_s = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 -- guards nothing
            if attempt + 1 == _TRIES or time.monotonic() + pause_s >= deadline:
                raise
        time.sleep(pause_s)
    raise AssertionError  # the last try returns or raises


def host_keys(host: str, port: int, *, timeout_s: float) -> list[HostKey]:
    """Return the host keys that a server proves to hold, one of each kind, without a login.

    Args:
        host: Name or address.
        port: TCP port.
        timeout_s: For each kind of key.

    Raises:
        TransportError: It cannot be reached, or shows no key of a kind known here.

    """
    kinds = (("ssh-ed25519",), ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"), ("ssh-rsa",))
    found: list[HostKey] = []
    refusal: TransportError | None = None
    for kind in kinds:
        sock = dial(host, port, timeout_s=timeout_s)
        try:
            connection = _shake_hands(sock, f"{host}:{port}", timeout_s, kind, only=True)
        except _NothingInCommonError as error:
            refusal = error
        else:
            found.append(connection.host_key)
            connection.close()
    if not found and refusal is not None:
        raise refusal
    return found


def tear_down(transport: paramiko.Transport | None, sock: PeekedSocket) -> None:
    """Free a socket and the thread that reads it. May be called twice."""
    # Shut before close: a thread that reads a socket is not woken by its being closed.
    with contextlib.suppress(OSError):
        sock.shutdown(2)
    if transport is not None:
        transport.packetizer.complete_handshake()  # ends the timer thread of a login that never came
        transport.close()
        if transport.is_alive():
            transport.join(_JOIN_S)
    sock.close()


class _DroppedEarlyError(TransportError):
    """The peer hung up before it said anything of SSH."""


class _NothingInCommonError(TransportError):
    """The peers share no algorithm."""


def _shake_hands(
    sock: PeekedSocket, address: str, timeout_s: float, key_types: Sequence[str], *, only: bool
) -> Connection:
    transport: Conversation | None = None
    with WATCHDOG.limit(sock, timeout_s) as guard:
        try:
            transport = Conversation(sock, disabled_algorithms=_DISABLED)
            # The guard's limit is the one that counts; paramiko's own only have to come later.
            transport.banner_timeout = transport.handshake_timeout = timeout_s + 1
            _prefer(transport, key_types, only=only)
            transport.start_client()
            key = transport.get_remote_server_key()
            certificate = key.public_blob.key_blob if key.public_blob else b""
            return Connection(sock, transport, HostKey.from_blob(key.asbytes()), certificate)
        except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
            tear_down(transport, sock)
            raise _fault(sock.head, address, timeout_s, error, timed_out=guard.fired) from error
        except BaseException:
            tear_down(transport, sock)
            raise


def _prefer(transport: paramiko.Transport, key_types: Sequence[str], *, only: bool) -> None:
    options = transport.get_security_options()
    known = [name for name in options.key_types if name not in _DISABLED["keys"]]
    wanted = [name for kind in key_types for name in (_RSA_SIGNATURES if kind == "ssh-rsa" else (kind,))]
    first = [name for name in wanted if name.removesuffix(SUFFIX) in known]
    rest = [] if only else [name for name in known if name not in first]
    options.key_types = (*first, *rest)


def _fault(head: bytes, address: str, timeout_s: float, error: Exception, *, timed_out: bool) -> TransportError:
    if timed_out and not head:
        return TransportError(
            TransportFault.TIMED_OUT,
            f"{address} accepted the connection but sent no SSH banner within {timeout_s:g} s",
            hint="check that the SSH server on it is not frozen or overloaded, and that the port is SSH's",
            retryable=True,
        )
    if timed_out:
        return TransportError(
            TransportFault.TIMED_OUT,
            f"{address} did not finish the SSH handshake within {timeout_s:g} s",
            hint="check the load of the machine and the network to it",
            retryable=True,
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return _NothingInCommonError(
            TransportFault.PROTOCOL,
            f"{address} shares no SSH algorithm with us: {error}",
            hint="it needs OpenSSH 7.2 or newer with SHA-2 signatures and a modern key exchange",
        )
    return _broken_handshake(head, address, error)


def _broken_handshake(head: bytes, address: str, error: Exception) -> TransportError:
    if head.startswith(b"Not allowed at this time"):  # trying again at once would only make the penalty longer
        return TransportError(
            TransportFault.CLOSED,
            f"{address} does not let us in for now: it penalises this address",
            hint="check PerSourcePenalties of its SSH server; it passes by itself",
            retryable=True,
        )
    if not head or head.startswith(_EXCEEDED):
        return _DroppedEarlyError(
            TransportFault.CLOSED,
            f"{address} closed the connection before the SSH handshake",
            hint="check MaxStartups and PerSourcePenalties of its SSH server, and its hosts.deny",
            retryable=True,
        )
    if b"SSH-" not in head:
        first_line = head.splitlines()[0][:60].decode("ascii", "replace")
        return TransportError(
            TransportFault.PROTOCOL,
            f"{address} does not speak SSH; it said {first_line!r}",
            hint="check the target's port",
        )
    if isinstance(error, EOFError | ConnectionError):
        return TransportError(
            TransportFault.CLOSED,
            f"{address} closed the connection during the SSH handshake",
            hint="look into the log of its SSH server",
            retryable=True,
        )
    return TransportError(
        TransportFault.PROTOCOL,
        f"the SSH handshake with {address} failed: {str(error) or type(error).__name__}",
        hint="look into the log of its SSH server",
    )
