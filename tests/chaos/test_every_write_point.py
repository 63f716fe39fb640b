"""The agent is killed at every single write of its life in turn, and started again.

The writes are system calls, listed by a trace of the same life (``python -m tests.chaos`` prints them): whatever the
process does to the world outside it, it does by one of them. A kill before each of them leaves every state that a
kill at any moment can leave, since between two of them nothing outside changes.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.harness import a_copy, a_place, kill_at, write_points
from tests.chaos.invariants import check, look, nothing_is_open_any_more
from tests.chaos.scenarios import SCENARIOS

SHARDS = 4

pytestmark = pytest.mark.needs("strace")


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_write_point_loses_and_doubles_nothing(tmp_path, name, shard) -> None:
    with a_place(tmp_path) as (lives, place):
        before = SCENARIOS[name](lives, place)
        with a_copy(place) as rehearsal:
            points = write_points(lives, rehearsal)
        for point in points[shard::SHARDS]:
            with a_copy(place) as there:
                assert kill_at(lives, there, point), f"the life never came to {point}"
                left = before if name == "damaged file" else check(there, before, f"a kill at {point}")
                assert lives.run(there) == 0, f"no life after a kill at {point}"
                after = check(there, left, f"the start after a kill at {point}")
                nothing_is_open_any_more(after)
                assert len(after.rows("restoration")) == (1 if name == "damaged file" else 0), str(point)


def test_the_list_of_write_points_has_every_kind_of_write_that_the_agent_does(tmp_path) -> None:
    with a_place(tmp_path) as (lives, place):
        SCENARIOS["ordinary life"](lives, place)
        with a_copy(place) as rehearsal:
            points = write_points(lives, rehearsal)
    places = Counter((point.name, what) for point in points for what in _files_of(point.arguments))
    for wanted in (
        ("openat", "state.sqlite.lock"),
        ("pwrite64", "state.sqlite.lock"),
        ("pwrite64", "state.sqlite-wal"),
        ("fdatasync", "state.sqlite-wal"),
        ("pwrite64", "state.sqlite"),
        ("pwrite64", "state.sqlite.snapshot.new"),
        ("rename", "state.sqlite.snapshot"),
        ("write", "deeds"),
    ):
        assert places[wanted] > 0, f"{wanted} is not among {sorted(places)}"
    assert any(point.name == "sendto" for point in points)
    assert len(points) > 100


def _files_of(arguments: str) -> set[str]:
    return {part.rstrip('>",').rpartition("/")[2] for part in arguments.replace(",", " ").split() if "/" in part}


def test_a_life_that_nobody_disturbs_keeps_every_promise(tmp_path) -> None:
    with a_place(tmp_path) as (lives, place):
        before = look(place)
        for number in range(5):
            place.number = number
            place.drift()
            assert lives.run(place) == 0
            before = check(place, before, f"life {number}")
            nothing_is_open_any_more(before)
    assert len(before.deeds) > 5


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param("DELETE FROM attempt WHERE rowid = (SELECT max(rowid) FROM attempt)", id="a lost attempt"),
        pytest.param("UPDATE attempt SET outcome = 'failed' WHERE rowid = 1", id="a rewritten attempt"),
        pytest.param("DELETE FROM outcome WHERE outcome_id = 1", id="a lost outcome"),
        pytest.param(
            "UPDATE outbox_count SET number = number + 1 WHERE kind = 'telemetry' AND fate = 'enqueued'",
            id="a lost entry",
        ),
        pytest.param(
            "UPDATE outbox_count SET number = number - 1 WHERE kind = 'telemetry' AND fate = 'delivered'",
            id="a delivery that nobody counted",
        ),
    ],
)
def test_the_invariants_see(tmp_path, spoil) -> None:
    import sqlite3

    with a_place(tmp_path) as (lives, place):
        assert lives.run(place) == 0
        before = look(place)
        check(place, before, "nothing")
        with sqlite3.connect(place.state) as connection:
            assert connection.execute(spoil).rowcount == 1
        connection.close()
        with pytest.raises(AssertionError, match="does not hold"):
            check(place, before, spoil)


def test_the_invariants_see_a_deed_done_twice(tmp_path) -> None:
    with a_place(tmp_path) as (lives, place):
        assert lives.run(place) == 0
        before = look(place)
        deeds = place.machines.folder / "deeds"
        deeds.write_text(deeds.read_text(encoding="utf-8") * 2, encoding="utf-8")
        with pytest.raises(AssertionError, match="no_attempt_is_run_twice"):
            check(place, before, "a second deed")
