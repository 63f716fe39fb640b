"""Root file systems of distributions, made by debootstrap and kept between runs, outside this source tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("DISTROS_CACHE", "/var/cache/compliance-agent-distros"))
_TIMEOUT_S: Final = 1_800
_LAST_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class Distribution:
    """What debootstrap is told.

    Attributes:
        name: Folder in the cache, and the test's id.
        suite: Code name.
        mirror: Where from; empty for debootstrap's own choice.
        keyring: File that must vouch for the mirror; empty for debootstrap's own choice.
        script: A suite whose script serves, where this debootstrap does not know the suite.
        components: Parts of the archive.
        include: Packages beside the smallest system.

    """

    name: str
    suite: str
    mirror: str
    keyring: str
    script: str
    components: str
    include: tuple[str, ...]

    @property
    def root(self) -> Path:
        """Return where the root lies, named after all that it is made of."""
        return CACHE / f"{self.name}-{hashlib.sha256(repr(self).encode()).hexdigest()[:12]}"


_INCLUDE: Final = (
    "aide apparmor auditd cron dbus iproute2 kmod libpam-modules logrotate lsof nftables openssh-server procps python3"
    " rsyslog sudo systemd-sysv systemd-timesyncd ufw"
)
DEBIAN_12: Final = Distribution(
    "debian-12", "bookworm", "", "/usr/share/keyrings/debian-archive-keyring.gpg", "", "main", tuple(_INCLUDE.split())
)
UBUNTU_24_04: Final = Distribution(
    "ubuntu-24.04",
    "noble",
    os.environ.get("UBUNTU_MIRROR", ""),
    os.environ.get("UBUNTU_KEYRING", ""),
    "gutsy",
    "main,universe",
    tuple(_INCLUDE.split()),
)


class NoRootError(Exception):
    """This root cannot be made here; the message says why."""


def root_of(distribution: Distribution) -> Path:
    """Return the root, made now where it is not in the cache; one process makes it while others wait.

    Raises:
        NoRootError: It cannot be made here.

    """
    if not Path(distribution.keyring).is_file():
        raise NoRootError(f"{distribution.name}: there is no {distribution.keyring} to verify its packages by")
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not distribution.root.is_dir():
            _make(distribution)
    return distribution.root


def _make(distribution: Distribution) -> None:
    """Make a root beside its place and move it there when it is whole."""
    unfinished = distribution.root.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(distribution.include)}"]
    command += [f"--components={distribution.components}", f"--keyring={distribution.keyring}", "--force-check-gpg"]
    command += [distribution.suite, str(unfinished), distribution.mirror]
    if distribution.script and not Path(f"/usr/share/debootstrap/scripts/{distribution.suite}").exists():
        command += [f"/usr/share/debootstrap/scripts/{distribution.script}"]
    log = CACHE / f"{distribution.name}.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [part for part in command if part], stdout=output, stderr=output, timeout=_TIMEOUT_S, check=False
        )
    if done.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
        shutil.rmtree(unfinished, ignore_errors=True)
        raise NoRootError(f"{distribution.name}: debootstrap failed, see {log}:\n{last}")
    for archive in (unfinished / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    unfinished.rename(distribution.root)
