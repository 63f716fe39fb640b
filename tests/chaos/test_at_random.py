"""Kills at random moments, one life after the other over the same state, with a moody receiver and a failing disk.

After each era of up to 250 kills the line is mended, and all that was ever reported must have arrived.

``CHAOS_KILLS`` sets how many (25; ``make chaos``: 2,000), ``CHAOS_SEED`` which ones; a failure names both.
"""

from __future__ import annotations

import os
from random import Random, SystemRandom

import pytest

from tests.chaos.harness import a_copy, a_place, fail_at, write_points
from tests.chaos.invariants import check, look, nothing_is_open_any_more

KILLS = int(os.environ.get("CHAOS_KILLS", "25"))
ERA = 250
SEED = int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(1_000_000))
_LIFE_S = 0.07
"""About what a life takes; a kill that comes too late finds it ended, which is counted apart."""

pytestmark = pytest.mark.needs("strace")


@pytest.mark.parametrize(
    "kills", [pytest.param(min(ERA, KILLS - first), id=f"era {first // ERA}") for first in range(0, KILLS, ERA)]
)
def test_kills_at_random_lose_and_double_nothing(tmp_path, request, kills) -> None:
    seed = f"{SEED}/{request.node.name}"
    rng = Random(seed)  # noqa: S311 - no secret
    killed, ended, failed = 0, 0, 0
    with a_place(tmp_path) as (lives, place):
        before = look(place)
        with a_copy(place) as rehearsal:
            points = [point for point in write_points(lives, rehearsal) if point.is_on_disk and point.name != "mkdir"]
        place.receiver.mood = lambda: rng.choice(["well", "well", "well", "busy", "cut"])
        while killed < kills:
            what = f"life {killed + ended + failed} of seed {seed}"
            if rng.random() < 0.1:
                error = rng.choice(["ENOSPC", "EIO", "EROFS"])
                fail_at(lives, place, rng.choice(points), error, on=rng.random() < 0.5)
                failed += 1
            elif os.WIFSIGNALED(lives.run(place, kill_after_s=rng.uniform(0, _LIFE_S))):
                killed += 1
            else:
                ended += 1
            before = check(place, before, what)
            place.number += 1
            place.drift()
        place.receiver.mood = lambda: "well"
        after = before
        for _ in range(100):  # a long backlog takes several lives
            place.number += 1
            place.drift()
            assert lives.run(place) == 0
            after = check(place, after, f"the end of seed {seed}")
            if not after.rows("outbox"):
                break
        nothing_is_open_any_more(after)
        assert after.rows("restoration") == []
    print(f"seed {seed}: {killed} lives killed, {ended} ended before the kill, {failed} with failing writes;")  # noqa: T201
    print(f"{len(after.deeds)} deeds, {len(after.rows('attempt'))} attempts, {len(after.received)} entries received")  # noqa: T201
