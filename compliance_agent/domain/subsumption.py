"""Which patterns follow from others: for finding rules that an earlier one hides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.domain.constraints import OBJECT, Budget, BudgetError, Place
from compliance_agent.domain.proof import entails

if TYPE_CHECKING:
    from compliance_agent.domain.pattern import Pattern

STEPS_MAX: Final = 50_000
"""Steps for one question; one that needs more is answered with ``False``."""


def place_of(pattern: Pattern, steps: int = STEPS_MAX) -> Place:
    """Return what is known of every document that matches.

    Raises:
        BudgetError: The pattern is too long for that many steps.

    """
    place = Place(OBJECT, Budget(steps))
    place.add(pattern.root)
    return place


def implies(stronger: Pattern, weaker: Pattern) -> bool:
    """Tell whether every document that matches ``stronger`` matches ``weaker`` too.

    ``True`` is proven; ``False`` means that it does not hold or that no proof was found.
    """
    try:
        return entails(place_of(stronger), weaker.root)
    except (BudgetError, RecursionError):
        return False
