"""The targets that ``targets add`` keeps: durable, private, one writer at a time."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.target_files import (
    add_managed_target,
    managed_targets_path,
    read_managed_targets,
    remove_managed_target,
)
from compliance_agent.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def entry(target_id: str = "web-1", **more: Any) -> dict[str, Any]:
    return {"id": target_id, "host": "192.0.2.1", "user": "admin", "identity_file": "/run/key", **more}


def test_without_a_file_there_are_no_targets(tmp_path: Path) -> None:
    assert read_managed_targets(tmp_path) == ()


def test_an_added_target_is_read_back_whole(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "tags": ["yes", "0644", "é"],
        "parameters": {"LIN-A-001": {"y": 5, "text": "22:10"}},
        "mode": "observe",
    }
    added = add_managed_target(tmp_path, entry(**odd))
    assert read_managed_targets(tmp_path) == (added,)
    assert added.tags == ("yes", "0644", "é")
    assert added.parameters == {"LIN-A-001": {"y": 5, "text": "22:10"}}


def test_a_relative_path_is_relative_to_the_state_folder(tmp_path: Path) -> None:
    added = add_managed_target(tmp_path, entry(identity_file="keys/web"))
    assert added.identity_file == f"{tmp_path}/keys/web"


def test_the_file_and_a_fresh_state_folder_are_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    add_managed_target(state, entry())
    assert stat.S_IMODE(managed_targets_path(state).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_nothing_but_the_file_and_the_lock_stays_behind(tmp_path: Path) -> None:
    add_managed_target(tmp_path, entry())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".targets.lock", "targets.yaml"]


def test_an_id_that_stands_already_is_refused(tmp_path: Path) -> None:
    add_managed_target(tmp_path, entry())
    with pytest.raises(InputError, match=r"a target web-1 stands already at .*targets\.yaml"):
        add_managed_target(tmp_path, entry())


def test_an_id_of_the_settings_file_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"stands already at s\.yaml:7"):
        add_managed_target(tmp_path, entry(), taken={"web-1": "s.yaml:7"})
    assert not managed_targets_path(tmp_path).exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"host": ""}, "needs host"),
        ({"port": 0}, "got 0, need 1 or more"),
        ({"password": "hunter2"}, "name a file: password_file"),
        ({"id": "a b"}, "need text that matches"),
        ({"platform": "windows", "transport": "ssh"}, "winrm and platform: windows go together"),
    ],
)
def test_a_malformed_entry_is_refused_and_changes_nothing(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        add_managed_target(tmp_path, {**entry(), **more})
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert read_managed_targets(tmp_path) == ()


def test_a_removed_target_is_gone_and_the_others_stay(tmp_path: Path) -> None:
    add_managed_target(tmp_path, entry("a"))
    add_managed_target(tmp_path, entry("b"))
    assert remove_managed_target(tmp_path, "a")
    assert [one.id for one in read_managed_targets(tmp_path)] == ["b"]


def test_removing_what_is_not_there_says_so(tmp_path: Path) -> None:
    assert not remove_managed_target(tmp_path, "a")


def test_the_last_target_can_be_removed(tmp_path: Path) -> None:
    add_managed_target(tmp_path, entry())
    assert remove_managed_target(tmp_path, "web-1")
    assert read_managed_targets(tmp_path) == ()


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_managed_target(tmp_path, entry(f"t{number}")), range(24)))
    assert {one.id for one in read_managed_targets(tmp_path)} == {f"t{number}" for number in range(24)}


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_managed_target(tmp_path, entry("a"))
    before = managed_targets_path(tmp_path).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        add_managed_target(tmp_path, entry("b"))
    assert managed_targets_path(tmp_path).read_bytes() == before


def test_what_a_crash_left_half_written_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".targets.yaml.new").write_text("targets: [")
    add_managed_target(tmp_path, entry())
    assert [one.id for one in read_managed_targets(tmp_path)] == ["web-1"]


def test_a_file_edited_by_hand_is_judged_like_any_other(tmp_path: Path) -> None:
    managed_targets_path(tmp_path).write_text("targets:\n  - {id: a, hots: b}\n  - {id: a, transport: local}\n")
    with pytest.raises(InputError) as caught:
        read_managed_targets(tmp_path)
    assert "did you mean host?" in str(caught.value)
    assert "targets[1].id: the id a stands twice" in str(caught.value)


def test_a_broken_file_is_not_written_over(tmp_path: Path) -> None:
    managed_targets_path(tmp_path).write_text("targets: [\n")
    with pytest.raises(InputError, match="not YAML"):
        add_managed_target(tmp_path, entry())
    assert managed_targets_path(tmp_path).read_text() == "targets: [\n"


def test_a_state_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        add_managed_target(tmp_path / "file" / "state", entry())
