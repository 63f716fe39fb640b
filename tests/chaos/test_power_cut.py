"""The power goes: what was written and not flushed is lost, and so are names whose folder was not flushed.

Between two flushes nothing more becomes certain, so a cut right after each flush (and before the next deed or report
that the world outside sees) leaves everything that the most forgetful disk can leave.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from compliance_agent.adapters.store.snapshot import snapshot_path
from tests.chaos.harness import a_copy, a_place, kill_at, write_points
from tests.chaos.invariants import check, nothing_is_open_any_more
from tests.chaos.power import ALL_BYTES, FLUSHES, TRACED, Disk
from tests.chaos.scenarios import SCENARIOS

pytestmark = pytest.mark.needs("strace")


def moments(points):
    """Return the writes before which the power is cut: what follows a flush, and what the world outside sees."""
    after_flushes = {index + 1 for index, point in enumerate(points) if point.name in FLUSHES}
    seen = {index + 1 for index, point in enumerate(points) if point.name == "sendto" or "deeds" in point.arguments}
    return [points[index] for index in sorted(after_flushes | seen) if index < len(points)]


def cut(lives, there, point, *, names_last: bool) -> None:
    """Run a life until this write, then leave what a power cut then would leave."""
    folder, trace = there.state.parent, there.folder / "trace"
    disk = Disk(folder, names_last=names_last)
    assert kill_at(lives, there, point, *ALL_BYTES, "-e", f"trace={TRACED},{point.name}", trace=trace)
    disk.replay(trace.read_text(encoding="latin-1"))
    disk.lay_out(folder)


def the_snapshot_is_whole(there) -> None:
    path = snapshot_path(there.state)
    if path.exists():
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() > (0,)


@pytest.mark.parametrize(
    ("name", "names_last"),
    [("first start", True), ("ordinary life", True), ("damaged file", True), ("damaged file", False)],
)
def test_a_power_cut_loses_no_promise(tmp_path, name, names_last) -> None:
    with a_place(tmp_path) as (lives, place):
        before = SCENARIOS[name](lives, place)
        with a_copy(place) as rehearsal:
            points = moments(write_points(lives, rehearsal))
        assert len(points) > 10
        for point in points:
            with a_copy(place) as there:
                cut(lives, there, point, names_last=names_last)
                the_snapshot_is_whole(there)
                left = before if name == "damaged file" else check(there, before, f"a power cut before {point}")
                assert lives.run(there) == 0, f"no life after a power cut before {point}"
                after = check(there, left, f"the start after a power cut before {point}")
                nothing_is_open_any_more(after)


def test_the_model_forgets_what_was_not_flushed(tmp_path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    disk = Disk(folder, names_last=True)
    lines = [
        f'openat(AT_FDCWD</x>, "{folder}/a", O_RDWR|O_CREAT, 0600) = 3<{folder}/a>',
        f'write(3<{folder}/a>, "one\\0\\303", 5) = 5',
        f"fsync(3<{folder}/a>) = 0",
        f'pwrite64(3<{folder}/a>, "two", 3, 1) = 3',
    ]
    disk.replay("\n".join(lines))
    disk.lay_out(folder)
    assert list(folder.iterdir()) == []
    disk.replay(f"fsync(9<{folder}>) = 0")
    disk.lay_out(folder)
    assert (folder / "a").read_bytes() == b"one\0\xc3"


@pytest.mark.parametrize(("names_last", "left"), [(True, {"a": b"old"}), (False, {"a": b""})])
def test_the_model_tells_a_rename_whose_content_was_not_flushed(tmp_path, names_last, left) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "a").write_bytes(b"old")
    disk = Disk(folder, names_last=names_last)
    lines = [
        f'openat(AT_FDCWD</x>, "{folder}/b", O_RDWR|O_CREAT, 0600) = 3<{folder}/b>',
        f'write(3<{folder}/b>, "new", 3) = 3',
        f'rename("{folder}/b", "{folder}/a") = 0',
    ]
    disk.replay("\n".join(lines))
    disk.lay_out(folder)
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == left
