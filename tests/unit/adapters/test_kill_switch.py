"""The kill switch's file: whatever lies there stops healing, and it has an owner."""

from __future__ import annotations

import getpass
import os
import pwd

import pytest

from compliance_agent.adapters.kill_switch import FileKillSwitch


@pytest.fixture
def path(tmp_path):
    return tmp_path / "PAUSE"


def order(path):
    found = FileKillSwitch(path).order()
    assert found is not None
    return found


def test_without_a_file_nothing_is_stopped(path):
    assert FileKillSwitch(path).order() is None
    assert FileKillSwitch(path / "below").order() is None


def test_the_owner_of_the_file_is_who_paused(path, monkeypatch):
    path.write_text("auditors\nuntil: 2026-12-01T18:00")
    assert (order(path).actor, order(path).reason) == (getpass.getuser(), "auditors")
    assert order(path).until is not None
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert order(path).actor == f"uid {os.getuid()}"


def test_an_empty_file_stops_healing_too(path):
    path.touch()
    assert (order(path).reason, order(path).trouble) == ("", "")


@pytest.mark.parametrize(
    ("make", "trouble"),
    [
        (lambda path: path.symlink_to("nowhere"), "it cannot be read"),
        (lambda path: path.symlink_to(path), "it cannot be read"),
        (os.mkfifo, "it is no plain file"),
        (lambda path: path.mkdir(), "it is no plain file"),
    ],
    ids=["a link to nothing", "a link to itself", "a pipe", "a folder"],
)
def test_what_cannot_be_read_stops_healing_and_blocks_nobody(path, make, trouble):
    make(path)
    assert trouble in order(path).trouble


def test_what_cannot_even_be_looked_at_stops_healing(path, monkeypatch):
    def refuse(_self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "lstat", refuse)
    assert "cannot be looked at" in order(path).trouble


def test_the_same_file_has_the_same_mark_and_any_other_another(path):
    path.write_text("auditors")
    first = order(path).mark
    assert order(path).mark == first
    path.unlink()
    path.write_text("auditors")
    assert order(path).mark != first


def test_a_file_that_is_moved_away_and_back_is_another_order(path):
    path.write_text("auditors")
    first = order(path).mark
    path.rename(path.with_suffix(".off"))
    path.with_suffix(".off").rename(path)
    assert order(path).mark != first
