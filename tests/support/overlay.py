"""A whole private machine: an overlay of this one's files, or another root's, own namespaces, a real OpenSSH server.

Needs root. Nothing that is done inside reaches the real machine: files go to an upper layer in memory,
processes, mounts, host name and network are the machine's own, ``/proc/sys`` is read-only but for the
network part, which belongs to its network namespace. The base is the same on every host: accounts,
sudoers, the SSH server's settings and a few files are written anew at every start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.target import Become, Target, TransportKind
from tests.support.sshd import make_key, public_key

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHON: Final = str(Path(sys.executable).resolve())
"""Without the virtual environment, which may lie where a machine has a folder of its own, as in /tmp."""

LOGIN_RECORDS: Final = frozenset({"/var/log/lastlog", "/var/log/wtmp", "/var/log/btmp", "/run/utmp"})
"""What the SSH server itself writes at each login."""

CLERK_PASSWORD: Final = "correct horse"
"""Login and sudo password of the user ``clerk``."""

_CLERK_HASH: Final = (
    "$6$clerksalt$XU7xw3Shco3xCv8kczPZoDQxPDyZ6O7TZIeTbexbvXO/F3O5g9FKKCtHyo4Apmgdv1GVpe3akU.VM88ms8RpY."
)

# Runs in the new namespaces and stays as their first process; "$1" is the work folder, "$2" the root below the
# overlay, then follows the command that stays: Python that waits, or an init system.
_INIT: Final = r"""
set -e
umask 022
R=$1/root
mount -t tmpfs -o mode=0700 overlay-machine "$1"
mkdir -p "$1/upper/var" "$1/work" "$R"
mknod "$1/upper/tmp" c 0 0      # a whiteout: the machine's own temporary folders start empty
mknod "$1/upper/var/tmp" c 0 0
mount -t overlay -o lowerdir="$2",upperdir="$1/upper",workdir="$1/work" overlay "$R"
mount -t tmpfs -o mode=0755 dev "$R/dev"
mkdir "$R/dev/pts" "$R/dev/shm"
chmod 1777 "$R/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$R/dev/pts"
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 0666 "$R/dev/${node%:*}" c 1 "${node#*:}"; done
mknod -m 0666 "$R/dev/tty" c 5 0
ln -s pts/ptmx "$R/dev/ptmx"
ln -s /proc/self/fd "$R/dev/fd"
echo clinic-host >/proc/sys/kernel/hostname
mount -t proc proc "$R/proc"
mount --bind "$R/proc/sys" "$R/proc/sys"
mount --bind "$R/proc/sys/net" "$R/proc/sys/net"
mount -o remount,bind,ro "$R/proc/sys"
mount -t sysfs -o ro sysfs "$R/sys"
ip link set lo up 2>/dev/null || :
if [ "$3" = systemd ]; then
  mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
  mount -t tmpfs -o mode=0755 run "$R/run"
fi
chroot "$R" /bin/sh -e -s
echo ready
if [ "$3" = systemd ]; then
  exec setpriv --bounding-set="$4" --inh-caps="$4" \
    chroot "$R" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init --show-status=no </dev/null >/dev/null
fi
exec "$3" -I -S -c '
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans vanish by themselves
while True:
    signal.pause()
'
"""

_TAKEN: Final = "-sys_time,-sys_module,-sys_boot,-syslog,-audit_control,-mknod,-sys_rawio,-mac_admin,-sys_ptrace"
"""Capabilities that would reach the real machine: its clock, its modules, its log. An init system goes without."""

# What would speak to the real machine's devices, or wait for a console that is not there.
_MASKED: Final = (
    "console-getty.service getty@tty1.service systemd-logind.service systemd-modules-load.service"
    " systemd-random-seed.service systemd-remount-fs.service systemd-udev-trigger.service systemd-udevd.service"
    " systemd-udevd-control.socket systemd-udevd-kernel.socket"
)
_SYSTEMD_BASE: Final = f"""
for unit in {_MASKED}; do ln -sf /dev/null "/etc/systemd/system/$unit"; done
ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
"""

# The base, written inside. Passwords are hashes of CLERK_PASSWORD or none.
_BASE: Final = r"""
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
rm -rf /etc/ssh/sshd_config.d /etc/ssh/ssh_host_* /etc/sudoers.d /etc/motd /etc/sysctl.d /etc/sysctl.conf \
  /etc/profile.d /root/.bashrc /root/.profile
