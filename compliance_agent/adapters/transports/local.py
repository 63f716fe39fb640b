"""This machine itself: a shell in a process group of its own, which ends as a whole at the deadline."""

from __future__ import annotations

import contextlib
import os
import pwd
import selectors
import signal
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING, Final, Self, cast

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.transports.capture import CappedBuffer
from compliance_agent.adapters.transports.elevation import (
    NOISE_MAX_BYTES,
    SEARCH_PATH,
    finish,
    prepare,
    read_become_password,
)
from compliance_agent.domain.target import Become
from compliance_agent.engine.ports import RunResult
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from types import TracebackType

    from compliance_agent.adapters.credentials import Secret
    from compliance_agent.adapters.transports.elevation import Launch
    from compliance_agent.domain.target import Target

_CHUNK_BYTES: Final = 65_536
_POLL_S: Final = 0.1
_TERM_GRACE_S: Final = 0.5
_REAP_S: Final = 1.0


class LocalTransport:
    """Opens sessions with this machine. Thread-safe."""

    def __init__(self, credentials: CredentialReader | None = None) -> None:
        """Keep the reader of secrets (the sudo password is the only one)."""
        self._credentials = credentials or CredentialReader()

    def open(self, target: Target, *, fresh: bool = False) -> LocalSession:
        """Return a session; every one is fresh here.

        Raises:
            CredentialError: The sudo password file cannot be read.

        """
        del fresh
        return LocalSession(target, read_become_password(target, self._credentials))


class LocalSession:
    """Each run is a new shell."""

    def __init__(self, target: Target, become_password: Secret | None) -> None:
        """Nothing is started yet."""
        self._target = target
        self._become_password = become_password
        self._closed = threading.Event()

    @property
    def kept(self) -> bool:
        """Return ``False``: there is no connection to keep."""
        return False

    def run(self, script: str, *, timeout_s: float, output_max_bytes: int) -> RunResult:
        """Run a POSIX script in a new shell.

        Raises:
            TransportError: The session is or was closed, there is no shell, or sudo refused.

        """
        if self._closed.is_set():
            raise TransportError(
                TransportFault.CLOSED, f"the session with {self._target.address} is closed", hint="open a new one"
            )
        started = time.monotonic()
        password = self._become_password
        launch = prepare(script, become=self._target.become, password=password, timeout_s=timeout_s)
        with _Process(self._start(launch), launch.stdin, cap_bytes=output_max_bytes + NOISE_MAX_BYTES) as process:
            process.drain(started + timeout_s, self._closed)
            timed_out = not process.over
            if timed_out:
                process.kill()
        if self._closed.is_set():
            raise TransportError(
                TransportFault.CLOSED, f"the session with {self._target.address} was closed while a script ran"
            )
        result = RunResult(
            exit_code=None if timed_out else process.exit_code,
            stdout=bytes(process.stdout),
            stderr=bytes(process.stderr),
            truncated=False,
            timed_out=timed_out,
            duration_s=time.monotonic() - started,
        )
        return finish(result, launch, self._target, password, output_max_bytes=output_max_bytes)

    def _start(self, launch: Launch) -> subprocess.Popen[bytes]:
        # Without sudo the group is killed from here, so no `timeout` has to stand in between.
        plain = self._target.become is Become.NONE
        command = ["/bin/sh", "-s"] if plain else ["/bin/sh", "-c", launch.command]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )
        except OSError as error:
            raise TransportError(
                TransportFault.PROTOCOL,
                f"no shell could be started on this machine: {error.strerror}",
                hint="check /bin/sh, and the limits on processes and open files",
                retryable=True,
            ) from error

    def close(self) -> None:
        """End the session; a script that still runs is killed. May be called twice, from any thread."""
        self._closed.set()

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _environment() -> dict[str, str]:
    # What the agent was started with (its service's variables) is not the scripts' business.
    try:
        entry = pwd.getpwuid(os.getuid())
        home, user = entry.pw_dir, entry.pw_name
    except KeyError:
        home, user = "/", str(os.getuid())
    return {"PATH": SEARCH_PATH, "HOME": home, "USER": user, "LOGNAME": user}


class _Process:
    """One shell: fed, drained, and gone when the block ends."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, *, cap_bytes: int) -> None:
        self._process = process
        self._pending = memoryview(stdin)
        self.stdout = CappedBuffer(cap_bytes)
        self.stderr = CappedBuffer(cap_bytes)
        self._selector = selectors.DefaultSelector()
        self._stdin = cast("IO[bytes]", process.stdin)
        self._outputs = {
            cast("IO[bytes]", process.stdout): self.stdout,
            cast("IO[bytes]", process.stderr): self.stderr,
        }

    def __enter__(self) -> Self:
        for stream in (self._stdin, *self._outputs):
            os.set_blocking(stream.fileno(), False)
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        for stream in self._outputs:
            self._selector.register(stream, selectors.EVENT_READ)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.over:
            self.kill()
        self._selector.close()
        for stream in (self._stdin, *self._outputs):
            with contextlib.suppress(OSError):
                stream.close()
        self._reap()

    @property
    def exit_code(self) -> int | None:
        """The shell's exit code; ``None`` if a signal ended it."""
        code = self._process.returncode
        return code if code is not None and code >= 0 else None

    @property
    def over(self) -> bool:
        """Whether the shell has ended. It stays a zombie, so that its group's number stays its own."""
        if self._process.returncode is not None:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def drain(self, deadline: float, stop: threading.Event) -> None:
        """Feed and drain until the shell is over, the deadline has passed, or ``stop`` is set."""
        while not stop.is_set():
            over = self.over
            moved = self._move(0 if over else max(min(_POLL_S, deadline - time.monotonic()), 0))
            # What the shell left behind may hold the pipes open: its own end is what counts.
            if (over and not moved) or time.monotonic() >= deadline:
                return

    def kill(self) -> None:
        """End the whole process group: ask first, then insist; keep what it still prints."""
        self._signal(signal.SIGTERM)
        self.drain(time.monotonic() + _TERM_GRACE_S, threading.Event())
        self._signal(signal.SIGKILL)
        self.drain(time.monotonic() + _TERM_GRACE_S, threading.Event())

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _move(self, timeout_s: float) -> bool:
        if not self._selector.get_map():
            # All pipes are closed but the shell runs on: wait for its end.
            time.sleep(min(timeout_s, 0.01))
            return False
        moved = False
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._stdin:
                self._write()
            else:
                moved = self._read(key.fileobj) or moved  # type: ignore[arg-type] # only our pipes are registered
        return moved

    def _write(self) -> None:
        try:
            sent = os.write(self._stdin.fileno(), self._pending[:_CHUNK_BYTES]) if self._pending else 0
        except BlockingIOError:
            return
        except OSError:
            # The shell ended before it read all of its script.
            sent = len(self._pending)
        self._pending = self._pending[sent:]
        if not self._pending:
            self._selector.unregister(self._stdin)
            with contextlib.suppress(OSError):
                self._stdin.close()

    def _read(self, stream: IO[bytes]) -> bool:
        try:
            chunk = os.read(stream.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._selector.unregister(stream)
        self._outputs[stream].add(chunk)
        return bool(chunk)

    def _reap(self) -> None:
        try:
            self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            # A shell that sudo made root may not be killed from here; its own `timeout` ends it soon.
            threading.Thread(target=self._process.wait, name="reaper", daemon=True).start()
