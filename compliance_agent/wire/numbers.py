"""Numbers of documents, read exactly: whole ones as ``int``, the others as ``Decimal``, within bounds.

The bounds lie inside PostgreSQL's ``numeric``, so that what is read here can be stored there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

DIGITS_MAX: Final = 4_000
"""Most digits of a whole number, and before the point of a decimal one."""

EXPONENT_MAX: Final = 16_383
"""Largest magnitude of an exponent, and most digits behind the point."""


class NumberRefusedError(ValueError):
    """A number beyond the bounds. The text says which."""


def exact_integer(text: str) -> int:
    """Return the number that ``-?[0-9]+`` writes.

    Raises:
        NumberRefusedError: It has more than ``DIGITS_MAX`` digits.

    """
    _check_digits(len(text.lstrip("-")))
    return int(text)


def exact_decimal(text: str) -> Decimal:
    """Return the number that ``-?[0-9]+(.[0-9]+)?([eE][+-]?[0-9]+)?`` writes, to the last digit.

    Raises:
        NumberRefusedError: Too many digits before or behind the point, or too large an exponent.

    """
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    _check_digits(len(whole))
    magnitude = exponent.lstrip("+-").lstrip("0")
    if len(magnitude) > len(str(EXPONENT_MAX)) or int(magnitude or "0") > EXPONENT_MAX:
        message = f"a number whose exponent exceeds {EXPONENT_MAX:,}"
        raise NumberRefusedError(message)
    shift = -int(magnitude or "0") if exponent.startswith("-") else 0  # leading zeros are dropped: int() bounds them
    places = len(fraction) - shift
    if places > EXPONENT_MAX:
        message = f"a number of {places:,} digits behind the point; at most {EXPONENT_MAX:,} are read"
        raise NumberRefusedError(message)
    return Decimal(text)


def _check_digits(count: int) -> None:
    if count > DIGITS_MAX:
        message = f"a number of {count:,} digits; at most {DIGITS_MAX:,} are read"
        raise NumberRefusedError(message)
