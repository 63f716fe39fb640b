"""The login: exactly the credentials that the target names, each tried once."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import paramiko

from compliance_agent.adapters.transports.elevation import read_become_password
from compliance_agent.adapters.transports.watchdog import WATCHDOG
from compliance_agent.errors import CredentialError, TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compliance_agent.adapters.credentials import CredentialReader, Secret
    from compliance_agent.adapters.transports.handshake import Connection, Conversation
    from compliance_agent.domain.target import Target

_KEY_KINDS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login may use, read and checked before anything is sent.

    Attributes:
        identity: The private key, or ``None``.
        password: The login password, or ``None``.
        become_password: The sudo password, or ``None``.

    """

    identity: paramiko.PKey | None
    password: Secret | None
    become_password: Secret | None


def read_credentials(target: Target, reader: CredentialReader) -> Credentials:
    """Return the credentials that the target names by path.

    Raises:
        CredentialError: It names none, or one cannot be read or used.

    """
    if target.identity_file is None and target.password_file is None:
        raise CredentialError(
            f"target {target.target_id} names no credential to log in with",
            hint="set identity_file or password_file for it",
        )
    return Credentials(
        identity=_load_identity(target.identity_file, reader) if target.identity_file else None,
        password=reader.read_password(target.password_file, purpose="password file") if target.password_file else None,
        become_password=read_become_password(target, reader),
    )


def _load_identity(path: str, reader: CredentialReader) -> paramiko.PKey:
    text = reader.read(path, purpose="identity file").reveal()
    for kind in _KEY_KINDS:
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            raise CredentialError(
                f"the identity file {path} is protected by a passphrase",
                hint=f"nobody is there to type it; make a copy without: ssh-keygen -p -N '' -f {path}",
            ) from None
        # Another kind of key, or none at all: the libraries below answer with all of these.
        except (paramiko.SSHException, ValueError, TypeError, IndexError, AttributeError):
            continue
    raise CredentialError(
        f"the identity file {path} holds no private key that can be used",
        hint="make an Ed25519 key: ssh-keygen -t ed25519 (RSA and ECDSA are usable too, DSA is not)",
    )


def log_in(connection: Connection, target: Target, credentials: Credentials, *, timeout_s: float) -> None:
    """Log in, the key first, then the password, each once.

    Raises:
        TransportError: ``AUTH_FAILED``, ``TIMED_OUT`` or ``CLOSED``.

    """
    transport = connection.transport
    transport.auth_timeout = timeout_s + 1  # later than the guard, whose limit is the one that counts
    with WATCHDOG.limit(connection.sock, timeout_s) as guard:
        failure = _try_all(transport, target.user, credentials)
    if guard.fired:
        raise TransportError(
            TransportFault.TIMED_OUT,
            f"{target.address} did not finish the login of {target.user} within {timeout_s:g} s",
            hint="check its load, and whether PAM or UseDNS waits for something on it",
            retryable=True,
        )
    if failure is not None:
        raise _login_fault(transport, target, failure)


def _try_all(transport: paramiko.Transport, user: str, credentials: Credentials) -> Exception | None:
    identity, password = credentials.identity, credentials.password
    attempts: list[Callable[[], Sequence[str]]] = []
    if identity is not None:
        attempts.append(lambda: transport.auth_publickey(user, identity))
    if password is not None:
        attempts.append(lambda: transport.auth_password(user, password.reveal()))
    failure: Exception | None = None
    for attempt in attempts:
        try:
            further = attempt()
        except (paramiko.SSHException, EOFError, OSError) as error:
            failure = error
            if not transport.is_active():
                break
        else:
            if not further:
                return None
            failure = paramiko.AuthenticationException(f"it also asks for {', '.join(further)}")
    return failure


def _login_fault(transport: Conversation, target: Target, failure: Exception) -> TransportError:
    tried = [path for path in (target.identity_file, target.password_file) if path]
    text = str(failure)
    if transport.is_active() or "Too many authentication failures" in transport.farewell:
        allowed = getattr(failure, "allowed_types", None)
        detail = f"; it accepts {', '.join(allowed)}" if allowed else ""
        detail = f"; {text}" if text.startswith("it also asks") else detail
        return TransportError(
            TransportFault.AUTH_FAILED,
            f"{target.address} refused the login of {target.user}{detail}",
            hint=f"tried {' and '.join(tried)}, each once; check the user and that this key or password is allowed",
        )
    reason = f": {transport.farewell}" if transport.farewell else ""
    return TransportError(
        TransportFault.CLOSED,
        f"{target.address} closed the connection during the login of {target.user}{reason}",
        hint="look into the log of its SSH server",
        retryable=True,
    )
