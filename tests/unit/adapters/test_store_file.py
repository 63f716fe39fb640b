"""The state file: its modes, its age, its damage, and what a look at it leaves behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from compliance_agent.adapters.store import Limits, SqliteStore, open_read_only
from compliance_agent.adapters.store.database import open_memory
from compliance_agent.adapters.store.migrations import MIGRATIONS
from compliance_agent.adapters.store.schema import APPLICATION_ID, migrate
from compliance_agent.domain.outcome import Attempt, OutcomeKind
from compliance_agent.domain.turn_end import NOTHING, Attachments, TurnEnd
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.errors import StoreError
from compliance_agent.testing import NOON
from tests.support.state import (
    EPOCH,
    FINGERPRINT,
    SITE,
    TARGET,
    an_attempt,
    an_end,
    an_entry,
    an_observation,
    an_outcome,
    at,
)

LIFE = """
import sys, time
from compliance_agent.adapters.store import SqliteStore
from tests.support.state import *
store = SqliteStore(sys.argv[1])
store.hold_turns()
store.record_scan(TARGET, [an_observation()], site_id=SITE, now=NOON)
store.begin(an_attempt())
print("begun", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "state.db"


def filled(path: Path) -> None:
    with SqliteStore(path) as store:
        store.record_scan(TARGET, [an_observation()], site_id=SITE, now=NOON)
        store.begin(an_attempt())
        store.finish(TurnEnd(an_end(an_attempt(), OutcomeKind.FAILED)))


def folder_state(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    files = {file.name: (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_mode) for file in folder.iterdir()}
    return {**files, ".": (b"", folder.stat().st_mtime_ns, folder.stat().st_mode)}


@pytest.fixture
def agent(path):
    """Another process that holds the file open with an attempt under way."""
    with subprocess.Popen([sys.executable, "-c", LIFE, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


# --- modes


def test_folder_and_file_are_for_their_owner_alone(path) -> None:
    before = os.umask(0)
    try:
        with SqliteStore(path) as store:
            store.begin(an_attempt())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_a_file_that_others_could_read_is_closed_to_them(path) -> None:
    filled(path)
    path.chmod(0o644)
    SqliteStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_promised_is_on_the_disk(path) -> None:
    with SqliteStore(path) as store:
        values = [
            store._database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert values == ["wal", 2, 1]


def test_a_store_may_be_closed_twice_and_then_refuses(path) -> None:
    store = SqliteStore(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.targets()


def test_a_life_of_many_openings_leaves_no_descriptor_and_no_thread(path) -> None:
    filled(path)
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())  # noqa: PTH208 - the descriptors themselves
    for _ in range(50):
        with SqliteStore(path) as store:
            store.hold_turns()
            store.targets()
        open_read_only(path).close()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before  # noqa: PTH208 - as above


# --- what cannot be opened


def refusal(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)
    return caught.value


def test_a_file_that_is_no_database_says_what_to_do(path) -> None:
    content = b"this is no database, not at all" * 200
    path.parent.mkdir()
    path.write_bytes(content)
    error = refusal(path)
    assert "sets it aside" in error.hint
    assert path.read_bytes() == content


def test_a_damaged_file_says_what_to_do(path) -> None:
    with SqliteStore(path) as store:
        for number in range(200):
            store.finish(TurnEnd(an_outcome(reason=f"reason {number}" * 20)))
    damaged = bytearray(path.read_bytes())
    damaged[8_192:40_960] = b"\xa5" * 32_768
    path.write_bytes(damaged)
    assert "sets it aside" in refusal(path).hint


def test_a_row_that_cannot_be_understood_is_told_and_not_guessed(path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE observation SET facts = 'no json'")
    connection.close()
    with SqliteStore(path) as store, pytest.raises(StoreError, match="cannot be understood"):
        store.latest_observations()


def test_a_file_of_a_newer_version_is_refused_and_not_touched(path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer version" in refusal(path).message
    with pytest.raises(StoreError, match="newer version"):
        open_read_only(path)


def test_a_database_of_another_program_is_refused(path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    assert "other program" in refusal(path).message


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file" / "state.db").hint


# --- migrations


def test_a_migration_keeps_what_is_there(monkeypatch) -> None:
    newer = (*MIGRATIONS, ("CREATE TABLE extra (a TEXT) STRICT", "INSERT INTO extra VALUES ('new')"))
    monkeypatch.setattr("compliance_agent.adapters.store.schema.MIGRATIONS", newer)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, name="x", migrations=MIGRATIONS)
    connection.execute("INSERT INTO dropped VALUES ('outcomes', 7)")
    migrate(connection, name="x", migrations=newer)
    assert connection.execute("SELECT number, a FROM dropped, extra").fetchone() == (7, "new")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
    connection.close()


def test_a_migration_that_fails_leaves_the_version_before_it() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    broken = ((*MIGRATIONS[0], "CREATE TABLE target (a)"),)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, name="x", migrations=broken)
    assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


def test_the_file_says_whose_it_is(path) -> None:
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


def test_two_processes_may_make_the_file_at_once(path) -> None:
    code = "import sys; from compliance_agent.adapters.store import SqliteStore; SqliteStore(sys.argv[1]).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]


def test_a_database_in_memory_has_the_newest_schema() -> None:
    database = open_memory()
    assert database.rows("PRAGMA user_version")[0][0] == len(MIGRATIONS)
    database.close()


# --- a process that dies, and one that lives


def test_what_began_before_a_kill_is_there_after_it(path, agent) -> None:
    kill(agent)
    with SqliteStore(path) as store:
        assert store.attempt("attempt-1") == an_attempt()
        assert [attempt.attempt_id for attempt in interrupt_unfinished(store, now=at(60))] == ["attempt-1"]


def test_while_one_process_runs_turns_another_may_not(path, agent) -> None:
    with SqliteStore(path) as store:
        with pytest.raises(StoreError, match=f"process {agent.pid}") as caught:
            store.hold_turns()
        assert caught.value.retryable
        kill(agent)
        store.hold_turns()
        store.hold_turns()


def test_two_processes_cannot_begin_for_the_same_incident(path, agent) -> None:
    with SqliteStore(path) as store, pytest.raises(StoreError, match="has not ended"):
        store.begin(an_attempt("attempt-2"))


def test_a_write_that_finds_the_file_held_too_long_may_be_retried(path, monkeypatch) -> None:
    monkeypatch.setattr("compliance_agent.adapters.store.database._BUSY_TIMEOUT_S", 0.01)
    with SqliteStore(path) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            store.begin(an_attempt())
        holder.execute("ROLLBACK")
        holder.close()
        assert caught.value.retryable
        store.begin(an_attempt())


def test_a_full_disk_is_told_and_loses_nothing_that_was_written(path) -> None:
    with SqliteStore(path) as store:
        store.begin(an_attempt())
        pages = store._database.rows("PRAGMA page_count")[0][0]
        store._database.rows(f"PRAGMA max_page_count = {pages}")
        large = [an_observation(check_id=f"check-{n}", facts={"text": "x" * 4_000}) for n in range(100)]
        with pytest.raises(StoreError, match="full") as caught:
            store.record_scan(TARGET, large, site_id=SITE, now=NOON)
        assert store.latest_observations() == []
        assert "free some space" in caught.value.hint
        assert isinstance(store.attempt("attempt-1"), Attempt)


# --- looking without touching


def test_a_look_where_nothing_is_makes_nothing(path) -> None:
    with open_read_only(path) as store:
        assert store.open_incidents() == []
        assert store.opened_at(FINGERPRINT) is None
    assert not path.parent.exists()


def seen(path: Path) -> tuple[int, int]:
    with open_read_only(path) as store:
        return (len(store.open_incidents()), store.counts().attempts)


def test_a_look_at_a_closed_file_changes_nothing(path) -> None:
    filled(path)
    before = folder_state(path.parent)
    assert set(before) == {"state.db", "."}
    assert seen(path) == (1, 1)
    assert folder_state(path.parent) == before


def test_a_look_at_a_file_in_use_sees_the_newest_and_changes_nothing(path, agent) -> None:
    before = folder_state(path.parent)
    assert "state.db-wal" in before
    assert seen(path) == (1, 1)
    assert folder_state(path.parent) == before


def test_a_look_after_a_kill_sees_all_that_was_written_and_changes_nothing(path, agent) -> None:
    kill(agent)
    before = folder_state(path.parent)
    assert seen(path) == (1, 1)
    assert folder_state(path.parent) == before


def test_a_look_after_a_kill_with_an_empty_journal_changes_nothing(path) -> None:
    filled(path)
    Path(f"{path}-wal").write_bytes(b"")
    before = folder_state(path.parent)
    assert seen(path) == (1, 1)
    assert folder_state(path.parent) == before


def test_a_journal_that_cannot_be_read_without_a_change_is_told(path, agent) -> None:
    kill(agent)
    Path(f"{path}-shm").unlink()
    before = folder_state(path.parent)
    with pytest.raises(StoreError, match="cannot be read without changing"):
        open_read_only(path)
    assert folder_state(path.parent) == before


def test_a_look_never_waits_for_or_stops_a_writer(path, agent) -> None:
    with SqliteStore(path) as writer, open_read_only(path) as reader:
        writer.finish(TurnEnd(an_end(an_attempt(), OutcomeKind.FAILED)))
        assert len(reader.history(FINGERPRINT, since=EPOCH)) == 1


def test_a_look_at_an_older_file_brings_a_copy_up_to_date(path, monkeypatch) -> None:
    filled(path)
    newer = (*MIGRATIONS, ("CREATE TABLE extra (a TEXT) STRICT",))
    monkeypatch.setattr("compliance_agent.adapters.store.schema.MIGRATIONS", newer)
    monkeypatch.setattr("compliance_agent.adapters.store.database.MIGRATIONS", newer)
    monkeypatch.setattr(migrate, "__kwdefaults__", {"migrations": newer})
    before = folder_state(path.parent)
    with open_read_only(path) as store:
        assert store._database.rows("SELECT count(*) FROM extra")[0][0] == 0
        assert len(store.open_incidents()) == 1
    assert folder_state(path.parent) == before


def test_a_damaged_file_is_told_to_those_who_only_look(path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, not at all" * 200)
    with pytest.raises(StoreError, match="not a database"):
        open_read_only(path)


def test_who_only_looks_cannot_write(path) -> None:
    with open_read_only(path) as store:
        for write in (
            lambda: store.begin(an_attempt()),
            lambda: store.finish(TurnEnd(an_outcome())),
            lambda: store.record_scan(TARGET, [], site_id=SITE, now=NOON),
            lambda: store.record_unreachable(TARGET, fault="refused", message="", now=NOON),
            lambda: store.attach(NOTHING),
        ):
            with pytest.raises(StoreError, match="reading only"):
                write()


# --- bounds


def test_beyond_its_size_the_oldest_outcomes_go_and_the_file_shrinks(path) -> None:
    with SqliteStore(path) as store:
        for number in range(300):
            store.finish(TurnEnd(an_outcome(reason=f"reason {number} " * 100, when=at(number))))
        before = store.counts().size_bytes
        dropped = store.prune(NOON, Limits(size_max_bytes=before // 2))
        assert 0 < dropped["outcomes"] < 300
        assert store.recent_outcomes(1)[0].outcome.at == at(299)
        assert store.counts().size_bytes <= before // 2 + 65_536


def test_what_waits_for_the_control_plane_displaces_no_history(path) -> None:
    with SqliteStore(path) as store:
        store.finish(TurnEnd(an_outcome()))
        size = store.counts().size_bytes
        store.attach(Attachments([an_entry(body=b"1" * 1_000_000)]))
        assert store.prune(NOON, Limits(size_max_bytes=size + 100_000)) == {}
