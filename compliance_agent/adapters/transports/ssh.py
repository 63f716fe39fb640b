"""SSH targets: pinned host keys, the named credentials and nothing else, a limit on every phase.

A connection whose session ended well is kept for the next one with the same target (``pool``).
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final, Self

import paramiko

from compliance_agent.adapters.transports.channel import ChannelPump, End
from compliance_agent.adapters.transports.connector import Connector, SshOptions, way_in
from compliance_agent.adapters.transports.elevation import NOISE_MAX_BYTES, finish, prepare, read_become_password
from compliance_agent.adapters.transports.pool import ConnectionPool
from compliance_agent.adapters.transports.watchdog import WATCHDOG
from compliance_agent.engine.ports import RunResult
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from compliance_agent.adapters.credentials import CredentialReader, Secret
    from compliance_agent.adapters.known_hosts import KnownHosts
    from compliance_agent.adapters.transports.elevation import Launch
    from compliance_agent.adapters.transports.link import Link
    from compliance_agent.domain.target import Target

__all__ = ["SshOptions", "SshSession", "SshTransport"]

_CLOSE_S: Final = 2.0
_BACKSTOP_S: Final = 2.0
_UNTRUSTED: Final = frozenset({TransportFault.HOST_KEY_CHANGED, TransportFault.HOST_KEY_UNKNOWN})


class SshTransport:
    """Opens SSH sessions. Thread-safe."""

    def __init__(self, options: SshOptions, known_hosts: KnownHosts, credentials: CredentialReader) -> None:
        """Keep the limits, the pinned keys and the reader of secrets."""
        self._options = options
        self._connector = Connector(options, known_hosts, credentials)
        self._credentials = credentials
        self._pool = ConnectionPool(
            idle_limit_s=options.idle_limit_s, age_limit_s=options.age_limit_s, size_max=options.kept_max
        )

    @property
    def kept_connections(self) -> int:
        """Return how many connections are kept now."""
        return len(self._pool)

    def open(self, target: Target, *, fresh: bool = False) -> SshSession:
        """Connect, check the host key against the pinned ones, log in; or go on with a kept connection.

        Raises:
            TransportError: With the fault that tells why.
            CredentialError: A secret that the target names by path cannot be read, or it names none.

        """
        key = way_in(target)
        link = None if fresh else self._take(target)
        kept = link is not None
        password = read_become_password(target, self._credentials)
        if link is None:
            try:
                link = self._connector.connect(target)
            except TransportError as error:
                if error.fault in _UNTRUSTED:
                    self._pool.drop(key)
                raise
        put_back = link

        def give_back() -> None:
            self._pool.give(key, put_back)

        return SshSession(link, target, self._options, password, give_back, kept=kept)

    def _take(self, target: Target) -> Link | None:
        """Return a kept connection that is still trusted and answers, or ``None``."""
        link = self._pool.take(way_in(target))
        if link is None:
            return None
        if self._connector.is_still_trusted(link, target) and link.answers(self._options.alive_timeout_s):
            return link
        link.close()
        return None

    def close(self) -> None:
        """Close the connections that are kept, and keep none from now on. Sessions under way go on to their end."""
        self._pool.close()


class SshSession:
    """A logged-in connection. Each run is a new channel and a new remote process."""

    def __init__(
        self,
        link: Link,
        target: Target,
        options: SshOptions,
        become_password: Secret | None,
        give_back: Callable[[], None],
        *,
        kept: bool,
    ) -> None:
        """Take over the connection; ``close`` frees it, or gives it back where all went well."""
        self._link = link
        self._target = target
        self._options = options
        self._become_password = become_password
        self._give_back = give_back
        self._kept = kept
        self._lock = threading.Lock()
        self._closed = False
        self._unsettled = 0  # runs that have not ended, or not ended well

    @property
    def kept(self) -> bool:
        """Tell whether an earlier session used this connection."""
        return self._kept

    def run(self, script: str, *, timeout_s: float, output_max_bytes: int) -> RunResult:
        """Run a POSIX script in a new remote shell.

        Raises:
            TransportError: The connection broke, no channel could be opened, or sudo refused.

        """
        started = time.monotonic()
        with self._lock:
            if self._closed:
                raise TransportError(
                    TransportFault.CLOSED, f"the session with {self._target.address} is closed", hint="open a new one"
                )
            self._unsettled += 1
        password = self._become_password
        launch = prepare(script, become=self._target.become, password=password, timeout_s=timeout_s)
        channel = self._start(launch, timeout_s)
        sock = self._link.sock
        try:
            pump = ChannelPump(channel, launch.stdin, output_max_bytes=output_max_bytes + NOISE_MAX_BYTES)
            # The pump keeps the deadline itself; the watchdog frees it from a write that blocks.
            with WATCHDOG.limit(sock, timeout_s + _BACKSTOP_S):
                drained = pump.run(started + timeout_s)
        finally:
            with WATCHDOG.limit(sock, _CLOSE_S), contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()
        if drained.end is End.LOST:
            raise self._lost("while a script ran")
        if drained.end is End.FINISHED:
            with self._lock:
                self._unsettled -= 1
        result = RunResult(
            exit_code=drained.exit_code,
            stdout=bytes(drained.stdout),
            stderr=bytes(drained.stderr),
            truncated=False,
            timed_out=drained.end is End.DEADLINE,
            duration_s=time.monotonic() - started,
        )
        return finish(result, launch, self._target, password, output_max_bytes=output_max_bytes)

    def _start(self, launch: Launch, timeout_s: float) -> paramiko.Channel:
        limit_s = min(self._options.channel_timeout_s, timeout_s)
        transport = self._link.transport
        channel: paramiko.Channel | None = None
        failure: Exception
        with WATCHDOG.limit(self._link.sock, limit_s) as guard:
            try:
                channel = transport.open_session(timeout=limit_s + 1)
                channel.exec_command(launch.command)
            except (paramiko.SSHException, EOFError, OSError) as error:
                failure = error
            else:
                return channel
        if channel is not None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()
        if guard.fired:
            raise TransportError(
                TransportFault.TIMED_OUT,
                f"{self._target.address} did not start a command within {limit_s:g} s",
                hint="the machine may be frozen or overloaded; what was asked of it may still run",
                retryable=True,
            )
        if transport.is_active():
            raise TransportError(
                TransportFault.PROTOCOL,
                f"{self._target.address} refused to start a command: {str(failure) or type(failure).__name__}",
                hint="check MaxSessions, and ForceCommand or a restriction of this key, on its SSH server",
                retryable=True,
            )
        raise self._lost("before a command started")

    def _lost(self, when: str) -> TransportError:
        if self._closed:
            return TransportError(
                TransportFault.CLOSED, f"the session with {self._target.address} was closed {when}", hint=""
            )
        return TransportError(
            TransportFault.CLOSED,
            f"the connection to {self._target.address} was lost {when}",
            hint="what the script had begun may be half done; look again before changing anything",
            retryable=True,
        )

    def close(self) -> None:
        """End the session. May be called twice, from any thread; a run under way ends with it.

        The connection is given back where every run came to its end, and closed otherwise.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            settled = self._unsettled == 0
        if settled and self._link.transport.is_active():
            self._give_back()
        else:
            self._link.close()

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
