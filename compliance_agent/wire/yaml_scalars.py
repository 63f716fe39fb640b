"""What a plain (unquoted) YAML scalar means here: less than YAML 1.1 says, and never a surprise.

Text that YAML readers disagree about (``no``, ``0644``, ``22:10``, ``1_000``) is refused with its
remedy instead of guessed. A date stays text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from compliance_agent.wire.numbers import NumberRefusedError, exact_decimal, exact_integer

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonScalar

_MEANING: Final[dict[str, JsonScalar]] = {"": None, "~": None, "null": None, "true": True, "false": False}
_WORDS: Final = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false"})
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NUMBER_STARTS: Final = frozenset("0123456789+-.")

_ODD_NUMBERS: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = (
    (
        re.compile(r"[-+]?0[0-9_]+"),
        "a number with a leading zero, octal to some readers and decimal to others",
        "quote it, or write it without the zero",
    ),
    (
        re.compile(r"[-+]?0(?:[oO][0-7_]+|[xX][0-9a-fA-F_]+|[bB][01_]+)"),
        "an octal, hexadecimal or binary number",
        "quote it, or write it in decimal",
    ),
    (
        re.compile(r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*"),
        "a number to the base of 60 to some readers and text to others",
        "quote it",
    ),
    (
        re.compile(r"[-+]?(?=[0-9.]*_)(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"),
        "a number with underscores",
        "quote it, or leave the underscores out",
    ),
    (re.compile(r"[-+]?\.(?:inf|nan)", re.IGNORECASE), "no number that can be compared", "quote it if it is text"),
    (
        re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"),
        "an unusual way to write a number",
        "quote it, or write digits on both sides of the point and no plus sign",
    ),
)


class ScalarRefusedError(ValueError):
    """A plain scalar that must be quoted or written otherwise."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep what is wrong and how to mend it."""
        super().__init__(message)
        self.message = message
        self.hint = hint


def plain_scalar(text: str) -> JsonScalar:
    """Return what an unquoted scalar means.

    Raises:
        ScalarRefusedError: YAML readers disagree about it, or it is a number beyond the bounds.

    """
    if text in _MEANING:
        return _MEANING[text]
    lowered = text.lower()
    if lowered in _WORDS:
        message = f"{text} without quotes is text to some readers and true or false to others"
        raise ScalarRefusedError(message, f'quote it ("{text}"), or write true or false')
    if lowered == "null":
        raise ScalarRefusedError(f"{text} without quotes is null or text", f'quote it ("{text}"), or write null')
    if text[0] not in _NUMBER_STARTS:
        return text
    try:
        if _INTEGER.fullmatch(text):
            return exact_integer(text)
        if _DECIMAL.fullmatch(text):
            return exact_decimal(text)
    except NumberRefusedError as refused:
        raise ScalarRefusedError(str(refused), "quote it if it is text") from refused
    for odd, what, hint in _ODD_NUMBERS:
        if odd.fullmatch(text):
            shown = text if len(text) <= 40 else f"{text[:39]}…"  # noqa: PLR2004 - enough to find it
            raise ScalarRefusedError(f"{shown} without quotes is {what}", hint)
    return text


def is_plain_text(text: str) -> bool:
    """Tell whether ``text``, written without quotes, is read as that very text."""
    try:
        return plain_scalar(text) == text
    except ScalarRefusedError:
        return False
