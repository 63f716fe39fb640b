"""A logged-in connection, and whether it is still worth anything."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import paramiko

from compliance_agent.adapters.transports.watchdog import WATCHDOG

if TYPE_CHECKING:
    from compliance_agent.adapters.transports.handshake import Connection, Conversation
    from compliance_agent.adapters.transports.host_key import HostKey
    from compliance_agent.adapters.transports.network import PeekedSocket

# Paramiko wakes an idle connection's thread this often instead of ten times a second.
_IDLE_WAKE_S: Final = 5.0


class Link:
    """A connection after its login. One session uses it at a time.

    Attributes:
        opened_s: When the login ended, monotonic.

    """

    def __init__(self, connection: Connection, *, keepalive_s: int) -> None:
        """Take over the connection; ``close`` frees it."""
        self._connection = connection
        self.opened_s = time.monotonic()
        connection.transport.set_keepalive(keepalive_s)
        connection.sock.settimeout(_IDLE_WAKE_S)

    @property
    def transport(self) -> Conversation:
        """Return paramiko's side of it."""
        return self._connection.transport

    @property
    def sock(self) -> PeekedSocket:
        """Return its socket."""
        return self._connection.sock

    @property
    def host_key(self) -> HostKey:
        """Return what the peer proved to hold."""
        return self._connection.host_key

    @property
    def certificate(self) -> bytes:
        """Return the certificate that the host key came in; empty for a bare key."""
        return self._connection.certificate

    def answers(self, timeout_s: float) -> bool:
        """Ask the peer for a sign of life; one that gives none in time is not worth keeping."""
        transport = self.transport
        if not transport.is_active():
            return False
        with (
            WATCHDOG.limit(self.sock, timeout_s) as guard,
            contextlib.suppress(OSError, EOFError, paramiko.SSHException),
        ):
            transport.global_request("keepalive@openssh.com", wait=True)
        return transport.is_active() and not guard.fired

    def hang_up(self) -> None:
        """Have the peer and our reading thread notice the end; waits for nobody."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(2)

    def close(self) -> None:
        """Free socket, thread and remote session. May be called twice, from any thread."""
        self._connection.close()
