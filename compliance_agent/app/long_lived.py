"""Loading much that stays: thousands of rules, without Python's collector going over them again and again."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY: Final = 50_000
"""From so many new objects on they are taken out of the collector's sight."""


@contextmanager
def long_lived() -> Iterator[None]:
    """Build what lives as long as the process, or until it is replaced.

    20,000 rules are some two million objects, none of them garbage. While they are made the cyclic
    collector would look at all of them dozens of times, and later again whenever incidents have made
    enough new ones: more than half of all time. So it rests meanwhile, and what was built is frozen
    (``gc.freeze``). Nothing is lost by that: rules are freed by their reference counts, and what an
    earlier call froze is looked at once more when this one ends.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    made_before = gc.get_count()[0]
    try:
        yield
    finally:
        made = gc.get_count()[0] - made_before
        if gc.get_freeze_count():
            gc.unfreeze()
            gc.collect()
        if made >= MANY:
            gc.freeze()
        if was_enabled:
            gc.enable()
