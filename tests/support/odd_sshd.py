"""An SSH server that lets anybody in and then misbehaves as told. paramiko's, since OpenSSH's cannot."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import paramiko

from compliance_agent.domain.target import Target, TransportKind
from tests.support.sshd import make_key, public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_GRANTED: Final = 0  # both of a channel and of a login


class _Porter(paramiko.ServerInterface):
    """Lets everybody in; what happens to a command is the behaviour's affair."""

    def __init__(self, over: threading.Event, *, stuck_in: str) -> None:
        self.over, self.stuck_in = over, stuck_in
        self.commands: list[paramiko.Channel] = []
        self.started = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        del username, key
        self._maybe_stick("login")
        return _GRANTED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        self._maybe_stick("channel")
        return _GRANTED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        del command
        self._maybe_stick("command")
        self.commands.append(channel)
        self.started.set()
        return True

    def _maybe_stick(self, where: str) -> None:
        if self.stuck_in == where:
            self.over.wait()


@dataclass(frozen=True, slots=True)
class OddServer:
    """Where it listens and what pins it."""

    port: int
    known_hosts: Path
    identity_file: Path

    def target(self) -> Target:
        """Return a target that reaches it."""
        return Target(
            "odd",
            "site",
            transport=TransportKind.SSH,
            host="127.0.0.1",
            port=self.port,
            user="anybody",
            identity_file=str(self.identity_file),
        )


@contextmanager
def odd_sshd(
    folder: Path,
    behaviour: Callable[[paramiko.Channel, threading.Event], None] | None = None,
    *,
    stuck_in: str = "",
) -> Iterator[OddServer]:
    """Serve connections; each command is given to ``behaviour``, whose event is set when the block ends.

    Args:
        folder: For its keys.
        behaviour: What to do with a channel whose command was accepted; nothing, where it is left out.
        stuck_in: ``login``, ``channel`` or ``command``: never answer that request.

    """
    folder.mkdir(exist_ok=True)
    host_key, identity = make_key(folder / "odd_host_key"), make_key(folder / "odd_user_key")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    known_hosts = folder / "odd_known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {public_key(host_key)}\n")
    over, threads = threading.Event(), []

    def serve(connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(host_key)))
        porter = _Porter(over, stuck_in=stuck_in)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=porter)
            while not over.is_set() and transport.is_active():
                if porter.started.wait(0.05):
                    porter.started.clear()
                    (behaviour or never_reads)(porter.commands[-1], over)
        over.wait()
        transport.close()
        connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield OddServer(port, known_hosts, identity)
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


def never_says_how_it_ended(channel: paramiko.Channel, over: threading.Event) -> None:
    """Print, end the output, and never send an exit status or close."""
    channel.sendall(b"part\n")
    channel.shutdown_write()
    over.wait()


def closes_without_a_status(channel: paramiko.Channel, _over: threading.Event) -> None:
    """Print and close the channel."""
    channel.sendall(b"part\n")
    channel.close()


def floods_both_streams(channel: paramiko.Channel, over: threading.Event) -> None:
    """Send on both streams for ever, as fast as it goes."""
    with contextlib.suppress(OSError, EOFError):
        while not over.is_set():
            channel.sendall(b"x" * 32_768)
            channel.sendall_stderr(b"y" * 32_768)


def trickles(channel: paramiko.Channel, over: threading.Event) -> None:
    """Send one byte at a time."""
    with contextlib.suppress(OSError, EOFError):
        while not over.wait(0.2):
            channel.sendall(b"x")


def never_reads(channel: paramiko.Channel, over: threading.Event) -> None:
    """Take nothing from standard input: the window fills."""
    del channel
    over.wait()
