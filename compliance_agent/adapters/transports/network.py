"""TCP connections with one deadline over name lookup and every address, each failure its own fault."""

from __future__ import annotations

import errno
import ipaddress
import queue
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD_MAX_BYTES: Final = 256


class PeekedSocket(socket.socket):
    """A TCP socket that remembers how its peer began to speak, for the error text when it is no SSH."""

    def __init__(self, family: int, fileno: int | None = None) -> None:
        """Create it, unconnected, or take over a descriptor."""
        super().__init__(family, socket.SOCK_STREAM, 0, fileno)
        self.head = b""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive, and keep the first bytes."""
        data = super().recv(bufsize, flags)
        if len(self.head) < _HEAD_MAX_BYTES:
            self.head += data[: _HEAD_MAX_BYTES - len(self.head)]
        return data


def dial(host: str, port: int, *, timeout_s: float) -> PeekedSocket:
    """Return a connected socket to the first address of ``host`` that answers.

    Raises:
        TransportError: ``UNRESOLVED``, ``UNREACHABLE``, ``REFUSED`` or ``TIMED_OUT``; of several
            addresses the most telling fault, in the order refused, timed out, unreachable.

    """
    deadline = time.monotonic() + timeout_s
    addresses = _resolve(host, port, timeout_s)
    faults: list[TransportError] = []
    for index, (family, address) in enumerate(addresses):
        share_s = (deadline - time.monotonic()) / (len(addresses) - index)
        sock = PeekedSocket(family)
        try:
            sock.settimeout(max(share_s, 0.001))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            faults.append(_connect_fault(error, host, port, timeout_s))
        else:
            return sock
    order = (TransportFault.REFUSED, TransportFault.TIMED_OUT, TransportFault.UNREACHABLE)
    raise min(faults, key=lambda fault: order.index(fault.fault))


def _resolve(host: str, port: int, timeout_s: float) -> Sequence[tuple[socket.AddressFamily, tuple[str, int]]]:
    if _is_address(host):
        return _look_up(host, port)  # nobody is asked
    # getaddrinfo has no time limit of its own, so it waits on a thread that may outlive the answer.
    answers: queue.SimpleQueue[list[tuple[socket.AddressFamily, tuple[str, int]]] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(_look_up(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    thread = threading.Thread(target=look_up, name="name-lookup", daemon=True)
    thread.start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TransportError(
            TransportFault.TIMED_OUT,
            f"looking up the name {host!r} took more than {timeout_s:g} s",
            hint="check the name servers of the appliance, or give an address as host",
            retryable=True,
        ) from None
    thread.join()
    if isinstance(answer, Exception):
        raise TransportError(
            TransportFault.UNRESOLVED,
            f"the name {host!r} does not resolve: {_reason(answer)}",
            hint="check the target's host for a typing error, and the name servers of the appliance",
            retryable=isinstance(answer, socket.gaierror) and answer.errno == socket.EAI_AGAIN,
        )
    return answer


def _look_up(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc] # no AF_UNIX


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _connect_fault(error: OSError, host: str, port: int, timeout_s: float) -> TransportError:
    if isinstance(error, ConnectionRefusedError):
        return TransportError(
            TransportFault.REFUSED,
            f"{host} refuses connections on port {port}",
            hint="check that its SSH server runs and listens on this port",
            retryable=True,
        )
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return TransportError(
            TransportFault.TIMED_OUT,
            f"{host} did not answer on port {port} within {timeout_s:g} s",
            hint="check that it is switched on and that no firewall drops the connection",
            retryable=True,
        )
    return TransportError(
        TransportFault.UNREACHABLE,
        f"{host} cannot be reached on port {port}: {_reason(error)}",
        hint="check the route and the network between the appliance and it",
        retryable=True,
    )


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
