"""Files that cannot be read say why, and what to do."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters import input_files
from compliance_agent.adapters.input_files import read_input, unreadable
from compliance_agent.adapters.target_files import holds_managed_known_hosts
from compliance_agent.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "x"), "there is no such file"),
        (NotADirectoryError(20, "x"), "there is no such file"),
        (IsADirectoryError(21, "x"), "is a folder, not a file"),
        (PermissionError(13, "x"), "may not be read by this user"),
        (OSError(5, "Input/output error"), "cannot be read: Input/output error"),
    ],
)
def test_each_cause_is_said_in_its_own_words(tmp_path: Path, error: OSError, message: str) -> None:
    assert unreadable(tmp_path, error).message == message


def test_a_huge_file_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "SIZE_MAX_BYTES", 4)
    (tmp_path / "f").write_bytes(b"1234")
    assert read_input(tmp_path / "f") == b"1234"
    (tmp_path / "f").write_bytes(b"12345")
    with pytest.raises(InputError, match="larger than 4 bytes"):
        read_input(tmp_path / "f")


def test_a_pipe_to_which_nobody_writes_is_refused_instead_of_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_files, "WRITER_WAIT_S", 0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe that held nothing"):
        read_input(tmp_path / "pipe")


def test_a_pipe_is_read_to_its_end_however_late_its_writer_comes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    command = 'sleep 0.2; exec > "$0"; printf one; sleep 0.2; printf two'
    with subprocess.Popen(["/bin/sh", "-c", command, str(tmp_path / "pipe")]):
        assert read_input(tmp_path / "pipe") == b"onetwo"


def test_pinned_keys_that_cannot_be_seen_are_none(tmp_path: Path) -> None:
    assert not holds_managed_known_hosts(tmp_path / ("x" * 300))
