"""The login: exactly the credentials that the target names, each tried once."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import paramiko

from compliance_agent.adapters.credentials import file_state
from compliance_agent.adapters.transports.certificate import SUFFIX
from compliance_agent.adapters.transports.host_key import HostKey
from compliance_agent.adapters.transports.watchdog import WATCHDOG
from compliance_agent.errors import CredentialError, TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from compliance_agent.adapters.credentials import CredentialReader, Secret
    from compliance_agent.adapters.transports.handshake import Connection, Conversation
    from compliance_agent.domain.target import Target

_KEY_KINDS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_IDENTITIES_MAX: Final = 64
_CERTIFICATE_MAX_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login may use, read and checked before anything is sent.

    Attributes:
        identity: The private key, or ``None``.
        password: The login password, or ``None``.

    """

    identity: paramiko.PKey | None
    password: Secret | None


class Identities:
    """Private keys, parsed once for each state of their file: an RSA key of 4096 bits takes 0.27 s of CPU to check.

    A file that was touched, replaced, or had its mode changed is read and judged anew. Thread-safe.
    """

    def __init__(self, reader: CredentialReader) -> None:
        """Start without any."""
        self._reader = reader
        self._lock = threading.Lock()
        self._parsed: OrderedDict[tuple[object, ...], paramiko.PKey] = OrderedDict()

    def load(self, path: str, certificate_file: str | None = None) -> paramiko.PKey:
        """Return the private key, with its certificate where one is named.

        Raises:
            CredentialError: Either cannot be read or used.

        """
        state = (path, file_state(path), certificate_file, file_state(certificate_file) if certificate_file else None)
        with self._lock:
            key = self._parsed.get(state)
        if key is None:
            key = _load_identity(path, self._reader)
            if certificate_file:
                _add_certificate(key, certificate_file)
            with self._lock:
                self._parsed[state] = key
                if len(self._parsed) > _IDENTITIES_MAX:
                    self._parsed.popitem(last=False)
        return key


def read_credentials(target: Target, reader: CredentialReader, identities: Identities | None = None) -> Credentials:
    """Return the credentials that the target names by path; ``identities`` may know the key already.

    Raises:
        CredentialError: It names none, or one cannot be read or used.

    """
    if target.identity_file is None and target.password_file is None:
        raise CredentialError(
            f"target {target.target_id} names no credential to log in with",
            hint="set identity_file or password_file for it",
        )
    return Credentials(
        identity=(identities or Identities(reader)).load(target.identity_file, target.certificate_file)
        if target.identity_file
        else None,
        password=reader.read_password(target.password_file, purpose="password file") if target.password_file else None,
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


def _add_certificate(key: paramiko.PKey, path: str) -> None:
    """Have a key show its certificate (of an OpenSSH authority) at the login."""
    certificate: HostKey | None = None
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 -- text, no Path
            text = file.read(_CERTIFICATE_MAX_BYTES)
        certificate = HostKey.from_base64(text.split()[1])
        key.load_certificate(paramiko.Message(certificate.blob))
    except OSError as error:
        raise CredentialError(
            f"the certificate {path} cannot be read: {error.strerror}", hint="correct the path in the settings"
        ) from None
    except (ValueError, IndexError, paramiko.SSHException):
        certificate = None
    if certificate is None or certificate.key_type != f"{key.get_name()}{SUFFIX}":
        raise CredentialError(
            f"the certificate {path} is none of this {key.get_name()} key",
            hint="have the public key signed: ssh-keygen -s CA -I NAME -n USER KEY.pub makes KEY-cert.pub",
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
