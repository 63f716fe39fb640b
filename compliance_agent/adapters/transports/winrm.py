"""Windows targets: WinRM by pywinrm, one login and one shell a session, PowerShell fed by standard input.

A session belongs to one thread at a time (pywinrm is not thread-safe); closing it is for any thread.
"""

from __future__ import annotations

import base64
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypeVar

from winrm.exceptions import WinRMOperationTimeoutError, WSManFaultError
from winrm.protocol import Protocol

from compliance_agent.adapters.credentials import file_state
from compliance_agent.adapters.transports.capture import CappedBuffer
from compliance_agent.adapters.transports.doorway import Doorway
from compliance_agent.adapters.transports.winrm_faults import ANY, fault_of
from compliance_agent.adapters.transports.wsman import Line, WsmanTransport
from compliance_agent.domain.target import WinRmLogin
from compliance_agent.engine.ports import RunResult
from compliance_agent.errors import CredentialError, TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from types import TracebackType

    from compliance_agent.adapters.credentials import CredentialReader
    from compliance_agent.domain.target import Target

_Answer = TypeVar("_Answer")

UTF_8: Final = 65001
"""Windows' number of the code page of UTF-8; a shell has 437 unless it is told."""

BOOTSTRAP: Final = r"""
$ProgressPreference = 'SilentlyContinue'
$ErrorActionPreference = 'Stop'
try {
    $packed = (@($input) -join '').Trim()
    $text = [System.Text.Encoding]::UTF8.GetString([System.Convert]::FromBase64String($packed))
    $given = ConvertFrom-Json -InputObject $text
    & ([System.Management.Automation.ScriptBlock]::Create($given.script)) $given.parameters
    [System.Environment]::Exit(0)
} catch {
    [System.Console]::Error.WriteLine($_.Exception.Message)
    [System.Environment]::Exit(70)
}
"""
"""All that stands in the command line: it reads script and parameters, JSON in Base64, from standard input."""

_POWERSHELL: Final = r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe"
_LINE_CHARACTERS: Final = 1_024
_SEND_BYTES: Final = 65_536
"""One Send; with Base64, envelope and encryption well below 153,600, the least MaxEnvelopeSizekb in use."""
_IDLE_TIMEOUT: Final = "PT180S"
"""A shell that we lost ends by itself after this, instead of the two hours that Windows gives it."""
_ANSWER_SLACK_S: Final = 10
_CLOSE_S: Final = 10
_REFUSED_FOR_S: Final = 3_600
_EMPTY_MAX: Final = 30
_NO_CODE: Final = -1
"""What pywinrm says where the server names no exit code."""


@dataclass(frozen=True, slots=True)
class WinRmOptions:
    """Limits, in seconds.

    Attributes:
        connect_timeout_s: Name lookup and TCP connection.
        operation_timeout_s: Longest that one question waits at the server; Windows takes 60 at most.

    """

    connect_timeout_s: float = 10.0
    operation_timeout_s: int = 20


