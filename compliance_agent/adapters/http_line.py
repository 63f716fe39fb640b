"""HTTP whose connection can be cut from outside, so that a deadline bounds a whole exchange; and ``Retry-After``."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Self

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from compliance_agent.domain.uplink import RETRY_AFTER_MAX_S

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from types import TracebackType


_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


class Line:
    """The connection of the moment, for the deadline: a duplicate, since TLS takes the first descriptor over."""

    def __init__(self) -> None:
        """Start without one."""
        self._socket: socket.socket | None = None

    def note(self, opened: socket.socket) -> socket.socket:
        """Keep a duplicate of a connection that was opened, and return the connection."""
        self.close()
        self._socket = opened.dup()
        return opened

    def current(self) -> socket.socket | None:
        """Return the duplicate, or ``None``."""
        return self._socket

    def close(self) -> None:
        """Let the duplicate go. May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class LineAdapter(HTTPAdapter):
    """Opens connections that are noted in ``line``."""

    def __init__(self, line: Line) -> None:
        """Take the place where connections are noted."""
        super().__init__()

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return line.note(super()._new_conn())

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return line.note(super()._new_conn())

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks to wait, at most a day; ``None`` if it does not say.

    A date is measured against the answer's own ``Date``: the two clocks need not agree.
    """
    wish = headers.get("Retry-After", "").strip()
    try:
        seconds = float(wish) if _SECONDS.fullmatch(wish) else _between(headers.get("Date", ""), wish)
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def _between(start: str, end: str) -> float:
    return (parsedate_to_datetime(end) - parsedate_to_datetime(start)).total_seconds()
