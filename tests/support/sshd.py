"""A real OpenSSH server on loopback, with its own keys, for as long as a ``with`` block."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.target import Target, TransportKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# SHLVL keeps bash from reading the tester's own login files at each command.
_CONFIG: Final = """\
SetEnv SHLVL=2
Port {port}
ListenAddress 127.0.0.1
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 200:30:400
UseDNS no
PrintMotd no
LogLevel VERBOSE
"""


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair with ssh-keygen and return the private key's path."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)], check=True, timeout=60
    )
    return path


def public_key(path: Path) -> str:
    """Return ``type base64`` of a private key's public half."""
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def find_sshd() -> str:
    """Return the path of sshd; it has to be called by its full path."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        message = "sshd is not installed; run: apt-get install -y openssh-server"
        raise RuntimeError(message)
    return found


def descendants(pid: int) -> list[int]:
    """Return the process ids of everything below ``pid``, nearest first."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, queue = [], [pid]
    while queue:
        children = parents.get(queue.pop(0), [])
        found += children
        queue += children
    return found


@dataclass(frozen=True, slots=True)
class SshdServer:
    """A running server.

    Attributes:
        host: Where it listens.
        port: Where it listens.
        user: Who may log in: the user that runs the tests.
        identity_file: The private key that is let in.
        known_hosts: A file that pins the server's keys.
        folder: Its configuration, keys and log.
        process: The listening process.

    """

    host: str
    port: int
    user: str
    identity_file: Path
    known_hosts: Path
    folder: Path
    process: subprocess.Popen[bytes]

    def target(self, **changes: object) -> Target:
        """Return a target that reaches it; fields may be replaced."""
        fields: dict[str, object] = {
            "target_id": "sshd",
            "site_id": "site",
            "transport": TransportKind.SSH,
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "identity_file": str(self.identity_file),
        }
        return Target(**(fields | changes))  # type: ignore[arg-type] # replaced by name

    def children(self) -> list[int]:
        """Return the ids of the processes that serve connections, and of what they run."""
        return descendants(self.process.pid)

    def log(self) -> str:
        """Return what it has logged."""
        return (self.folder / "sshd.log").read_text(errors="replace")


@contextmanager
def start_sshd(tmp_path: Path, *, host_keys: Sequence[str] = ("ed25519",), config: str = "") -> Iterator[SshdServer]:
    """Run a server until the block ends; its children end with it.

    Args:
        tmp_path: An empty folder of the test's own.
        host_keys: Kinds of host key to make.
        config: Lines that go before the others (the first of equal options wins).

    """
    folder = tmp_path / "sshd"
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    identity = make_key(folder / "user_key")
    (folder / "authorized_keys").write_text(public_key(identity) + "\n")
    keys = [make_key(folder / f"host_{kind}", kind=kind) for kind in host_keys]
    process, port = _listen(folder, config + "".join(f"HostKey {key}\n" for key in keys))
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("".join(f"[127.0.0.1]:{port} {public_key(key)}\n" for key in keys))
    try:
        yield SshdServer("127.0.0.1", port, getpass.getuser(), identity, known_hosts, folder, process)
    finally:
        _stop(process)


def _listen(folder: Path, config: str) -> tuple[subprocess.Popen[bytes], int]:
    # Between choosing a free port and binding it somebody else may take it: try again then.
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        (folder / "sshd_config").write_text(config + _CONFIG.format(port=port, folder=folder))
        with (folder / "sshd.log").open("wb") as log:
            process = subprocess.Popen(
                [find_sshd(), "-D", "-e", "-f", str(folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
            )
        if _accepts(process, port):
            return process, port
        _stop(process)
    raise RuntimeError((folder / "sshd.log").read_text())


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            return sock.recv(4) == b"SSH-"
        time.sleep(0.01)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    children = descendants(process.pid)
    process.terminate()
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
    process.wait(10)
