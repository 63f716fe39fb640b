"""JSON values as this product holds them: exact numbers, and kinds that never blur.

``bool`` is no number, ``1`` equals ``1.0`` and ``1e0``, and no value is ever a binary float:
readers produce ``int`` and ``Decimal`` only (see ``compliance_agent.wire.json_document``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable

JsonScalar: TypeAlias = bool | int | Decimal | str | None
JsonValue: TypeAlias = JsonScalar | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


class Kind(StrEnum):
    """The six kinds of a JSON value."""

    NULL = "null"
    BOOLEAN = "boolean"
    NUMBER = "number"
    STRING = "string"
    ARRAY = "array"
    OBJECT = "object"


_KIND_OF: Final[dict[type, Kind]] = {
    type(None): Kind.NULL,
    bool: Kind.BOOLEAN,
    int: Kind.NUMBER,
    Decimal: Kind.NUMBER,
    str: Kind.STRING,
    list: Kind.ARRAY,
    tuple: Kind.ARRAY,
    dict: Kind.OBJECT,
}


def kind_of(value: JsonValue) -> Kind:
    """Return the kind of ``value``.

    Raises:
        TypeError: The value is not one of ours, a binary float for instance.

    """
    kind = _KIND_OF.get(type(value))
    if kind is not None:
        return kind
    if isinstance(value, Mapping):
        return Kind.OBJECT
    if isinstance(value, str):
        return Kind.STRING
    msg = f"not a JSON value of this product: {type(value).__name__}"
    raise TypeError(msg)


def is_scalar(value: JsonValue) -> bool:
    """Tell whether a value is ``null``, a boolean, a number or a string."""
    return kind_of(value) not in {Kind.ARRAY, Kind.OBJECT}


def equal(left: JsonValue, right: JsonValue) -> bool:
    """Tell whether two values are the same JSON value (PostgreSQL's ``jsonb =``).

    Arrays compare in order, objects regardless of it, numbers by exact value.
    """
    kind = kind_of(left)
    if kind is not kind_of(right):
        return False
    if kind is Kind.OBJECT and isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if kind is Kind.ARRAY and isinstance(left, Sequence) and isinstance(right, Sequence):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    return left == right


CANONICAL_DEPTH_MAX: Final = 256
"""How deep ``canonical`` looks; deeper than any document or pattern that is read."""

_SHORT_INTEGER: Final = 1 << 256
"""Below this an integer is turned into digits directly; ``str`` refuses very long ones."""


def canonical(value: JsonValue) -> Hashable:
    """Return a key that is the same for two values exactly when ``equal`` says that they are the same.

    Numbers become text: whoever chooses the values cannot choose their hashes, as with plain ``int``,
    so sets and dicts of these keys stay fast on hostile documents. An array or an object becomes one
    text, which is hashed once however often it is looked up. Time and memory are linear in the value.
    What is nested deeper than ``CANONICAL_DEPTH_MAX`` is the same as nothing else.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | Decimal):
        return ("number", _number_text(value))
    pieces: list[str] = []
    try:
        _write_canonical(value, pieces, CANONICAL_DEPTH_MAX)
    except _TooDeepError:
        return object()
    return ("composed", "".join(pieces))


def number_in(key: Hashable) -> Decimal | None:
    """Return the number that ``canonical`` made this key of; ``None`` if it was something else."""
    return Decimal(key[1]) if isinstance(key, tuple) and key[0] == "number" else None


class _TooDeepError(Exception):
    """Nested deeper than ``CANONICAL_DEPTH_MAX``."""


_NUMBERS: Final = (int, Decimal)
_WORDS: Final = {None: "null", True: "true", False: "false"}


def _write_canonical(value: JsonValue, pieces: list[str], depth: int) -> None:
    if isinstance(value, str):
        pieces.append(encode_basestring(value))
    elif value is None or isinstance(value, bool):
        pieces.append(_WORDS[value])
    elif isinstance(value, _NUMBERS):
        pieces.append(_number_text(value))
    elif depth == 0:
        raise _TooDeepError
    elif kind_of(value) is Kind.OBJECT:
        assert isinstance(value, Mapping)  # noqa: S101 - narrows the type for mypy; kind_of said so
        pieces.append("{")
        for key in sorted(value):
            pieces.append(encode_basestring(key))
            pieces.append(":")
            _write_canonical(value[key], pieces, depth - 1)
            pieces.append(",")
        pieces.append("}")
    else:
        assert isinstance(value, Sequence)  # noqa: S101 - as above
        pieces.append("[")
        for item in value:
            _write_canonical(item, pieces, depth - 1)
            pieces.append(",")
        pieces.append("]")


def _number_text(value: int | Decimal) -> str:
    """Return the one way to write this number: digits without outer zeros, and an exponent of ten unless it is 0."""
    if isinstance(value, int) and -_SHORT_INTEGER < value < _SHORT_INTEGER:
        text = str(value)
        if text[-1] != "0":
            return text
        kept = text.rstrip("0")
        return f"{kept}e{len(text) - len(kept)}" if kept else "0"
    mantissa, _, exponent = str(Decimal(value)).partition("E")
    whole, _, fraction = mantissa.partition(".")
    sign = "-" if whole.startswith("-") else ""
    digits = f"{whole}{fraction}".lstrip("-0")
    kept = digits.rstrip("0")
    if not kept:
        return "0"
    power = int(exponent or 0) - len(fraction) + len(digits) - len(kept)
    return f"{sign}{kept}e{power}" if power else f"{sign}{kept}"