class WinRmTransport:
    """Opens WinRM sessions. Thread-safe. Keeps no connection: each session logs in."""

    def __init__(
        self, options: WinRmOptions, credentials: CredentialReader, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep the limits and the reader of secrets."""
        self._options = options
        self._credentials = credentials
        self._clock = clock
        self._doorway = Doorway()
        self._lock = threading.Lock()
        self._refused: dict[Hashable, float] = {}

    def open(self, target: Target, *, fresh: bool = False) -> WinRmSession:
        """Connect, check the certificate, log in, open a shell; every session does so (``fresh`` asks nothing more).

        A login that was refused is not tried again for an hour, unless its password file changes: Windows locks
        an account after a few wrong passwords.

        Raises:
            TransportError: With the fault that tells why.
            CredentialError: The password file cannot be read, or none is named.

        """
        del fresh
        key = _way_in(target)
        self._check(target, key)
        password = self._password(target)
        try:
            with self._doorway.pass_through(
                target.host, target.port, timeout_s=self._options.connect_timeout_s + self._options.operation_timeout_s
            ):
                return WinRmSession(target, password, self._options)
        except TransportError as error:
            if error.fault is TransportFault.AUTH_FAILED:
                with self._lock:
                    self._refused[key] = self._clock()
            raise

    def _check(self, target: Target, key: Hashable) -> None:
        if not target.host or not target.user:
            missing = "host" if not target.host else "user"
            raise TransportError(
                TransportFault.NOT_CONFIGURED,
                f"target {target.target_id} names no {missing} to connect to",
                hint=f"set {missing} for it",
            )
        with self._lock:
            refused_at = self._refused.get(key)
            if refused_at is not None and self._clock() - refused_at >= _REFUSED_FOR_S:
                del self._refused[key]
                refused_at = None
        if refused_at is not None:
            raise TransportError(
                TransportFault.AUTH_FAILED,
                f"{target.address} refused the login of {target.user} before, so it was not tried again",
                hint="mend the password file; the login is tried as soon as it has changed, else after an hour",
            )

    def _password(self, target: Target) -> str:
        if target.login is WinRmLogin.KERBEROS:
            return ""
        if target.password_file is None:
            raise CredentialError(f"target {target.target_id} names no credential", hint="set password_file for it")
        return self._credentials.read_password(target.password_file, purpose="password file").reveal()

    def close(self) -> None:
        """Do nothing: no connection is kept."""


def _way_in(target: Target) -> Hashable:
    state = file_state(target.password_file) if target.password_file else None
    return target.host, target.port, target.user, target.login, target.tls, target.password_file, state


class WinRmSession:
    """A logged-in connection with one open shell. Each run is a new PowerShell process in it."""

    kept = False

    def __init__(self, target: Target, password: str, options: WinRmOptions) -> None:
        """Log in and open the shell.

        Raises:
            TransportError: With the fault that tells why.

        """
        self._target = target
        self._password = password
        self._options = options
        self._lock = threading.Lock()
        self._running = False
        self._closed = False
        self._broken = False
        self._lost = False
        self._line, self._protocol, self._transport = self._connect()
        try:
            self._shell_id = self._ask(
                lambda: self._protocol.open_shell(noprofile=True, codepage=UTF_8, idle_timeout=_IDLE_TIMEOUT)
            )
        except TransportError:
            self._transport.close_session()
            raise

    def _connect(self) -> tuple[Line, Protocol, WsmanTransport]:
        operation_s = self._options.operation_timeout_s
        line = Line(self._target, connect_timeout_s=self._options.connect_timeout_s)
        protocol = Protocol(
            endpoint="https://unused",
            transport=self._target.login.value,
            username=self._target.user,
            password=self._password,
            read_timeout_sec=operation_s + _ANSWER_SLACK_S,
            operation_timeout_sec=operation_s,
            proxy=None,
        )
        answer_s = operation_s + _ANSWER_SLACK_S
        protocol.transport = transport = WsmanTransport(self._target, self._password, line, answer_timeout_s=answer_s)
        return line, protocol, transport

    def run(self, script: str, *, timeout_s: float, output_max_bytes: int) -> RunResult:
        """Run what the bootstrap understands: a JSON object of ``script`` (PowerShell) and ``parameters``.

        Raises:
            TransportError: The connection broke, or the server refused the command.

        """
        started = time.monotonic()
        with self._lock:
            if self._closed or self._broken:
                raise self._gone()
            self._running = True
        try:
            out, err, code, timed_out = self._run(script, started + timeout_s, output_max_bytes)
        finally:
            with self._lock:
                self._running = False
        return RunResult(
            exit_code=code,
            stdout=bytes(out),
            stderr=bytes(err),
            truncated=out.truncated or err.truncated,
            timed_out=timed_out,
            duration_s=time.monotonic() - started,
        )

    def _run(self, script: str, deadline: float, cap: int) -> tuple[CappedBuffer, CappedBuffer, int | None, bool]:
        protocol, shell, transport = self._protocol, self._shell_id, self._transport
        out, err = CappedBuffer(cap), CappedBuffer(cap)
        command = self._ask(lambda: protocol.run_command(shell, _POWERSHELL, arguments(), console_mode_stdin=False))
        self._feed(command, packed(script), deadline)
        code: int | None = None
        done, empty = False, 0
        try:
            while not done and time.monotonic() < deadline:
                wait_s = max(1, min(self._options.operation_timeout_s, int(deadline - time.monotonic())))
                protocol.operation_timeout_sec, transport.answer_timeout_s = wait_s, wait_s + _ANSWER_SLACK_S
                with suppress(_NothingYetError):
                    stdout, stderr, code, done = self._ask(lambda: protocol.get_command_output_raw(shell, command))
                    out.add(stdout)
                    err.add(stderr)
                    empty = 0 if stdout or stderr or done else empty + 1
                    self._refuse_silence(empty)
        finally:
            wait_s = self._options.operation_timeout_s
            protocol.operation_timeout_sec, transport.answer_timeout_s = wait_s, wait_s + _ANSWER_SLACK_S
        if not self._broken:  # ends it where it still runs, and frees its place where it does not
            with suppress(TransportError):
                self._ask(lambda: protocol.cleanup_command(shell, command))
        return out, err, code if done and code != _NO_CODE else None, not done

    def _refuse_silence(self, empty: int) -> None:
        """Refuse a server that goes on to answer at once, with nothing: Windows waits until it has something to say."""
        if empty > _EMPTY_MAX:
            self._broken = True
            raise TransportError(
                TransportFault.PROTOCOL,
                f"{self._target.address} answers again and again without saying anything",
                hint="this is not Windows' own answer; look at what listens there",
            )

    def _feed(self, command: str, data: bytes, deadline: float) -> None:
        """Write standard input, as far as it is read and time allows."""
        for start in range(0, len(data), _SEND_BYTES):
            if time.monotonic() >= deadline:
                return
            part, end = data[start : start + _SEND_BYTES], start + _SEND_BYTES >= len(data)
            try:
                self._ask(partial(self._protocol.send_command_input, self._shell_id, command, part, end=end))
            except TransportError:
                if self._broken:
                    raise
                return  # it has ended already and reads no more: its exit code tells the rest

    def _ask(self, exchange: Callable[[], _Answer]) -> _Answer:
        """Make one exchange with the server; whatever goes wrong becomes a fault of ours."""
        try:
            return exchange()
        except WinRMOperationTimeoutError:
            raise _NothingYetError(
                TransportFault.TIMED_OUT,
                f"{self._target.address} did not carry out an operation within its time",
                hint="the machine may be overloaded",
                retryable=True,
            ) from None
        except ANY as error:
            if not isinstance(error, WSManFaultError):
                self._broken = True
            if self._closed:
                raise self._gone() from error
            fault = fault_of(error, self._target, timeout_s=self._transport.answer_timeout_s)
            self._lost = self._lost or fault.fault is TransportFault.CLOSED
            raise fault from error

    def _gone(self) -> TransportError:
        return TransportError(
            TransportFault.CLOSED, f"the session with {self._target.address} is closed", hint="open a new one"
        )

    def close(self) -> None:
        """Delete the shell and end the connection. May be called twice, from any thread; a run under way ends."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            running = self._running
        if running:
            self._line.shut()
        if not self._broken and not running:
            with suppress(*ANY), self._line.limit(_CLOSE_S):
                self._protocol.close_shell(self._shell_id)
                return
        self._line.shut()
        if not running:  # else its own thread still uses it
            self._transport.close_session()
        if running or self._lost:
            self._delete_anew()

    def _delete_anew(self) -> None:
        """Delete the shell over a new login: the connection is lost, the shell is not."""
        line, protocol, transport = self._connect()
        try:
            with suppress(*ANY):
                protocol.close_shell(self._shell_id)
        finally:
            line.shut()
            transport.close_session()

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class _NothingYetError(TransportError):
    """The server had nothing to say within the operation's own time; it may be asked again."""


def arguments() -> list[str]:
    """Return PowerShell's arguments: the bootstrap, the same for every script."""
    encoded = base64.b64encode(BOOTSTRAP.strip().encode("utf-16-le")).decode("ascii")
    return ["-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded]


def packed(script: str) -> bytes:
    """Return what travels on standard input: Base64 in lines, which no code page can change."""
    text = base64.b64encode(script.encode()).decode("ascii")
    lines = (text[start : start + _LINE_CHARACTERS] for start in range(0, len(text), _LINE_CHARACTERS))
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
