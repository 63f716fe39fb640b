"""Ends waits that have no limit of their own, by shutting the socket that they wait on.

Several waits inside paramiko hang for ever when the peer freezes (``exec_command`` waits for an event
without a limit, a write waits for room, every byte that arrives restarts a read timeout). Shutting the
socket down frees each of them at once. One daemon thread serves all connections of the process.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Guard:
    """One armed limit. ``fired`` tells, once its block has ended, whether the limit ended it."""

    __slots__ = ("_socket", "fired")

    def __init__(self, sock: socket.socket) -> None:
        """Remember which socket to shut."""
        self._socket: socket.socket | None = sock
        self.fired = False

    def fire(self) -> None:
        """Shut the socket, unless the block has ended already."""
        if self._socket is None:
            return
        self.fired = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket = None

    def disarm(self) -> None:
        """Let go of the socket."""
        self._socket = None


class Watchdog:
    """Fires guards at their deadlines, from one daemon thread that starts with the first guard."""

    def __init__(self) -> None:
        """Start without a thread."""
        self._condition = threading.Condition()
        self._guards: list[tuple[float, int, Guard]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, sock: socket.socket, timeout_s: float) -> Iterator[Guard]:
        """Shut ``sock`` if the block is not over after ``timeout_s``."""
        guard = Guard(sock)
        self._arm(guard, time.monotonic() + max(timeout_s, 0.0))
        try:
            yield guard
        finally:
            with self._condition:
                guard.disarm()

    def _arm(self, guard: Guard, deadline: float) -> None:
        with self._condition:
            heapq.heappush(self._guards, (deadline, next(self._order), guard))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="ssh-watchdog", daemon=True)
                self._thread.start()
            elif self._guards[0][2] is guard:
                self._condition.notify()

    def _watch(self) -> None:
        with self._condition:
            while True:
                wait_s = self._guards[0][0] - time.monotonic() if self._guards else None
                if wait_s is None or wait_s > 0:
                    self._condition.wait(wait_s)
                else:
                    heapq.heappop(self._guards)[2].fire()


WATCHDOG = Watchdog()
"""The one that all SSH connections of this process share."""
