"""The pattern language once more, naively: written from docs/PATTERNS.md to be read, not to be fast.

It shares no code with the product. Patterns are taken to be well formed. Numbers in brackets are the
sentences of the specification.
"""

from __future__ import annotations

import re
import socket
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import re2

from tests.support.pattern_values import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json: TypeAlias = Any


def matches(pattern: Json, value: Json) -> bool:
    """Tell whether the value (or ``MISSING``) matches the pattern."""
    if isinstance(pattern, dict):
        if any(is_operator(key) for key in pattern):  # 9, 10
            return all(_holds(name, argument, value) for name, argument in pattern.items())
        return isinstance(value, dict) and all(
            matches(part, value.get(_literal(key), MISSING)) for key, part in pattern.items()
        )  # 2, 8
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(matches(part, item) for item in value) for part in pattern)  # 3, 4
    return value is not MISSING and same(pattern, value)


def is_operator(key: str) -> bool:
    """Tell whether a key of a pattern names an operator (11)."""
    return key.startswith("$") and not key.startswith("$$")


def operators_in(pattern: Json) -> set[str]:
    """Return the operators that occur in a pattern; what stands in an argument is data, not pattern."""
    if isinstance(pattern, list):
        return {name for part in pattern for name in operators_in(part)}
    if not isinstance(pattern, dict):
        return set()
    found = {key for key in pattern if is_operator(key)}
    for key, part in pattern.items():
        if key not in found or key in {"$and", "$or", "$not"}:
            found |= operators_in(part)
    return found


def kind(value: Json) -> str:
    """Return the kind of a JSON value: ``true`` is no number (6)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | Decimal):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def same(left: Json, right: Json) -> bool:
    """Tell whether two JSON values are equal: arrays in order, objects regardless of it, numbers exactly (5, 6, 7)."""
    if kind(left) != kind(right):
        return False
    if kind(left) == "number":
        return Fraction(left) == Fraction(right)
    if kind(left) == "array":
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if kind(left) == "object":
        return set(left) == set(right) and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _literal(key: str) -> str:
    return key[1:] if key.startswith("$$") else key


def _holds(name: str, argument: Json, value: Json) -> bool:
    if name == "$exists":
        return (value is not MISSING) is argument
    if name == "$not":
        return not matches(argument, value)
    if name == "$and":
        return all(matches(part, value) for part in argument)
    if name == "$or":
        return any(matches(part, value) for part in argument)
    return value is not MISSING and _JUDGES[name](argument, value)  # 13


def _order(argument: Json, value: Json) -> int | None:
    """Return -1, 0 or 1 as the value is less, equal or more; ``None`` when they do not compare."""
    if kind(argument) == kind(value) == "number":
        return (Fraction(value) > Fraction(argument)) - (Fraction(value) < Fraction(argument))
    if kind(argument) == kind(value) == "string":
        left, right = [ord(character) for character in value], [ord(character) for character in argument]
        return (left > right) - (left < right)
    return None


def _contains(argument: Json, value: Json) -> bool:
    if kind(value) == "string":
        return kind(argument) == "string" and any(value[at:].startswith(argument) for at in range(len(value) + 1))
    return kind(value) == "array" and any(same(argument, item) for item in value)


def _wildcard(argument: str, value: str) -> bool:
    """Compare from the left: try every run for ``*``."""
    if not argument:
        return not value
    first, rest = argument[0], argument[1:]
    if first == "*":
        rest = rest.lstrip("*")  # two stars say what one says; keeps the attempts few
        return any(_wildcard(rest, value[at:]) for at in range(len(value) + 1))
    if not value:
        return False
    if first == "?":
        return _wildcard(rest, value[1:])
    if first == "\\":
        first, rest = rest[0], rest[1:]
    return value[0] == first and _wildcard(rest, value[1:])


def _cidr(argument: Json, value: str) -> bool:
    address = _bits(re.sub(r"(?<=.)%[^%/]+\Z", "", value) if ":" in value else value)  # a zone is not looked at
    networks = argument if isinstance(argument, list) else [argument]
    for network in networks:
        base, _, length = network.partition("/")
        bits = _bits(base)
        if address and len(address) == len(bits) and address.startswith(bits[: int(length or len(bits))]):
            return True
    return False


def _bits(address: str) -> str:
    """Return an address as 32 or 128 binary digits, or nothing when it is no address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        packed = socket.inet_pton(family, address)
    except (OSError, ValueError):
        return ""
    return "".join(f"{byte:08b}" for byte in packed)


def _of_texts(judge: Callable[[Json, str], bool]) -> Callable[[Json, Json], bool]:
    """Make an operator that holds for strings only (12)."""
    return lambda argument, value: kind(value) == "string" and judge(argument, value)


_JUDGES: Final[Mapping[str, Callable[[Json, Json], bool]]] = {
    "$eq": same,
    "$ne": lambda argument, value: not same(argument, value),
    "$in": lambda argument, value: any(same(choice, value) for choice in argument),
    "$nin": lambda argument, value: not any(same(choice, value) for choice in argument),
    "$ieq": _of_texts(lambda argument, value: argument.casefold() == value.casefold()),
    "$gt": lambda argument, value: _order(argument, value) == 1,
    "$gte": lambda argument, value: _order(argument, value) in {0, 1},
    "$lt": lambda argument, value: _order(argument, value) == -1,
    "$lte": lambda argument, value: _order(argument, value) in {0, -1},
    "$prefix": _of_texts(lambda argument, value: value[: len(argument)] == argument),
    "$suffix": _of_texts(lambda argument, value: value[max(0, len(value) - len(argument)) :] == argument),
    "$contains": _contains,
    "$wildcard": _of_texts(_wildcard),
    "$regex": _of_texts(lambda argument, value: re2.search(argument, value) is not None),
    "$cidr": _of_texts(_cidr),
}
