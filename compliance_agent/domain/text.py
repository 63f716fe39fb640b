"""Text that came from a target, made safe to show: a machine must not be able to steer an operator's terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

_KEPT: Final = frozenset("\n\t")
_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories that steer: controls (escape sequences begin with one), text direction, surrogates, separators."""


def printable(text: str) -> str:
    r"""Return the text with every steering character but newline and tab written out, such as ``\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written(character) for character in text)


def one_line(text: str) -> str:
    r"""Return the text so that it steers no terminal and stays on its line: newline and tab are written out too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _written(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _STEERING:
        return character
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - one byte
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - two bytes
