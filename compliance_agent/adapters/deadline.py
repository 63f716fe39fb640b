"""A hard deadline for a conversation whose library only knows a limit per read."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


_AGAIN_S: Final = 0.05


class Deadline:
    """Shuts a socket down when the time is up, so that a peer who drips bytes cannot hold the caller.

    The blocked read then ends at once with an error or an end of stream; ``passed`` tells why.
    """

    def __init__(self, seconds: float, find_socket: Callable[[], socket.socket | None]) -> None:
        """Take the limit and how to find the socket of the moment (it changes with STARTTLS)."""
        self._seconds = seconds
        self._find_socket = find_socket
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="delivery-deadline", daemon=True)
        self.passed = False

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        self.passed = True
        # Again and again, since the connection may only be opened after its time is up.
        while not self._over.wait(_AGAIN_S):
            found = self._find_socket()
            if found is not None:
                with suppress(OSError):
                    # Not found.shutdown: on a TLS socket that would wait for the peer's farewell.
                    socket.socket.shutdown(found, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        """Start the clock."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clock; leaves no thread behind."""
        self._over.set()
        self._thread.join()
