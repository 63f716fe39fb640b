"""One script over one SSH channel: fed and drained at the same time, under one deadline."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import paramiko

from compliance_agent.adapters.transports.capture import CappedBuffer

_CHUNK_BYTES: Final = 131_072
_IDLE_POLL_S: Final = 0.1
_SENDING_POLL_S: Final = 0.02
# How long a shell that has exited may stay silent before what it left behind is no longer waited for.
_QUIET_S: Final = 0.3


class End(Enum):
    """How a run over a channel ended."""

    FINISHED = auto()
    DEADLINE = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Drained:
    """What one channel brought.

    Attributes:
        end: How it ended.
        exit_code: Of the remote shell; ``None`` when unknown.
        stdout: Standard output, capped.
        stderr: Standard error, capped.

    """

    end: End
    exit_code: int | None
    stdout: CappedBuffer
    stderr: CappedBuffer


class ChannelPump:
    """Feeds and drains one channel on which a command has been started."""

    def __init__(self, channel: paramiko.Channel, stdin: bytes, *, output_max_bytes: int) -> None:
        """Prepare; nothing is sent yet."""
        self._channel = channel
        self._pending = memoryview(stdin)
        self._stdin_open = True
        self._stdout = CappedBuffer(output_max_bytes)
        self._stderr = CappedBuffer(output_max_bytes)

    def run(self, deadline: float) -> Drained:
        """Return when the command has ended, the deadline (monotonic) has passed, or the peer is lost."""
        channel = self._channel
        channel.settimeout(0.0)
        poller = select.poll()
        poller.register(channel.fileno(), select.POLLIN)
        last_news = time.monotonic()
        while True:
            over = channel.eof_received or channel.closed
            self._feed()
            received = self._drain()
            now = time.monotonic()
            if received:
                last_news = now
            elif over:
                return self._finish(deadline)
            elif channel.exit_status_ready() and now - last_news > _QUIET_S:
                return self._result(End.FINISHED)
            if now >= deadline:
                return self._result(End.DEADLINE)
            if not received:
                pause_s = _SENDING_POLL_S if self._stdin_open else _IDLE_POLL_S
                poller.poll(max(min(pause_s, deadline - now), 0) * 1000)

    def _feed(self) -> None:
        try:
            while self._pending and self._channel.send_ready():
                sent = self._channel.send(bytes(self._pending[:_CHUNK_BYTES]))
                if sent == 0:
                    break
                self._pending = self._pending[sent:]
            if self._stdin_open and not self._pending:
                self._channel.shutdown_write()
                self._stdin_open = False
        except TimeoutError:
            return  # no room in the window just now
        except (OSError, EOFError):
            # The shell ended before it read all of its script; what it printed still counts.
            self._pending = memoryview(b"")
            self._stdin_open = False

    def _drain(self) -> bool:
        try:
            return self._receive()
        except (OSError, EOFError, paramiko.SSHException):
            # Receiving also sends (room for more); where that breaks, the channel is about to be closed.
            return False

    def _receive(self) -> bool:
        received = False
        if self._channel.recv_ready():
            chunk = self._channel.recv(_CHUNK_BYTES)
            self._stdout.add(chunk)
            received = bool(chunk)
        if self._channel.recv_stderr_ready():
            chunk = self._channel.recv_stderr(_CHUNK_BYTES)
            self._stderr.add(chunk)
            received = received or bool(chunk)
        return received

    def _finish(self, deadline: float) -> Drained:
        channel = self._channel
        if not channel.status_event.wait(max(deadline - time.monotonic(), 0)):
            return self._result(End.DEADLINE)
        if channel.exit_status < 0 and not channel.eof_received:
            return self._result(End.LOST)
        if channel.exit_status < 0:
            # Killed by a signal, or the connection broke just now: the reader's thread knows.
            transport = channel.get_transport()
            transport.join(_QUIET_S)
            return self._result(End.FINISHED if transport.is_active() else End.LOST)
        return self._result(End.FINISHED)

    def _result(self, end: End) -> Drained:
        status = self._channel.exit_status
        exit_code = status if end is End.FINISHED and status >= 0 else None
        return Drained(end, exit_code, self._stdout, self._stderr)
