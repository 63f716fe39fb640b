"""TCP peers on loopback that misbehave as told."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(slots=True)
class Peer:
    """A listening peer.

    Attributes:
        port: Where it listens on 127.0.0.1.
        connections: How many it has accepted.

    """

    port: int
    connections: int = 0


@contextmanager
def peer(behaviour: Callable[[socket.socket, threading.Event], None]) -> Iterator[Peer]:
    """Run ``behaviour`` with each connection; the event is set when the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    state = Peer(listener.getsockname()[1])
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            behaviour(connection, over)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            state.connections += 1
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield state
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


def silent(_connection: socket.socket, over: threading.Event) -> None:
    """Accept and never say a word."""
    over.wait()


def hang_up(_connection: socket.socket, _over: threading.Event) -> None:
    """Accept and close."""


def trickle(connection: socket.socket, over: threading.Event) -> None:
    """Send one byte at a time, for ever."""
    while not over.wait(0.2):
        connection.sendall(b"x")


def saying(text: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Return a behaviour: hear the client out first, answer ``text``, close."""

    def behaviour(connection: socket.socket, _over: threading.Event) -> None:
        connection.recv(1024)
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1024)

    return behaviour


class Relay:
    """A behaviour: relay every connection to a real server, until its cable is pulled."""

    def __init__(self, port: int) -> None:
        """Relay to ``port`` of 127.0.0.1."""
        self._port = port
        self._cut = threading.Event()

    def pull_cable(self) -> None:
        """Carry nothing more over the connections of now, and tell neither side of any end."""
        self._cut.set()
        self._cut = threading.Event()

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        """Carry bytes both ways; the test's end frees what is cut."""
        cut = self._cut
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            upward = threading.Thread(target=_carry, args=(connection, server, cut, over))
            upward.start()
            _carry(server, connection, cut, over)
            upward.join()


def _carry(source: socket.socket, sink: socket.socket, cut: threading.Event, over: threading.Event) -> None:
    source.settimeout(0.1)
    while not over.is_set():
        try:
            data = source.recv(65_536)
        except TimeoutError:
            continue
        except OSError:
            break
        if cut.is_set():
            over.wait()
        elif not data:
            break
        else:
            with contextlib.suppress(OSError):
                sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def dropping_first(port: int) -> Callable[[socket.socket, threading.Event], None]:
    """Return a behaviour: hang up on the first connection, relay the later ones to a real server."""
    seen: list[socket.socket] = []

    def behaviour(connection: socket.socket, _over: threading.Event) -> None:
        seen.append(connection)
        if len(seen) == 1:
            return
        with socket.create_connection(("127.0.0.1", port)) as server:
            upward = threading.Thread(target=_copy, args=(connection, server))
            upward.start()
            _copy(server, connection)
            upward.join()

    return behaviour


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
