"""The disk is full, broken or read-only: what was committed stays, the agent says so, goes on, and recovers.

In ``make test`` one write of each kind and file fails, once and for the rest of the life; ``make chaos`` has every
write fail in turn. Where the test runs as root, real file systems are filled up and made read-only, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.harness import a_copy, a_place, fail_at, write_points
from tests.chaos.invariants import check, nothing_is_open_any_more
from tests.chaos.life import IN_TROUBLE
from tests.chaos.scenarios import SCENARIOS

if TYPE_CHECKING:
    from tests.chaos.harness import Point

pytestmark = pytest.mark.needs("strace")

EVERY = bool(os.environ.get("CHAOS_EVERY_WRITE"))
_CAN_FAIL = frozenset(
    {"pwrite64", "write", "ftruncate", "fallocate", "fsync", "fdatasync", "openat", "rename", "mkdir", "unlink"}
)


def chosen(points: list[Point]) -> list[Point]:
    """Return the writes of the state folder that can fail: all of them, or the first and the last of each kind."""
    on_disk = [point for point in points if point.is_on_disk and point.name in _CAN_FAIL]
    if EVERY:
        return on_disk
    kinds: dict[tuple[str, str], list[Point]] = {}
    for point in on_disk:
        name = point.arguments.split("/state/")[-1].split('"')[0].split(">")[0]
        kinds.setdefault((point.name, name), []).append(point)
    return [point for found in kinds.values() for point in {found[0], found[len(found) // 2]}]


@pytest.mark.parametrize("on", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS"])
def test_a_write_that_fails_loses_nothing_that_was_committed(tmp_path, error, on) -> None:
    codes = set()
    with a_place(tmp_path) as (lives, place):
        before = SCENARIOS["ordinary life"](lives, place)
        with a_copy(place) as rehearsal:
            points = write_points(lives, rehearsal)
        for point in chosen(points):
            with a_copy(place) as there:
                codes.add(fail_at(lives, there, point, error, on=on))
                left = check(there, before, f"{error} at {point}")
                assert lives.run(there) == 0, f"no life after {error} at {point}"
                after = check(there, left, f"the start after {error} at {point}")
                nothing_is_open_any_more(after)
                assert after.rows("restoration") == [], f"{error} at {point} was taken for damage"
    assert codes <= {0, IN_TROUBLE}
    assert IN_TROUBLE in codes


@pytest.mark.root
@pytest.mark.needs("unshare")
@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_real_file_system_that_takes_nothing_more_loses_nothing(tmp_path, trouble) -> None:
    command = ["unshare", "-m", sys.executable, "-m", "tests.chaos.real_file_systems", str(tmp_path), trouble]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "in trouble, and back" in done.stdout
