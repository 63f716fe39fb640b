"""The snapshot beside the state file, and what happens when the state file is damaged or gone.

Files, all beside ``state.sqlite``:

    state.sqlite.snapshot             the last good copy, written whole or not at all
    state.sqlite.damaged-<time>       a state file that was set aside (with its -wal and -shm), kept for support

Every step leaves the folder so that a start after a crash in between goes on with it: a replacement is
made whole under another name, holding the note of what happened, and only then takes the state file's place.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.ownership import give_to_owner_of_folder
from compliance_agent.adapters.store import alert_queue
from compliance_agent.adapters.store.codec import clean_text, optional_time_text, time_text
from compliance_agent.adapters.store.database import FILE_MODE, FOLDER_MODE, errors_in_words, is_damage, refuse_link
from compliance_agent.adapters.store.rows import Restoration
from compliance_agent.adapters.store.schema import migrate, schema_version
from compliance_agent.adapters.store.writes import insert
from compliance_agent.domain.outcome import Alert, OutcomeKind
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SNAPSHOT_SUFFIX: Final = ".snapshot"
DAMAGED_MARK: Final = ".damaged-"
DAMAGED_KEPT_MAX: Final = 3
"""State files set aside that are kept, newest first."""
RESTORATIONS_KEPT_MAX: Final = 50
FLAPS_REST: Final = timedelta(minutes=5)
"""Least time between two snapshots that are taken only because flaps have changed: a snapshot copies the whole file."""

HELD: Final = (
    "SELECT kind, key, document FROM gate_record WHERE kind IN ('approval', 'choice', 'flap', 'pause', 'waiver')"
)
"""What holds healing back, or lets it go on: what must least of all be forgotten."""
_ROOM_MIN_BYTES: Final = 16_777_216
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


def snapshot_path(path: Path) -> Path:
    """Return where the snapshot of a state file is, or would be."""
    return Path(f"{path}{SNAPSHOT_SUFFIX}")


def is_snapshot_due(path: Path, held: Iterable[Sequence[object]], *, now: datetime, interval: timedelta) -> bool:
    """Tell whether to take a snapshot now.

    Args:
        path: The state file.
        held: Its rows of ``HELD``.
        now: When, UTC.
        interval: Greatest age of a snapshot.

    Returns:
        Whether the snapshot is missing, older than ``interval`` or from a future that a wrong clock made, or lacks a
        decision of a person (a pause, a waiver, an approval, a choice; or has one that was taken back), or, at most
        once in ``FLAPS_REST``, a suppression as it is now.

    """
    try:
        age = now - _time_of(snapshot_path(path))
        kept = _held_in(snapshot_path(path))
    except (FileNotFoundError, sqlite3.Error):  # none, or one that cannot be read
        return True
    rests = -FLAPS_REST < age < FLAPS_REST
    changed = {tuple(row) for row in held} ^ kept
    return not -interval < age < interval or any(kind != "flap" or not rests for kind, *_ in changed)


def _held_in(path: Path) -> set[tuple[object, ...]]:
    path.stat()
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        return set(connection.execute(HELD))


def take_snapshot(path: Path, *, now: datetime) -> None:
    """Copy the state file to its snapshot: whole, checked, on the disk, and then in the old one's place at once.

    Reads through a connection of its own, so that writers go on meanwhile.

    Raises:
        StoreError: There is no room, the state file is damaged, or the disk fails; the old snapshot stays.

    """
    target, fresh = snapshot_path(path), Path(f"{path}{SNAPSHOT_SUFFIX}.new")
    with errors_in_words(str(target)):
        needed, free = path.stat().st_size + _ROOM_MIN_BYTES, shutil.disk_usage(path.parent).free
        if free < needed:
            raise StoreError(f"no room for a snapshot: {free >> 20} MiB are free", hint="free some space")
        _make_empty(fresh)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("VACUUM INTO ?", (str(fresh),))
            _refuse_damage(fresh)
            os.utime(fresh, (now.timestamp(), now.timestamp()))
            _flush(fresh)
            fresh.replace(target)
            _flush(path.parent)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


def mend(path: Path, *, now: datetime) -> Restoration | None:
    """See that the state file is whole before it is opened; set a damaged one aside and go on from the snapshot.

    To be called by the one process that holds the turns of this state file.

    Returns:
        What was done; ``None`` where nothing had to be.

    Raises:
        StoreError: The file is of a newer version or another program, or the disk fails: nothing was set aside.

    """
    with errors_in_words(str(path)):
        refuse_link(path)
        reason = _damage(path)
        if reason is not None and path.exists():
            _set_aside(path, now)
        elif reason is None and path.exists():
            return None
        _set_companions_aside(path, now)
        kept = damaged_files(path)
        if reason is None and not kept and not snapshot_path(path).exists():
            return None  # the very first start
        return _replace(path, reason or "the state file was gone", now=now)


def snapshot_time(path: Path) -> datetime | None:
    """Return when the snapshot of a state file was taken, or ``None`` where there is none."""
    try:
        return _time_of(snapshot_path(path))
    except FileNotFoundError:
        return None


def is_missing(path: Path) -> bool:
    """Tell whether the state file is gone or empty: a start makes one, from the snapshot where there is one."""
    return not path.exists() or path.stat().st_size == 0


def damaged_files(path: Path) -> list[Path]:
    """Return the state files that were set aside, newest first."""
    found = (one for one in path.parent.glob(f"{path.name}{DAMAGED_MARK}*") if not one.name.endswith(_COMPANIONS))
    return sorted(found, reverse=True)


def _damage(path: Path) -> str | None:
    """Return what is wrong with the state file, or ``None`` for a whole or missing one."""
    if not path.exists():
        return None
    if path.stat().st_size == 0 and snapshot_path(path).exists():
        return "the state file was empty"
    try:
        try:
            return _judge(path, "ro")
        except sqlite3.OperationalError:
            return _judge(path, "rw")  # a kill left a journal that only a writer can play back
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return _damaged(str(error))
        raise


def _judge(path: Path, mode: str) -> str | None:
    """Return what SQLite's own checks say; ``ro`` leaves a damaged file and its journal as they were found."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        schema_version(connection, name=str(path))
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok":
        return _damaged(found)
    return None if orphan is None else _damaged("rows without their owner")


