"""From a target to a logged-in connection: the way there, whom to trust, how to log in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import file_state
from compliance_agent.adapters.transports import handshake
from compliance_agent.adapters.transports.certificate import SUFFIX
from compliance_agent.adapters.transports.doorway import Doorway
from compliance_agent.adapters.transports.host_trust import check_host_key
from compliance_agent.adapters.transports.jump import JumpHosts
from compliance_agent.adapters.transports.link import Link
from compliance_agent.adapters.transports.login import Identities, log_in, read_credentials
from compliance_agent.adapters.transports.network import dial
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from compliance_agent.adapters.credentials import CredentialReader
    from compliance_agent.adapters.known_hosts import KnownHosts, PinnedKeys
    from compliance_agent.adapters.transports.network import PeekedSocket
    from compliance_agent.domain.target import Target


@dataclass(frozen=True, slots=True)
class SshOptions:
    """Limits of each phase and of what is kept, all in seconds but ``kept_max``.

    Attributes:
        connect_timeout_s: Name lookup and TCP connection.
        banner_timeout_s: Version and key exchange.
        auth_timeout_s: Login.
        channel_timeout_s: Start of one command.
        keepalive_s: Pause between signs of life on an idle connection.
        idle_limit_s: How long a connection is kept for the next session; 0 keeps none.
        age_limit_s: How long after its login a connection may be used.
        alive_timeout_s: For a kept connection to give a sign of life before it is used again.
        kept_max: Most connections that are kept.

    """

    connect_timeout_s: float = 10.0
    banner_timeout_s: float = 10.0
    auth_timeout_s: float = 15.0
    channel_timeout_s: float = 10.0
    keepalive_s: int = 30
    idle_limit_s: float = 0.0
    age_limit_s: float = 3_600.0
    alive_timeout_s: float = 5.0
    kept_max: int = 512


class Connector:
    """Makes logged-in connections. Thread-safe."""

    def __init__(self, options: SshOptions, known_hosts: KnownHosts, credentials: CredentialReader) -> None:
        """Keep the limits, the pinned keys and the reader of secrets."""
        self._options = options
        self._known_hosts = known_hosts
        self._credentials = credentials
        self._identities = Identities(credentials)
        self._doorway = Doorway()
        self._jumps = JumpHosts(self.connect)

    def connect(self, target: Target) -> Link:
        """Connect, check the host key against the pinned ones, log in.

        Raises:
            TransportError: With the fault that tells why.
            CredentialError: A secret that the target names by path cannot be read, or it names none.

        """
        self._check_configured(target)
        credentials = read_credentials(target, self._credentials, self._identities)
        pinned = self.pinned(target)
        options = self._options
        # The way through a jump host is not bound to its own few places at once: they are the target's.
        with self._doorway.pass_through(target.host, target.port, timeout_s=options.connect_timeout_s):
            connection = handshake.connect(
                target.address,
                self._dialler(target),
                connect_timeout_s=options.connect_timeout_s,
                banner_timeout_s=options.banner_timeout_s,
                key_types=_wanted_key_types(pinned),
            )
            try:
                check_host_key(connection.host_key, connection.certificate, target, pinned)
                log_in(connection, target, credentials, timeout_s=options.auth_timeout_s)
                return Link(connection, keepalive_s=options.keepalive_s)
            except BaseException:
                connection.close()
                raise

    def pinned(self, target: Target) -> PinnedKeys:
        """Return what ``known_hosts`` says of the target now."""
        return self._known_hosts.keys_for(target.host, target.port)

    def is_still_trusted(self, link: Link, target: Target) -> bool:
        """Tell whether the host key of a connection from before would be accepted now."""
        try:
            check_host_key(link.host_key, link.certificate, target, self.pinned(target))
        except TransportError:
            return False
        return True

    def _dialler(self, target: Target) -> Callable[[float], PeekedSocket]:
        via = target.via
        if via is None:
            return lambda timeout_s: dial(target.host, target.port, timeout_s=timeout_s)
        options, key = self._options, way_in(via)
        # The login of the jump host has its own limits; the target's own connection starts after it.
        limit_s = options.connect_timeout_s + options.banner_timeout_s + options.auth_timeout_s

        def through(_timeout_s: float) -> PeekedSocket:
            return self._jumps.dial(via, key, target.host, target.port, timeout_s=limit_s)

        return through

    def _check_configured(self, target: Target) -> None:
        if not target.host or not target.user:
            missing = "host" if not target.host else "user"
            raise TransportError(
                TransportFault.NOT_CONFIGURED,
                f"target {target.target_id} names no {missing} to connect to",
                hint=f"set {missing} for it",
            )
        if not target.host_key and not self._known_hosts.configured:
            files = ", ".join(str(path) for path in self._known_hosts.paths) or "none is named"
            raise TransportError(
                TransportFault.NOT_CONFIGURED,
                f"there is no known_hosts file to check the host key of {target.address} against ({files})",
                hint="pin its key: compliance-agent targets add",
            )


def way_in(target: Target) -> Hashable:
    """Return all that a login depends on: two targets with the same way in could use one connection.

    A credential file that was changed, even in place, makes another way in.
    """
    files = (target.identity_file, target.password_file, target.certificate_file)
    return (
        target.host,
        target.port,
        target.user,
        target.host_key,
        tuple((path, file_state(path)) for path in files if path),
        way_in(target.via) if target.via else None,
    )


def _wanted_key_types(pinned: PinnedKeys) -> list[str]:
    """Return the types of host key to ask for first: pinned ones, else certificates where an authority is trusted."""
    bare = [key.key_type for key in pinned.keys]
    if not pinned.authorities:
        return bare
    kinds = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
    return [*bare, *(kind + SUFFIX for kind in (*kinds, "rsa-sha2-512", "rsa-sha2-256"))]
