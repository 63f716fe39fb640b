"""Where a kill can find the agent: its first start, an ordinary life, a start over a damaged state file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos.harness import a_copy, kill_at, write_points
from tests.chaos.invariants import look

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.harness import Lives, Place
    from tests.chaos.invariants import Aftermath


def first_start(_lives: Lives, place: Place) -> Aftermath:
    """Nothing is there yet."""
    return look(place)


def ordinary_life(lives: Lives, place: Place) -> Aftermath:
    """One life is past, a second one was killed between a deed and its outcome: it has to be recovered first."""
    _past_life(lives, place)
    with a_copy(place) as rehearsal:
        points = write_points(lives, rehearsal)
    deed = next(index for index, point in enumerate(points) if "machines/deeds" in point.arguments)
    assert kill_at(lives, place, points[deed + 3])
    found = look(place)
    assert [row for row in found.rows("attempt") if row["finished_at"] is None], "no attempt was cut off"
    return found


def damaged_file(lives: Lives, place: Place) -> Aftermath:
    """One life is past and has left a snapshot; then the state file was damaged."""
    _past_life(lives, place)
    found = look(place)
    content = bytearray(place.state.read_bytes())
    for page in range(1, len(content) // 4_096):
        content[page * 4_096 : page * 4_096 + 512] = b"\xa5" * 512
    place.state.write_bytes(content)
    return found


def _past_life(lives: Lives, place: Place) -> None:
    assert lives.run(place) == 0
    place.number += 1
    place.drift()


SCENARIOS: Final[dict[str, Callable[[Lives, Place], Aftermath]]] = {
    "first start": first_start,
    "ordinary life": ordinary_life,
    "damaged file": damaged_file,
}
