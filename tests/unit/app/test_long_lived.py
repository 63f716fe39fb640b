"""Much that is built to stay is kept out of the collector's sight, and nothing is lost by it."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.app.long_lived import MANY, long_lived

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()


class Part:
    """Something that can be pointed at weakly, and can point at itself."""

    itself: Any = None


def test_the_collector_rests_while_much_is_built_and_works_again_after() -> None:
    with long_lived():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with long_lived():
        pass
    assert not gc.isenabled()


def test_the_collector_works_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="bad"), long_lived():
        raise ValueError("bad")
    assert gc.isenabled()


@pytest.mark.parametrize(("count", "frozen"), [(MANY // 2, False), (2 * MANY, True)])
def test_only_much_is_frozen(count: int, frozen: bool) -> None:
    with long_lived():
        kept: list[list[int]] = [[] for _ in range(count)]
    assert (gc.get_freeze_count() > len(kept) // 2) is frozen


def test_what_was_frozen_is_freed_when_the_last_one_lets_it_go() -> None:
    with long_lived():
        kept = [Part() for _ in range(2 * MANY)]
    gone = weakref.ref(kept[0])
    kept.clear()
    assert gone() is None


def test_a_circle_that_was_frozen_is_found_when_it_is_replaced() -> None:
    with long_lived():
        kept = [Part() for _ in range(2 * MANY)]
        kept[0].itself = kept[0]
    gone = weakref.ref(kept[0])
    with long_lived():
        kept = [Part() for _ in range(2 * MANY)]
    assert gone() is None