mkdir -p /run/sshd /run/lock /etc/sudoers.d /etc/sysctl.d /etc/profile.d /etc/ssh/authorized_keys.d /tmp /var/tmp
chmod 1777 /tmp /var/tmp
awk -F: '$3 < 1000 || $1 == "nobody"' /etc/passwd | grep -v '^root:' >/etc/passwd.new || :
{ echo 'root:x:0:0:root:/root:/bin/bash'; cat /etc/passwd.new
  echo 'operator:x:2001:2001::/home/operator:/bin/sh'
  echo 'clerk:x:2002:2002::/home/clerk:/bin/sh'
  echo 'guest:x:2003:2003::/home/guest:/bin/sh'; } >/etc/passwd
rm /etc/passwd.new
awk -F: '{ print $1 ":*:19700:0:99999:7:::" }' /etc/passwd | sed '/^clerk:/s|:\*:|:@CLERK_HASH@:|' >/etc/shadow
awk -F: '$3 < 1000 || $1 == "nogroup"' /etc/group >/etc/group.new || :
{ cat /etc/group.new; echo operator:x:2001:; echo clerk:x:2002:; echo guest:x:2003:; } >/etc/group
rm /etc/group.new
awk -F: '{ print $1 ":*::" }' /etc/group >/etc/gshadow
chown root:shadow /etc/shadow /etc/gshadow 2>/dev/null || :
chmod 0640 /etc/shadow /etc/gshadow
chmod 0644 /etc/passwd /etc/group
rm -f /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-
for u in operator clerk guest; do mkdir -p -m 0700 "/home/$u"; chown "$u:$u" "/home/$u"; done
cat >/etc/sudoers <<'EOF'
Defaults env_reset
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults use_pty
root ALL=(ALL:ALL) ALL
operator ALL=(ALL:ALL) NOPASSWD: ALL
clerk ALL=(ALL:ALL) ALL
EOF
chmod 0440 /etc/sudoers
cat >/etc/ssh/sshd_config <<'EOF'
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication yes
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
EOF
chmod 0644 /etc/ssh/sshd_config
echo 'Debian GNU/Linux \n \l' >/etc/issue
echo 'Debian GNU/Linux' >/etc/issue.net
chmod 0644 /etc/issue /etc/issue.net
echo clinic-host >/etc/hostname
printf '127.0.0.1 localhost clinic-host\n' >/etc/hosts
printf 'PASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\nUMASK 022\nENCRYPT_METHOD SHA512\n' >/etc/login.defs
for f in all default; do
  echo 0 >/proc/sys/net/ipv4/conf/$f/accept_redirects
  echo 0 >/proc/sys/net/ipv4/conf/$f/send_redirects
  echo 0 >/proc/sys/net/ipv4/conf/$f/accept_source_route
  echo 1 >/proc/sys/net/ipv4/conf/$f/rp_filter
done
echo 0 >/proc/sys/net/ipv4/ip_forward
cat >/etc/ssh/ssh_host_ed25519_key <<'EOF'
@HOST_KEY@EOF
chmod 0600 /etc/ssh/ssh_host_ed25519_key
echo '@HOST_PUBLIC@' >/etc/ssh/ssh_host_ed25519_key.pub
for u in root operator clerk guest; do echo '@USER_PUBLIC@' >"/etc/ssh/authorized_keys.d/$u"; done
: >/var/log/lastlog; : >/var/log/wtmp; : >/var/log/btmp; : >/run/utmp
"""


_BOOTED: Final = """
for i in $(seq 500); do
  case $(systemctl is-system-running 2>/dev/null) in running | degraded) exit 0 ;; esac
  sleep 0.1
