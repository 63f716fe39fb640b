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
