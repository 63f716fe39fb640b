"""Real OpenSSH servers, one a target, on loopback addresses of a network namespace of their own; who used how much CPU.

Needs root. Everything that a server starts counts as the servers' CPU, everything that a client starts as the
client's, by a control group each (version 1 or 2), daemons included.
"""

from __future__ import annotations

import contextlib
import ctypes
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

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET: Final = 0x40000000
_V1: Final = Path("/sys/fs/cgroup/cpuacct")
_V2: Final = Path("/sys/fs/cgroup")

CURVE25519: Final = "curve25519-sha256,curve25519-sha256@libssh.org"

_CONFIG: Final = """\
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
MaxSessions 100
UseDNS no
PrintMotd no
PrintLastLog no
LogLevel ERROR
KexAlgorithms {kex}
SetEnv SHLVL=2
"""


class CpuGroup:
    """A control group that counts the CPU seconds of a process and of all that it starts."""

    def __init__(self, name: str) -> None:
        """Make it.

        Raises:
            OSError: This machine lets nobody make control groups.

        """
        self._v1 = (_V1 / "cpuacct.usage").exists()
        self._path = (_V1 if self._v1 else _V2) / f"{name}-{os.getpid()}"
        self._path.mkdir()

    def wrap(self, command: list[str]) -> list[str]:
        """Return a command that joins the group and then becomes ``command``."""
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._path / "cgroup.procs"), *command]

    def cpu_s(self) -> float:
        """Return the CPU seconds so far."""
        if self._v1:
            return int((self._path / "cpuacct.usage").read_text()) / 1e9
        for line in (self._path / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec"):
                return int(line.split()[1]) / 1e6
        raise RuntimeError("cpu.stat has no usage_usec")

    def pids(self) -> list[int]:
        """Return who is in it."""
        return [int(line) for line in (self._path / "cgroup.procs").read_text().split()]

    def largest_mb(self) -> float:
        """Return the most memory that its largest process of now ever had."""
        found = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        found = max(found, int(line.split()[1]) / 1024)
        return found

    def end_all(self) -> None:
        """Kill whoever is in it."""
        deadline = time.monotonic() + 20
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.02)

    def remove(self) -> None:
        """Kill whoever is in it and take it away."""
        self.end_all()
        self._path.rmdir()


def enter_own_network() -> None:
    """Move this process into a network namespace of its own, with nothing but loopback."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace cannot be made; run as root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Running servers.

    Attributes:
        folder: Keys, ``known_hosts``.
        hosts: Their addresses; all listen on port 22.
        group: Counts their CPU.

    """

    folder: Path
    hosts: tuple[str, ...]
    group: CpuGroup

    @property
    def identity_file(self) -> Path:
        """Return the private key that they let in."""
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        """Return the file that pins their key."""
        return self.folder / "known_hosts"

    def settle(self, sessions: int = 0) -> None:
        """Wait until the servers have noticed that connections ended."""
        deadline = time.monotonic() + 30
        while len(self.group.pids()) > len(self.hosts) + sessions and time.monotonic() < deadline:
            time.sleep(0.05)


def addresses(count: int) -> tuple[str, ...]:
    """Return loopback addresses, 127.0.1.1 and on."""
    return tuple(f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(count))


@contextmanager
def servers(folder: Path, count: int) -> Iterator[Fleet]:
    """Run ``count`` servers until the block ends; curve25519 is the only key exchange they offer."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")
    if sshd is None:
        raise RuntimeError("sshd is not installed; run: make set-up-system")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "sshd_config").write_text(_CONFIG.format(folder=folder, kex=CURVE25519))
    hosts = addresses(count)
    public = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text("".join(f"{host} {public}\n" for host in hosts))
    group = CpuGroup("fleet-servers")
    try:
        for host in hosts:
            command = [sshd, "-D", "-f", str(folder / "sshd_config"), "-o", f"ListenAddress={host}"]
            subprocess.Popen(group.wrap(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for host in hosts:
            _wait_for(host)
        fleet = Fleet(folder, hosts, group)
        fleet.settle()
        yield fleet
    finally:
        group.remove()


def _wait_for(host: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((host, 22), timeout=5) as sock:
                sock.recv(4)
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
