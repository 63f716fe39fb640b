"""The state file itself: opening it, its modes, its transactions, and its errors in words for people."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.ownership import give_to_owner_of_folder
from compliance_agent.adapters.store.migrations import MIGRATIONS
from compliance_agent.adapters.store.schema import migrate, schema_version
from compliance_agent.errors import DamagedStoreError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BUSY_TIMEOUT_S: Final = 10.0
_OPEN_TRIES: Final = 5
_JOURNAL_MAX_BYTES: Final = 8_388_608
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

DAMAGE_HINT: Final = "the next start of run or apply sets it aside, keeps it, and goes on from the last snapshot"
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_HINTS: Final = {
    "SQLITE_BUSY": "another process holds the state file; it is tried again",
    "SQLITE_LOCKED": "another process holds the state file; it is tried again",
    "SQLITE_FULL": "the disk is full: free some space",
    "SQLITE_READONLY": "the state file or its folder cannot be written: check owner, mode and mount",
    "SQLITE_CANTOPEN": "check the folder (that it exists; owner, mode, mount), and that the file may be read",
    "SQLITE_PERM": "check owner and mode of the state file",
    "SQLITE_IOERR": "the disk reports an error: see the kernel's log",
    "SQLITE_CORRUPT": DAMAGE_HINT,
    "SQLITE_NOTADB": DAMAGE_HINT,
}


class Database:
    """One SQLite connection, shared by all threads under one lock.

    One connection and not one per thread: SQLite has a single writer anyway, every write waits for
    the disk (``synchronous=FULL``), reads take microseconds, and threads come and go with targets
    without leaving descriptors behind.
    """

    def __init__(self, connection: sqlite3.Connection, *, name: str) -> None:
        """Take over an open connection; ``name`` stands in messages."""
        connection.row_factory = sqlite3.Row
        self.name = name
        self._connection = connection
        self._lock = threading.RLock()

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return all rows of one query.

        Raises:
            StoreError: It cannot be read.

        """
        with self._lock, errors_in_words(self.name):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let several queries see one and the same state."""
        with self._lock, errors_in_words(self.name):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run one write transaction: durable when the block ends, undone when it raises.

        Raises:
            StoreError: It cannot be written; nothing of the block was kept.

        """
        with self._lock, errors_in_words(self.name):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def give_back_space(self) -> None:
        """Return freed pages to the file system."""
        with self._lock, errors_in_words(self.name):
            # A script, since execute() stops after the first page.
            self._connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(PASSIVE);")

    def close(self) -> None:
        """Close the connection. May be called twice."""
        with self._lock:
            self._connection.close()


@contextmanager
def errors_in_words(name: str) -> Iterator[None]:
    """Turn SQLite's errors into ``StoreError`` with a hint."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        family = "_".join(code.split("_")[:2])
        kind = DamagedStoreError if is_damage(error) else StoreError
        raise kind(
            f"state file {name}: {error}",
            hint=_HINTS.get(family, ""),
            retryable=family in {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR"},
        ) from error
    except OSError as error:
        raise StoreError(
            f"state file {name}: {error.strerror or error}", hint="check owner, mode and mount of its folder"
        ) from error


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the file's content is broken, and not that it cannot be reached."""
    return str(getattr(error, "sqlite_errorname", "") or "").startswith(_DAMAGE)


def refuse_link(path: Path) -> None:
    """Refuse a state file that is a symbolic link: its journal would lie beside the real file, and a replacement here.

    Raises:
        StoreError: It is one, whether or not it leads anywhere.

    """
    if path.is_symlink():
        raise StoreError(
            f"state file {path} is a symbolic link",
            hint="move the file here, or name its real folder as state_dir (the folder itself may be a link)",
        )


def open_writable(path: Path) -> Database:
    """Open the state file, make it if there is none, bring its schema up to date and check it.

    Raises:
        StoreError: It cannot be opened, is damaged, or is of a newer version.

    """
    name = str(path)
    with errors_in_words(name):
        refuse_link(path)
        _make_private(path)
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            _check(connection, name)
            _prepare(connection, name)
        except BaseException:
            connection.close()
            raise
    return Database(connection, name=name)


