"""SSH targets: pinned host keys, the named credentials and nothing else, a limit on every phase."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import paramiko

from compliance_agent.adapters.transports import handshake
from compliance_agent.adapters.transports.channel import ChannelPump, End
from compliance_agent.adapters.transports.elevation import NOISE_MAX_BYTES, finish, prepare
from compliance_agent.adapters.transports.login import log_in, read_credentials
from compliance_agent.adapters.transports.watchdog import WATCHDOG
from compliance_agent.engine.ports import RunResult
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from types import TracebackType

    from compliance_agent.adapters.credentials import CredentialReader, Secret
    from compliance_agent.adapters.known_hosts import KnownHosts, PinnedKeys
    from compliance_agent.adapters.transports.elevation import Launch
    from compliance_agent.adapters.transports.handshake import Connection
    from compliance_agent.domain.target import Target

# Paramiko wakes an idle connection's thread this often instead of ten times a second.
_IDLE_WAKE_S: Final = 5.0
_CLOSE_S: Final = 2.0
_BACKSTOP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class SshOptions:
    """Limits of each phase, all in seconds.

    Attributes:
        connect_timeout_s: Name lookup and TCP connection.
        banner_timeout_s: Version and key exchange.
        auth_timeout_s: Login.
        channel_timeout_s: Start of one command.
        keepalive_s: Pause between signs of life on an idle connection.

    """

    connect_timeout_s: float = 10.0
    banner_timeout_s: float = 10.0
    auth_timeout_s: float = 15.0
    channel_timeout_s: float = 10.0
    keepalive_s: int = 30


class SshTransport:
    """Opens SSH sessions. Thread-safe."""

    def __init__(self, options: SshOptions, known_hosts: KnownHosts, credentials: CredentialReader) -> None:
        """Keep the limits, the pinned keys and the reader of secrets."""
        self._options = options
        self._known_hosts = known_hosts
        self._credentials = credentials

    def open(self, target: Target, *, fresh: bool = False) -> SshSession:
        """Connect, check the host key against the pinned ones, log in.

        Raises:
            TransportError: With the fault that tells why.
            CredentialError: A secret that the target names by path cannot be read, or it names none.

        """
        del fresh  # nothing is kept yet
        self._check_configured(target)
        credentials = read_credentials(target, self._credentials)
        pinned = self._known_hosts.keys_for(target.host, target.port)
        connection = handshake.connect(
            target.host,
            target.port,
            connect_timeout_s=self._options.connect_timeout_s,
            banner_timeout_s=self._options.banner_timeout_s,
            key_types=[key.key_type for key in pinned.keys],
        )
        try:
            _check_host_key(connection, target, pinned)
            log_in(connection, target, credentials, timeout_s=self._options.auth_timeout_s)
            connection.transport.set_keepalive(self._options.keepalive_s)
            connection.sock.settimeout(_IDLE_WAKE_S)
        except BaseException:
            connection.close()
            raise
        return SshSession(connection, target, self._options, credentials.become_password)

    def _check_configured(self, target: Target) -> None:
        if not target.host or not target.user:
            missing = "host" if not target.host else "user"
            raise TransportError(
                TransportFault.NOT_CONFIGURED,
                f"target {target.target_id} names no {missing} to connect to",
                hint=f"set {missing} for it",
            )
        if not self._known_hosts.configured:
            files = ", ".join(str(path) for path in self._known_hosts.paths) or "none is named"
            raise TransportError(
                TransportFault.NOT_CONFIGURED,
                f"there is no known_hosts file to check the host key of {target.address} against ({files})",
                hint="pin its key: compliance-agent targets add",
            )


class SshSession:
    """A logged-in connection. Each run is a new channel and a new remote process."""

    def __init__(
        self, connection: Connection, target: Target, options: SshOptions, become_password: Secret | None
    ) -> None:
        """Take over the connection; ``close`` frees it."""
        self._connection = connection
        self._target = target
        self._options = options
        self._become_password = become_password
        self._closed = False

    @property
    def kept(self) -> bool:
        """Tell whether an earlier session used this connection."""
        return False

    def run(self, script: str, *, timeout_s: float, output_max_bytes: int) -> RunResult:
        """Run a POSIX script in a new remote shell.

        Raises:
            TransportError: The connection broke, no channel could be opened, or sudo refused.

        """
        started = time.monotonic()
        password = self._become_password
        launch = prepare(script, become=self._target.become, password=password, timeout_s=timeout_s)
        channel = self._start(launch, timeout_s)
        sock = self._connection.sock
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
        if self._closed:
            raise TransportError(
                TransportFault.CLOSED, f"the session with {self._target.address} is closed", hint="open a new one"
            )
        limit_s = min(self._options.channel_timeout_s, timeout_s)
        transport = self._connection.transport
        channel: paramiko.Channel | None = None
        failure: Exception
        with WATCHDOG.limit(self._connection.sock, limit_s) as guard:
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
        """End the connection: socket, reader thread and remote session. May be called twice, from any thread."""
        self._closed = True
        self._connection.close()

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _check_host_key(connection: Connection, target: Target, pinned: PinnedKeys) -> None:
    offered = connection.host_key
    shown = f"{offered.fingerprint} ({offered.key_type})"
    verify = "compare the fingerprint with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub on it)"
    if offered in pinned.revoked:
        raise TransportError(
            TransportFault.HOST_KEY_CHANGED,
            f"{target.address} offers the host key {shown}, which is marked as revoked",
            hint=f"do not connect; {verify}, and find out why its key was revoked",
        )
    if offered in pinned.keys:
        return
    if not pinned.keys:
        raise TransportError(
            TransportFault.HOST_KEY_UNKNOWN,
            f"no host key is pinned for {target.address}; it offers {shown}",
            hint=f"{verify}, then pin it: compliance-agent targets add",
        )
    known = ", ".join(
        f"{key.fingerprint} ({key.key_type}, {source})" for key, source in zip(pinned.keys, pinned.sources, strict=True)
    )
    raise TransportError(
        TransportFault.HOST_KEY_CHANGED,
        f"the host key of {target.address} has changed: pinned {known}, offered {shown}",
        hint=f"this may be an attack or a reinstalled machine; over another way than this connection {verify}; "
        "only if it is right, take the old line away and pin the new key: compliance-agent targets add",
    )