done
exit 1
"""


@dataclass(slots=True)
class OverlayMachine:
    """A running machine.

    Attributes:
        host: Where its SSH server is reached.
        port: Where its SSH server is reached.
        identity_file: A private key that lets ``root``, ``operator`` (sudo without a password),
            ``clerk`` (sudo with ``CLERK_PASSWORD``) and ``guest`` (no sudo) in.
        known_hosts: A file that pins its host key.
        folder: Where its keys, log and work folder are.
        init_pid: The first process of its namespaces, as seen from here.
        cgroup: The control group of its init system, where it has one.

    """

    host: str
    port: int
    identity_file: Path
    known_hosts: Path
    folder: Path
    init_pid: int
    _unshare: subprocess.Popen[bytes]
    _listener: _Listener
    cgroup: Path | None = None
    _marked: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def target(self, **changes: object) -> Target:
        """Return a target that logs in as root; fields may be replaced."""
        fields: dict[str, object] = {
            "target_id": "clinic-host",
            "site_id": "site",
            "transport": TransportKind.SSH,
            "host": self.host,
            "port": self.port,
            "user": "root",
            "become": Become.NONE,
            "identity_file": str(self.identity_file),
        }
        return Target(**(fields | changes))  # type: ignore[arg-type] # replaced by name

    def run(self, command: str, *, stdin: str = "", check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside, as root."""
        return subprocess.run(
            [*_enter(self.init_pid, self.folder / "machine"), "/bin/sh", "-c", command],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=check,
        )

    def read(self, path: str) -> str:
        """Return a file's text."""
        return self.run(f"exec cat -- '{path}'", check=True).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, and its mode."""
        self.run(f"cat >'{path}' && chmod {mode:o} '{path}'", stdin=text, check=True)

    def mark(self) -> None:
        """Remember the machine's files as they are now, for ``changed_files``."""
        self._marked = self._upper_layer()

    def changed_files(self) -> set[str]:
        """Return every path that was written, made, removed or had its metadata changed since ``mark``.

        A file that was made and removed again still shows, by the folder that held it.
        """
        now = self._upper_layer()
        return {path for path in now.keys() | self._marked.keys() if now.get(path) != self._marked.get(path)}

    def connections(self) -> int:
        """Return how many SSH connections are being served."""
        return self._listener.serving()

    def stop(self) -> None:
        """End it and everything inside. May be called twice."""
        self._listener.stop()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init_pid, signal.SIGKILL)
        self._unshare.kill()
        self._unshare.wait(10)
        if self._unshare.stdout is not None:
            self._unshare.stdout.close()

    def _upper_layer(self) -> dict[str, tuple[object, ...]]:
        upper = f"/proc/{self.init_pid}/root{self.folder / 'machine'}/upper"
        found: dict[str, tuple[object, ...]] = {}
        for folder, folders, files in os.walk(upper):
            for name in (*folders, *files):
                path = os.path.join(folder, name)  # noqa: PTH118 -- Path is slow and this walks thousands
                found[path.removeprefix(upper)] = _state(path)
        return found


def _state(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    content: object = None
    if stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(Path(path).read_bytes()).digest()
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)  # noqa: PTH115 -- as above
    return status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns, content


@contextmanager
def overlay_machine(
    tmp_path: Path, *, lower: Path = Path("/"), systemd: bool = False, prepare: str = ""
) -> Iterator[OverlayMachine]:
    """Run a machine until the block ends.

    Args:
        tmp_path: A folder of the test's own; the machine makes its own below it.
        lower: The root file system under the overlay, which stays as it is.
        systemd: Boot it with the systemd of that root, without the capabilities that would reach this machine; else
            nothing runs but what a test starts.
        prepare: Shell that is run inside, as root, before anything is started.

    """
    if os.geteuid() != 0:
        message = "an overlay machine needs root"
        raise RuntimeError(message)
    folder = tmp_path / "machine-0"
    while folder.exists():
        folder = folder.with_name(f"machine-{int(folder.name.rpartition('-')[2]) + 1}")
    (folder / "machine").mkdir(parents=True)
    host_key, identity = make_key(folder / "host_key"), make_key(folder / "user_key")
    base = (
        _BASE.replace("@CLERK_HASH@", _CLERK_HASH)
        .replace("@HOST_KEY@", host_key.read_text())
        .replace("@HOST_PUBLIC@", public_key(host_key))
        .replace("@USER_PUBLIC@", public_key(identity))
    )
    cgroup = _make_cgroup(folder) if systemd else None
    unshare = _boot(folder, base + (_SYSTEMD_BASE if systemd else "") + prepare, lower, cgroup)
    listener: _Listener | None = None
    try:
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text()
        init_pid = int(children.split()[0])
        listener = _Listener([*_enter(init_pid, folder / "machine"), "/usr/sbin/sshd", "-i", "-e"], folder / "sshd.log")
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{listener.port} {public_key(host_key)}\n")
        machine = OverlayMachine("127.0.0.1", listener.port, identity, known_hosts, folder, init_pid, unshare, listener)
        machine.cgroup = cgroup
        if systemd:
            machine.run(_BOOTED, check=True)
        machine.mark()
        yield machine
        machine.stop()
    finally:
        if listener is not None:
            listener.stop()
        unshare.kill()
        unshare.wait(10)
        if unshare.stdout is not None:
            unshare.stdout.close()
        if cgroup is not None:
            _remove_cgroup(cgroup)


