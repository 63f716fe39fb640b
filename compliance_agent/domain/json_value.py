"""JSON values as this product holds them: exact numbers, and kinds that never blur.

``bool`` is no number, ``1`` equals ``1.0`` and ``1e0``, and no value is ever a binary float:
readers produce ``int`` and ``Decimal`` only (see ``compliance_agent.wire.json_document``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

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


def equal(left: JsonValue, right: JsonValue) -> bool:
    """Tell whether two values are the same JSON value (PostgreSQL's ``jsonb =``).

    Arrays compare in order, objects regardless of it, numbers by exact value.
    """
    kind = kind_of(left)
    if kind is not kind_of(right):
        return False
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if kind is Kind.ARRAY and isinstance(left, Sequence) and isinstance(right, Sequence):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    return left == right
