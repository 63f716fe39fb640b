"""Few logins at a time for each server: OpenSSH drops connections at random when many begin at once (MaxStartups)."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE: Final = 4
"""Well below the ten at which OpenSSH begins to drop (``MaxStartups 10:30:100``), with room for people."""


@dataclass(slots=True)
class _Door:
    free: threading.Semaphore
    users: int = 0


class Doorway:
    """Lets at most ``AT_ONCE`` logins to one server begin side by side; servers do not wait for each other."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        """Start with nobody inside."""
        self._at_once = at_once
        self._lock = threading.Lock()
        self._doors: dict[tuple[str, int], _Door] = {}

    @contextmanager
    def pass_through(self, host: str, port: int, *, timeout_s: float) -> Iterator[None]:
        """Wait for a place at this server, and give it back at the end.

        Raises:
            TransportError: ``TIMED_OUT``: others held every place for so long.

        """
        with self._lock:
            door = self._doors.setdefault((host, port), _Door(threading.Semaphore(self._at_once)))
            door.users += 1
        try:
            if not door.free.acquire(timeout=timeout_s):
                raise TransportError(
                    TransportFault.TIMED_OUT,
                    f"{host}:{port} kept {self._at_once} other logins of ours waiting for {timeout_s:g} s",
                    hint="check the load of that machine",
                    retryable=True,
                )
            try:
                yield
            finally:
                door.free.release()
        finally:
            with self._lock:
                door.users -= 1
                if not door.users:
                    del self._doors[host, port]
