"""Ways through a jump host: one connection to it, shared by all who go through it, a tunnel each.

A tunnel ends in a socket pair, so that whoever waits on it can be freed by shutting a real socket, as everywhere
else. The connection to the jump host ends with its last tunnel.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import paramiko

from compliance_agent.adapters.transports.network import PeekedSocket
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from compliance_agent.adapters.transports.link import Link
    from compliance_agent.domain.target import Target

_CHUNK_BYTES: Final = 65_536
_CONNECT_FAILED: Final = 2  # RFC 4254, section 5.1
_ALIVE_S: Final = 5.0


@dataclass(slots=True)
class _Jump:
    """The connection to one jump host, there or on its way, and how many go through it."""

    link: Future[Link]
    users: int = 0


class JumpHosts:
    """Opens tunnels. Thread-safe."""

    def __init__(self, log_in: Callable[[Target], Link]) -> None:
        """Reach jump hosts by ``log_in``, which knows how to trust them."""
        self._log_in = log_in
        self._lock = threading.Lock()
        self._jumps: dict[Hashable, _Jump] = {}

    def dial(self, jump_host: Target, key: Hashable, host: str, port: int, *, timeout_s: float) -> PeekedSocket:
        """Return a socket whose other end is ``host:port`` as the jump host sees it.

        Args:
            jump_host: Through which.
            key: What it takes for a connection to it to be the same.
            host: Name or address, looked up by the jump host.
            port: TCP port.
            timeout_s: For the jump host's login, where it is needed, and again for the tunnel.

        Raises:
            TransportError: The jump host cannot be reached, trusted or logged in to (its own fault, named), or it
                cannot reach the target.

        """
        jump = self._enter(jump_host, key)
        try:
            try:
                link = jump.link.result(timeout_s)
            except TransportError as error:
                raise _over(jump_host, error) from error
            except FutureTimeoutError:
                raise TransportError(
                    TransportFault.TIMED_OUT,
                    f"the jump host {jump_host.address} let nobody in within {timeout_s:g} s",
                    hint="check the load of the jump host",
                    retryable=True,
                ) from None
            channel = self._open(link, jump_host, key, host, port, timeout_s)
        except BaseException:
            self._leave(key, jump)
            raise
        ours, theirs = _pair()
        _Relay(channel, theirs, lambda: self._leave(key, jump)).start()
        return ours

    def _enter(self, jump_host: Target, key: Hashable) -> _Jump:
        """Return the jump, logging in if nobody else does; a failure is told to all who wait for this login."""
        with self._lock:
            jump = self._jumps.get(key)
            is_first = jump is None or _is_dead(jump)
            if jump is None or is_first:
                jump = self._jumps[key] = _Jump(Future())
            jump.users += 1
        if is_first:
            try:
                jump.link.set_result(self._log_in(jump_host))
            except BaseException as error:
                jump.link.set_exception(error)
                if not isinstance(error, Exception):
                    raise
        return jump

    def _leave(self, key: Hashable, jump: _Jump) -> None:
        with self._lock:
            jump.users -= 1
            if jump.users:
                return
            if self._jumps.get(key) is jump:
                del self._jumps[key]
        if jump.link.done() and jump.link.exception() is None:
            jump.link.result().close()

    def _open(
        self, link: Link, jump_host: Target, key: Hashable, host: str, port: int, timeout_s: float
    ) -> paramiko.Channel:
        began = time.monotonic()
        try:
            return link.transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout_s)
        except paramiko.ChannelException as error:
            if error.code == _CONNECT_FAILED:
                message, hint = "cannot reach", "check that its SSH server runs, and the route from the jump host to it"
            else:
                message, hint = "does not let us through to", "check AllowTcpForwarding and PermitOpen on the jump host"
            raise TransportError(
                TransportFault.UNREACHABLE,
                f"the jump host {jump_host.address} {message} {host}:{port}: {error.text}",
                hint=hint,
                retryable=True,
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            timed_out = time.monotonic() - began >= timeout_s
            if not timed_out or not link.answers(_ALIVE_S):
                with self._lock:  # nobody else shall go this way
                    if key in self._jumps and self._jumps[key].link.done() and _holds(self._jumps[key], link):
                        del self._jumps[key]
                link.hang_up()
            raise TransportError(
                TransportFault.TIMED_OUT if timed_out else TransportFault.CLOSED,
                f"the jump host {jump_host.address} opened no way to {host}:{port}"
                + (f" within {timeout_s:g} s" if timed_out else ": its connection was lost"),
                hint="check the load of the jump host, and whether the target is switched on",
                retryable=True,
            ) from error


def _is_dead(jump: _Jump) -> bool:
    if not jump.link.done():
        return False
    return jump.link.exception() is not None or not jump.link.result().transport.is_active()


def _holds(jump: _Jump, link: Link) -> bool:
    return jump.link.exception() is None and jump.link.result() is link


def _over(jump_host: Target, error: TransportError) -> TransportError:
    return TransportError(
        error.fault,
        f"the jump host {jump_host.address} could not be used: {error.message}",
        hint=error.hint,
        retryable=error.retryable,
    )


def _pair() -> tuple[PeekedSocket, socket.socket]:
    ours, theirs = socket.socketpair()
    return PeekedSocket(ours.family, ours.detach()), theirs


class _Relay:
    """Two threads that carry bytes between a channel and a socket until either ends."""

    def __init__(self, channel: paramiko.Channel, sock: socket.socket, over: Callable[[], None]) -> None:
        self._channel, self._sock, self._over = channel, sock, over
        self._lock = threading.Lock()
        self._halves = 2

    def start(self) -> None:
        for work in (self._upward, self._downward):
            threading.Thread(target=work, name="ssh-tunnel", daemon=True).start()

    def _upward(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while data := self._sock.recv(_CHUNK_BYTES):
                self._channel.sendall(data)
        self._end_half()

    def _downward(self) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while data := self._channel.recv(_CHUNK_BYTES):
                self._sock.sendall(data)
        self._end_half()

    def _end_half(self) -> None:
        """End the other half too; the last one frees everything."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()
        with self._lock:
            self._halves -= 1
            last = not self._halves
        if last:
            self._sock.close()
            self._over()