def _damaged(what: str) -> str:
    return f"the state file was damaged ({_first_line(what)})"


def _first_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _set_aside(path: Path, now: datetime) -> None:
    """Give the damaged file another name. Its journal follows in a second step, which a crash may put off."""
    path.rename(_free_name(path, now))
    _flush(path.parent)


def _set_companions_aside(path: Path, now: datetime) -> None:
    """Move a journal out of the way: beside a restored file it would be replayed into it."""
    kept = damaged_files(path)
    base = kept[0] if kept else _free_name(path, now)
    for companion in _COMPANIONS:
        stale = Path(f"{path}{companion}")
        if stale.exists():
            stale.replace(f"{base}{companion}")
    _flush(path.parent)


def _free_name(path: Path, now: datetime) -> Path:
    stamp = f"{path}{DAMAGED_MARK}{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    number = 0
    while Path(name := f"{stamp}-{number:02}").exists():
        number += 1
    return Path(name)


def _replace(path: Path, reason: str, *, now: datetime) -> Restoration:
    """Make a state file from the snapshot, or an empty one, note in it what happened, and put it in place."""
    fresh = Path(f"{path}.restoring")
    snapshot_at = _copy_of_snapshot(path, fresh, now)
    if snapshot_at is None:
        _make_empty(fresh)
    try:
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            if snapshot_at is None:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            migrate(connection, name=str(fresh))
            restoration = Restoration(now, reason, _unexplained(connection, path), snapshot_at)
            connection.execute("BEGIN IMMEDIATE")
            _note(connection, restoration)
            connection.execute("COMMIT")
        _flush(fresh)
        fresh.replace(path)
        _flush(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
    _drop_oldest_damaged(path)
    return restoration


def _copy_of_snapshot(path: Path, fresh: Path, now: datetime) -> datetime | None:
    """Copy the snapshot and return its time; a snapshot that is damaged itself is set aside, too."""
    snapshot = snapshot_path(path)
    if not snapshot.exists():
        return None
    _make_empty(fresh)
    shutil.copyfile(snapshot, fresh)
    try:
        _refuse_damage(fresh)
    except StoreError:
        snapshot.rename(_free_name(path, now))
        return None
    return _time_of(snapshot)


def _refuse_damage(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            version = schema_version(connection, name=str(path))
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        version, found = 0, str(error)
    if found != "ok" or version == 0:
        raise StoreError(f"{path} is damaged: {_first_line(found)}")


def _unexplained(connection: sqlite3.Connection, path: Path) -> str:
    """Return the newest file set aside, unless an earlier start has noted it already."""
    newest = next((one.name for one in damaged_files(path)), "")
    known = connection.execute("SELECT 1 FROM restoration WHERE kept_as = ?", (newest,)).fetchone()
    return "" if known else newest


def _note(connection: sqlite3.Connection, restoration: Restoration) -> None:
    insert(
        connection,
        "restoration",
        {
            "at": time_text(restoration.at),
            "reason": clean_text(restoration.reason),
            "kept_as": restoration.kept_as,
            "snapshot_at": optional_time_text(restoration.snapshot_at),
        },
    )
    connection.execute(
        "DELETE FROM restoration WHERE restoration_id NOT IN"
        " (SELECT restoration_id FROM restoration ORDER BY restoration_id DESC LIMIT ?)",
        (RESTORATIONS_KEPT_MAX,),
    )
    alert = Alert(
        dedupe_key=f"state/restored/{time_text(restoration.at)}",
        kind=OutcomeKind.ALERTED,
        name="state restored",
        summary=clean_text(restoration.summary),
        document={
            "schema": "alert/v1",
            "kind": OutcomeKind.ALERTED.value,
            "name": "state restored",
            "reason": restoration.reason,
            "kept_as": restoration.kept_as,
            "snapshot_at": optional_time_text(restoration.snapshot_at),
        },
        raised_at=restoration.at,
    )
    alert_queue.enqueue(connection, alert, repeat=timedelta(0))


def _drop_oldest_damaged(path: Path) -> None:
    for old in damaged_files(path)[DAMAGED_KEPT_MAX:]:
        for name in (str(old), *(f"{old}{companion}" for companion in _COMPANIONS)):
            with suppress(OSError):
                Path(name).unlink(missing_ok=True)


def _make_empty(path: Path) -> None:
    """Make an empty file for its owner alone, whatever was there; a journal left by a crash would be played into it."""
    for name in (path, *(Path(f"{path}{companion}") for companion in _COMPANIONS)):
        name.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    try:
        give_to_owner_of_folder(descriptor, path.parent)
    finally:
        os.close(descriptor)


def _flush(path: Path) -> None:
    """Have a file, or what a folder says of its files, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _time_of(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def make_folder(path: Path) -> None:
    """Make the folder of the state file, for its owner alone, where there is none."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