def open_memory(name: str = "in memory") -> Database:
    """Return an empty database that lives in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    migrate(connection, name=name)
    return Database(connection, name=name)


def open_unchanged(path: Path) -> Database:
    """Open the state file so that nothing in its folder is made, changed or held.

    Without a file the database is an empty one in memory; a file of an older schema is copied to
    memory and migrated there.

    Raises:
        StoreError: It cannot be opened, is damaged, or is of a newer version.

    """
    name = str(path)
    with errors_in_words(name):
        refuse_link(path)
        for _ in range(_OPEN_TRIES - 1):
            try:
                return _open_unchanged_once(path, name)
            except sqlite3.OperationalError:
                continue  # a writer that closes takes -wal and -shm away between our look and our opening
        return _open_unchanged_once(path, name)


def _open_unchanged_once(path: Path, name: str) -> Database:
    if not path.exists():
        return open_memory(name)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{_how_to_read(path)}",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        version = schema_version(connection, name=name)
        if version == len(MIGRATIONS):
            return Database(connection, name=name)
    except BaseException:
        connection.close()
        raise
    return _migrated_copy(connection, name)


def _migrated_copy(connection: sqlite3.Connection, name: str) -> Database:
    """Copy an older file to memory, close it, and bring the copy up to date."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        connection.backup(copy)
        migrate(copy, name=name)
    except BaseException:
        copy.close()
        raise
    finally:
        connection.close()
    return Database(copy, name=name)


def _how_to_read(path: Path) -> str:
    """Return the URI parameters that leave the folder alone.

    With ``-shm`` a process may be writing, or one was killed: ``readonly_shm`` reads the journal
    through it, or rebuilds its index in our own memory. Without ``-shm`` and ``-wal`` nobody has the
    file open and it is whole by itself; plain ``mode=ro`` would make both files.
    """
    wal, shared = Path(f"{path}-wal"), Path(f"{path}-shm")
    if shared.exists():
        return "mode=ro&readonly_shm=1"
    if wal.exists() and wal.stat().st_size > 0:
        raise StoreError(
            f"state file {path}: its journal {wal.name} is there but {shared.name} is not, "
            "so it cannot be read without changing it",
            hint="run a command that writes (apply or run) once; it recovers the file",
        )
    return "mode=ro&immutable=1"


def _make_private(path: Path) -> None:
    """Make folder and file for the owner alone; SQLite gives the file's mode to its journal, too.

    The file is opened here only when it is new: closing a descriptor of a file that is in use
    would drop the locks that SQLite holds on it in this process.
    """
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
        try:
            give_to_owner_of_folder(descriptor, path.parent)  # SQLite gives its journal the same owner
        finally:
            os.close(descriptor)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(FILE_MODE)


def _check(connection: sqlite3.Connection, name: str) -> None:
    schema_version(connection, name=name)
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise DamagedStoreError(f"state file {name} is damaged: {found}", hint=_HINTS["SQLITE_CORRUPT"])


def _prepare(connection: sqlite3.Connection, name: str) -> None:
    if schema_version(connection, name=name) == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only possible before the first table
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"state file {name}: the file system does not support a write-ahead log",
            hint="put the state file on a local disk",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_MAX_BYTES}")
    migrate(connection, name=name)


class TurnLock:
    """Lets one process at a time run turns on a state file. The kernel drops it when the process dies.

    It is a file beside the state file (``flock``), since SQLite's own locks are the wrong kind: they
    last for a transaction and would be lost with any descriptor of the file that we close.
    """

    def __init__(self, state_path: Path) -> None:
        """Name the state file; nothing is touched yet."""
        self._path = Path(f"{state_path}.lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock, or keep it.

        Raises:
            StoreError: Another process has it.

        """
        if self._descriptor is not None:
            return
        with errors_in_words(str(self._path)):
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
            give_to_owner_of_folder(descriptor, self._path.parent)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(descriptor)
                raise StoreError(
                    f"another compliance-agent (process {holder}) is working with this state file",
                    hint="stop it, or wait until it is done",
                    retryable=True,
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            self._descriptor = descriptor

    def release(self) -> None:
        """Let it go. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
