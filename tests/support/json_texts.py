"""JSON texts: one value written in many ways, and texts that are nearly JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.pattern_values import is_array, is_number, random_scalar

if TYPE_CHECKING:
    import random

Json: TypeAlias = Any

_PIECES = (
    *'{}[]",:\\ \t\n\r-+.0123456789eEtfnu',
    *("true", "null", "NaN", "Infinity", "-Infinity", '"a":1', '"a":1,', "1e5", "-0", "0.0", "01", "1.", ".5", "0x1"),
    *("\\u0000", "\\u0041", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\u00e9", "\\x41", "\\/", "\\b", "\\u12", "\\U"),
    *("\u00e9", "\u2028", "\ufeff", "\x01", "\x7f", "\x0b", "\x0c", "\u00a0", "/**/", "#", "'", "\u0661", "\U0001f600"),
)


def written(rng: random.Random, value: Json) -> str:
    """Return a text of the value: any spacing, any notation of a number, escapes, and keys that stand twice.

    Of a key that stands twice, the last value is the one that counts.
    """
    if isinstance(value, dict):
        return _object(rng, value)
    if is_array(value):
        return "[" + ",".join(_spaced(rng, written(rng, item)) for item in value) + _space(rng) + "]"
    if isinstance(value, str):
        return _text(rng, value)
    if is_number(value):
        return _number(rng, value)
    return json.dumps(value)


def damaged(rng: random.Random, text: str) -> str:
    """Return the text with one to three pieces put in, taken out or replaced; sometimes still JSON."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(text) + 1)
        length = rng.choice((0, 0, 1, 1, 2))
        text = text[:at] + rng.choice((*_PIECES, "")) + text[at + length :]
    return text


def _object(rng: random.Random, value: dict[str, Json]) -> str:
    items = list(value.items())
    if items and rng.random() < 0.15:
        items.insert(0, (rng.choice(items)[0], random_scalar(rng)))
    parts = (f"{_spaced(rng, _text(rng, key))}:{_spaced(rng, written(rng, item))}" for key, item in items)
    return "{" + ",".join(parts) + _space(rng) + "}"


def _space(rng: random.Random) -> str:
    return rng.choice(" \n\t\r") if rng.random() < 0.1 else ""


def _spaced(rng: random.Random, text: str) -> str:
    return f"{_space(rng)}{text}{_space(rng)}"


def _text(rng: random.Random, text: str) -> str:
    plain = json.dumps(text, ensure_ascii=rng.random() < 0.5)
    if text and rng.random() < 0.1:
        return '"' + "".join(f"\\u{unit:04x}" for unit in _utf_16(text)) + '"'
    return plain


def _utf_16(text: str) -> list[int]:
    data = text.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _number(rng: random.Random, value: int | Decimal) -> str:
    text = str(value)
    if rng.random() < 0.6 or abs(Decimal(value).adjusted()) > 100:
        return text
    mantissa, _, exponent = text.partition("E")
    shift = rng.randrange(-3, 4)
    moved = Decimal(mantissa).scaleb(-shift) if len(mantissa) < 25 else Decimal(mantissa)
    power = int(exponent or 0) + (shift if len(mantissa) < 25 else 0)
    return f"{moved:f}{rng.choice('eE')}{rng.choice(('', '+')) if power >= 0 else ''}{power}"