def _make_cgroup(folder: Path) -> Path:
    """Make a control group for an init system, below the only hierarchy that systemd uses by itself."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    if above is None:
        message = "there is no cgroup2 mounted, which an init system needs"
        raise RuntimeError(message)
    made = above / f"overlay-machine-{os.getpid()}-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    made.mkdir()
    return made


def _remove_cgroup(cgroup: Path) -> None:
    """Remove a control group with those below it, once the last process in them is gone."""
    for _ in range(200):
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if not cgroup.exists():
            return
        time.sleep(0.05)
    message = f"{cgroup} still holds processes"
    raise RuntimeError(message)


# Standard input and output are the socket; "$1" is the port inside.
_RELAY: Final = """
import socket, sys, threading
outside = socket.socket(fileno=0)
inside = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def copy(source, sink):
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
back = threading.Thread(target=copy, args=(inside, outside))
back.start()
copy(outside, inside)
back.join()
"""


@contextmanager
def serve_inside(machine: OverlayMachine, port: int) -> Iterator[OverlayMachine]:
    """Reach the SSH server that listens on a port inside; yields the machine with that address."""
    # Its network alone: this Python need not be there inside.
    nsenter = [shutil.which("nsenter") or "nsenter", f"--target={machine.init_pid}", "--net", "--"]
    command = [*nsenter, _PYTHON, "-I", "-S", "-c", _RELAY, str(port)]
    listener = _Listener(command, machine.folder / "relay.log")
    key = public_key(machine.folder / "host_key")
    known_hosts = machine.folder / f"known_hosts-{listener.port}"
    known_hosts.write_text(f"[127.0.0.1]:{listener.port} {key}\n")
    try:
        yield replace(machine, port=listener.port, known_hosts=known_hosts)
    finally:
        listener.stop()


def _boot(folder: Path, base: str, lower: Path, cgroup: Path | None) -> subprocess.Popen[bytes]:
    (folder / "base.sh").write_text(base)
    stays = [_PYTHON] if cgroup is None else ["systemd", _TAKEN]
    flags = ["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    if cgroup is not None:
        flags.insert(0, "--cgroup")
    work = folder / "machine"
    with (folder / "base.sh").open("rb") as script, (folder / "boot.log").open("wb") as log:
        unshare = subprocess.Popen(
            [*_within(cgroup), "unshare", *flags, "--", "/bin/sh", "-c", _INIT, "sh", str(work), str(lower), *stays],
            stdin=script,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert unshare.stdout is not None
    if unshare.stdout.readline() != b"ready\n":
        unshare.stdout.close()
        unshare.kill()
        unshare.wait(10)
        raise RuntimeError((folder / "boot.log").read_text(errors="replace"))
    return unshare


def _within(cgroup: Path | None) -> list[str]:
    """Return what starts a command in a control group."""
    if cgroup is None:
        return []
    return ["/bin/sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(cgroup)]


def _enter(init_pid: int, work: Path) -> list[str]:
    nsenter = shutil.which("nsenter") or "nsenter"
    return [
        nsenter,
        f"--target={init_pid}",
        "--mount",
        "--pid",
        "--uts",
        "--ipc",
        "--net",
        "--",
        "chroot",
        f"{work}/root",
    ]


class _Listener:
    """Accepts on loopback and gives each connection to a server process of its own, as inetd does."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self._served: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="overlay-listener", daemon=True)
        self._thread.start()

    def serving(self) -> int:
        with self._lock:
            self._served = [process for process in self._served if process.poll() is None]
            return len(self._served)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()
        with self._lock:
            for process in self._served:
                process.kill()
                process.wait(10)
            self._served = []

    def _accept(self) -> None:
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.serving()
            with connection, self._log.open("ab") as log:
                process = subprocess.Popen(
                    self._command, stdin=connection.fileno(), stdout=connection.fileno(), stderr=log, env=environment
                )
            with self._lock:
                self._served.append(process)
