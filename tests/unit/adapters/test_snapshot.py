"""The snapshot, and what happens when the state file is damaged or gone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from compliance_agent.adapters.store import AlertState, SqliteStore, open_read_only
from compliance_agent.adapters.store.snapshot import DAMAGED_KEPT_MAX, damaged_files, snapshot_path, take_snapshot
from compliance_agent.domain.outcome import FinishedAttempt, OutcomeKind
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.errors import StoreError
from tests.support.state import an_attempt, an_end, an_entry, an_outcome, at

HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.sqlite"


def lived(path: Path, *, snapshot: bool = True) -> None:
    """One attempt, a snapshot after it, and an attempt that the snapshot does not have."""
    with SqliteStore(path, turns_at=at(0)) as store:
        heal(store, "attempt-1")
        if snapshot:
            assert store.snapshot(at(10), interval=HOUR)
        heal(store, "attempt-2")


def heal(store: SqliteStore, name: str) -> None:
    attempt = an_attempt(name, check_id=name)
    store.begin(attempt)
    store.finish(TurnEnd(an_end(attempt, OutcomeKind.FAILED), attachments=Attachments([an_entry(int(name[-1]))])))


def damage(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[4_096:40_960] = b"\xa5" * 36_864
    path.write_bytes(content)
    return bytes(content)


def attempts(path: Path) -> list[str]:
    with open_read_only(path) as store:
        return [f"attempt-{n}" for n in (1, 2) if isinstance(store.attempt(f"attempt-{n}"), FinishedAttempt)]


# --- taking one


def test_a_snapshot_is_whole_private_and_leaves_nothing_else_behind(path) -> None:
    lived(path)
    assert attempts(snapshot_path(path)) == ["attempt-1"]
    assert stat.S_IMODE(snapshot_path(path).stat().st_mode) == 0o600
    assert {one.name for one in path.parent.iterdir()} == {
        "state.sqlite",
        "state.sqlite.lock",
        "state.sqlite.snapshot",
    }


@pytest.mark.parametrize(("seconds", "due"), [(3_599, False), (3_600, True), (-3_599, False), (-3_600, True)], ids=str)
def test_a_snapshot_is_due_after_its_interval_or_when_a_clock_jumped(path, seconds, due) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        assert store.snapshot(at(0), interval=HOUR)
        assert store.snapshot(at(seconds), interval=HOUR) is due


def put(store: SqliteStore, kind: str, document: str = "{}") -> None:
    with store._database.writing() as connection:
        connection.execute("INSERT OR REPLACE INTO gate_record VALUES (?, 'key', ?)", (kind, document))


@pytest.mark.parametrize(("kind", "due"), [("pause", True), ("waiver", True), ("approval", True), ("request", False)])
def test_a_snapshot_is_due_at_once_when_a_person_has_decided_something(path, kind, due) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        store.snapshot(at(0), interval=HOUR)
        put(store, kind)
        assert store.snapshot(at(1), interval=HOUR) is due
        assert store.snapshot(at(2), interval=HOUR) is False


def test_a_snapshot_is_due_at_once_when_a_person_has_taken_something_back(path) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        put(store, "pause")
        store.snapshot(at(0), interval=HOUR)
        with store._database.writing() as connection:
            connection.execute("DELETE FROM gate_record")
        assert store.snapshot(at(1), interval=HOUR) is True


@pytest.mark.parametrize(("seconds", "due"), [(299, False), (300, True), (-299, False), (-300, True)])
def test_a_changed_suppression_is_in_a_snapshot_within_minutes(path, seconds, due) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        store.snapshot(at(0), interval=HOUR)
        put(store, "flap", '{"score": 1000}')
        assert store.snapshot(at(seconds), interval=HOUR) is due


def test_what_a_person_decided_a_moment_before_the_damage_holds_after_it(path) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        store.snapshot(at(0), interval=HOUR)
        put(store, "pause", '{"reason": "the server moves"}')
        store.snapshot(at(2), interval=HOUR)
    damage(path)
    with SqliteStore(path, turns_at=at(100)) as store:
        held = store._database.rows("SELECT kind, document FROM gate_record")
    assert [tuple(row) for row in held] == [("pause", '{"reason": "the server moves"}')]


def test_a_snapshot_that_cannot_be_read_is_taken_again(path) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        store.snapshot(at(0), interval=HOUR)
        snapshot_path(path).write_bytes(b"no database at all" * 1_000)
        os.utime(snapshot_path(path), (at(0).timestamp(), at(0).timestamp()))
        assert store.snapshot(at(1), interval=HOUR) is True


def test_a_snapshot_is_taken_while_others_write(path) -> None:
    with SqliteStore(path, turns_at=at(0)) as store, SqliteStore(path) as other:
        other.begin(an_attempt())
        assert store.snapshot(at(0), interval=HOUR)
        other.finish(TurnEnd(an_end(an_attempt())))


def test_a_snapshot_of_a_damaged_file_is_not_taken_and_the_old_one_stays(path) -> None:
    lived(path)
    before = snapshot_path(path).read_bytes()
    damage(path)
    with pytest.raises(StoreError):
        take_snapshot(path, now=at(9_000))
    assert snapshot_path(path).read_bytes() == before
    assert not Path(f"{snapshot_path(path)}.new").exists()


def test_without_room_no_snapshot_is_taken_and_the_old_one_stays(path, monkeypatch) -> None:
    lived(path)
    before = snapshot_path(path).read_bytes()
    usage = shutil.disk_usage(path.parent)
    with SqliteStore(path, turns_at=at(9_000)) as store:
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=1_000_000))
        with pytest.raises(StoreError, match="no room"):
            store.snapshot(at(9_000), interval=HOUR)
    assert snapshot_path(path).read_bytes() == before


# --- going on from one


def test_a_damaged_file_is_set_aside_and_the_agent_goes_on_from_the_snapshot(path) -> None:
    lived(path)
    content = damage(path)
    with SqliteStore(path, turns_at=at(100)) as store:
        restored = store.restored
        assert restored is not None
        assert restored.snapshot_at == at(10)
        assert "damaged" in restored.reason
        assert store.restorations() == [restored]
    assert attempts(path) == ["attempt-1"]
    assert (path.parent / restored.kept_as).read_bytes() == content


def test_what_was_lost_is_said(path) -> None:
    lived(path)
    damage(path)
    with SqliteStore(path, turns_at=at(100)) as store:
        (told,) = store.alerts(AlertState.PENDING)
        assert store.restored is not None
        for said in (told.alert.summary, store.restored.summary):
            assert "snapshot of 2026-01-15 12:00:10 UTC" in said
            assert "after it are lost" in said
            assert "state.sqlite.damaged-20260115T120140Z" in said


def test_the_outbox_of_the_snapshot_is_sent_again_under_the_same_ids(path) -> None:
    lived(path)
    damage(path)
    with SqliteStore(path, turns_at=at(100)) as store:
        due = store.due_entries(at(100), rows_max=9, bytes_max=999)
    assert [row.entry for row in due] == [an_entry(1)]


def test_without_a_snapshot_the_agent_begins_anew_and_says_so(path) -> None:
    lived(path, snapshot=False)
    damage(path)
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.restored is not None
        assert store.restored.snapshot_at is None
        assert "there was no snapshot" in store.restored.summary
        assert store.counts().attempts == 0
    assert len(damaged_files(path)) == 1


def test_a_damaged_snapshot_is_set_aside_too(path) -> None:
    lived(path)
    damage(path)
    snapshot_path(path).write_bytes(b"no database at all" * 1_000)
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.restored is not None
        assert store.restored.snapshot_at is None
    assert len(damaged_files(path)) == 2


def test_a_file_that_is_gone_is_restored(path) -> None:
    lived(path)
    path.unlink()
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.restored is not None
        assert store.restored.reason == "the state file was gone"
    assert attempts(path) == ["attempt-1"]


def test_a_file_that_lost_all_its_content_is_restored(path) -> None:
    lived(path)
    os.truncate(path, 0)
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.restored is not None
        assert "empty" in store.restored.reason
    assert attempts(path) == ["attempt-1"]


def test_the_first_start_restores_nothing(path) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        assert store.restored is None
        assert store.restorations() == []


@pytest.mark.parametrize("leads_somewhere", [True, False])
def test_a_state_file_that_is_a_link_is_refused_and_stays(path, tmp_path, leads_somewhere) -> None:
    lived(path)
    elsewhere = tmp_path / "elsewhere.sqlite"
    path.rename(elsewhere)
    path.symlink_to(elsewhere if leads_somewhere else tmp_path / "a disk that is not mounted")
    for start in (lambda: SqliteStore(path, turns_at=at(100)), lambda: SqliteStore(path), lambda: open_read_only(path)):
        with pytest.raises(StoreError, match="is a symbolic link") as caught:
            start()
        assert "state_dir" in caught.value.hint
    assert path.is_symlink()
    assert damaged_files(path) == []


def test_a_folder_that_is_a_link_is_as_good_as_any(path, tmp_path) -> None:
    lived(path)
    (tmp_path / "link").symlink_to(path.parent)
    assert attempts(tmp_path / "link" / path.name) == ["attempt-1", "attempt-2"]


def test_a_whole_file_is_left_alone(path) -> None:
    lived(path)
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.restored is None
    assert attempts(path) == ["attempt-1", "attempt-2"]
    assert damaged_files(path) == []


def test_a_journal_of_the_damaged_file_is_not_replayed_into_the_restored_one(path) -> None:
    lived(path)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO dropped VALUES ('of the old life', 1)")
    connection.commit()
    journal = Path(f"{path}-wal").read_bytes()
    connection.close()
    damage(path)
    Path(f"{path}-wal").write_bytes(journal)
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.counts().dropped == {}
        assert store.restored is not None
        assert Path(f"{path.parent / store.restored.kept_as}-wal").read_bytes() == journal


def test_a_start_that_died_after_setting_the_file_aside_is_gone_on_with(path) -> None:
    lived(path)
    damage(path)
    path.rename(f"{path}.damaged-20260115T120000Z-00")
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.restored is not None
        assert store.restored.kept_as == "state.sqlite.damaged-20260115T120000Z-00"
    assert attempts(path) == ["attempt-1"]


def test_an_index_that_disagrees_with_its_table_is_damage(path) -> None:
    lived(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'outcome_age')"
        " WHERE name = 'outcome_last'"
    )
    connection.commit()
    connection.close()
    with SqliteStore(path, turns_at=at(100)) as store:
        assert store.restored is not None


@pytest.mark.parametrize("statement", ["PRAGMA user_version = 99", "PRAGMA application_id = 7"])
def test_a_file_that_is_not_ours_to_judge_is_refused_and_not_set_aside(path, statement) -> None:
    lived(path)
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"newer version|other program"):
        SqliteStore(path, turns_at=at(100))
    assert damaged_files(path) == []


def test_who_does_not_run_turns_sets_nothing_aside(path) -> None:
    lived(path)
    content = damage(path)
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)
    assert "next start of run or apply" in caught.value.hint
    assert path.read_bytes() == content


def test_while_another_process_runs_turns_nothing_is_set_aside(path) -> None:
    with SqliteStore(path, turns_at=at(0)) as store:
        store.finish(TurnEnd(an_outcome()))
        with pytest.raises(StoreError, match="another compliance-agent"):
            SqliteStore(path, turns_at=at(1))


def test_a_start_that_is_refused_lets_the_turns_go(path) -> None:
    lived(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        SqliteStore(path, turns_at=at(100))
    path.unlink()
    SqliteStore(path, turns_at=at(101)).close()


def test_of_many_damaged_files_the_newest_are_kept(path) -> None:
    lived(path)
    for number in range(DAMAGED_KEPT_MAX + 2):
        damage(path)
        SqliteStore(path, turns_at=at(100 + number)).close()
    assert len(damaged_files(path)) == DAMAGED_KEPT_MAX
    with open_read_only(path) as store:
        assert store.restorations()[-1].kept_as == damaged_files(path)[0].name


def test_two_damages_in_one_second_are_kept_apart(path) -> None:
    lived(path)
    for _ in range(2):
        damage(path)
        SqliteStore(path, turns_at=at(100)).close()
    assert len(damaged_files(path)) == 2
