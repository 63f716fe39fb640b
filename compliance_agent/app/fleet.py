"""Turns of many targets side by side, results in the order of the targets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(items: Sequence[Item], work: Callable[[Item], Result], *, workers: int) -> list[Result]:
    """Run ``work`` on every item, at most ``workers`` at once; the first exception is raised after all ended."""
    if len(items) <= 1 or workers <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(workers, len(items)), thread_name_prefix="turn") as pool:
        return list(pool.map(work, items))
