"""The evidence profile: the values that may be signed, and the one way to write them.

It is RFC 8785 (JSON Canonicalization Scheme) without its hard part: numbers are integers that every
reader of JSON holds exactly (up to 2^53 - 1). There are no floats, since two programs need not write
the same float alike; decimals and longer integers are strings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.json_value import Kind, kind_of

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

INTEGER_MAX: Final = 2**53 - 1
"""Largest integer, and its negative the smallest, that stands as a number (RFC 7493, section 2.2)."""


class ProfileError(ValueError):
    """A value that cannot be written in the profile, or bytes that are not written in it."""


def profile_value(value: JsonValue) -> JsonValue:
    """Return the value with what the profile has no number for as text: decimals, and integers beyond 2^53 - 1.

    Raises:
        TypeError: It is no JSON value of this product, a binary float for instance.

    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -INTEGER_MAX <= value <= INTEGER_MAX else str(Decimal(value))
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {key: profile_value(item) for key, item in value.items()}
    if kind_of(value) is Kind.ARRAY and isinstance(value, Sequence):
        return [profile_value(item) for item in value]
    message = f"no JSON value: {type(value).__name__}"
    raise TypeError(message)


def canonical_bytes(value: JsonValue) -> bytes:
    """Return the one way to write a value of the profile: UTF-8, no spaces, keys in the order of their UTF-16 units.

    Raises:
        ProfileError: The value is not in the profile.

    """
    try:
        text = json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except UnicodeEncodeError as error:
        raise ProfileError("half a surrogate pair is no text") from error
    except RecursionError as error:
        raise ProfileError("nested too deep") from error


def read_canonical(data: bytes) -> JsonValue:
    """Read what :func:`canonical_bytes` wrote, and nothing else: every other spelling of the same value is refused.

    Raises:
        ProfileError: It is no JSON, holds a float, or is written in another way.

    """
    try:
        value: JsonValue = json.loads(data, parse_float=_refuse_float, parse_constant=_refuse_float)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"no JSON of the profile: {error}") from error
    if canonical_bytes(value) != data:
        raise ProfileError("not written in the canonical way")
    return value


def digest_of(value: JsonValue) -> str:
    """Return the SHA-256 of a JSON value in the profile's writing, 64 hex digits."""
    return hashlib.sha256(canonical_bytes(profile_value(value))).hexdigest()


def _sorted(value: JsonValue) -> JsonValue:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise ProfileError(f"the integer {Decimal(value):.6E} is beyond 2^53 - 1")
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ProfileError("a key that is no text")
        return {key: _sorted(value[key]) for key in sorted(value, key=_utf16)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    raise ProfileError(f"{type(value).__name__} is not in the profile")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _refuse_float(literal: str) -> JsonValue:
    raise ProfileError(f"{literal[:40]} is a float")
