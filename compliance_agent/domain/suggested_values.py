"""Values that would satisfy, or break, one operator: nearest to what stands there.

What is proposed here is not yet certain: whoever asks tests each proposal and takes those that hold.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from decimal import Context, Decimal
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.operators import Missing
from compliance_agent.domain.pattern_nodes import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_nodes import TestNode

Value: TypeAlias = "JsonValue | Missing"

TEXT_KEPT_MAX: Final = 64
"""Longest actual text, in characters, that a proposal keeps beside what the operator asks."""

_LISTED_MAX: Final = 1_000
"""Most values of an operator's list that are looked at."""

_EXACT: Final = Context(prec=40_000)
"""Wide enough for every number that is read: 4,000 digits before the point, 16,383 behind it."""

_STEPS_BESIDE: Final = 8
"""So many whole numbers on each side of one are tried."""

_WHOLE_DIGITS_MAX: Final = 1_000
"""Most digits of a whole number that is written out; a larger one keeps its exponent."""

_PLAIN_REGEX: Final = re.compile(r"\^?((?:[^\\.+*?()\[\]{}|^$]|\\[^A-Za-z0-9])*)\$?")
_OTHER: Final = "other"


def values_for(name: str, argument: JsonValue, value: Value) -> list[Value]:
    """Return what could stand there so that the operator holds, nearest first; empty when nothing is known."""
    propose = _FOR.get(name)
    return list(propose(argument, value)) if propose else []


def values_against(name: str, argument: JsonValue, value: Value) -> list[Value]:
    """Return what could stand there so that the operator does not hold, nearest first."""
    opposite = _OPPOSITE.get(name)
    found = values_for(opposite, argument, value) if opposite else others(value)
    return [*found, *others(value), MISSING]


def others(value: Value) -> list[Value]:
    """Return values of the same kind that are not this one, and then nothing at all."""
    if isinstance(value, bool):
        return [not value, MISSING]
    if isinstance(value, int | Decimal):
        near = _far_from(value) if _is_vast(value) else [_plus(value, 1), _plus(value, -1)]
        return [*near, MISSING]
    if isinstance(value, str):
        kept = value if len(value) <= TEXT_KEPT_MAX else ""
        return [_OTHER, f"{kept}-{_OTHER}", MISSING]
    if value is None:
        return [_OTHER, MISSING]
    if isinstance(value, Missing):
        return [True]
    return [MISSING, None]


def merged(nodes: Iterable[TestNode], value: Value) -> list[Value]:
    """Return values that several operators at one place may agree on: of a list, between bounds, or text of parts."""
    by_name: dict[str, list[JsonValue]] = {}
    for node in nodes:
        by_name.setdefault(node.name, []).append(node.argument)
    listed = [one for argument in by_name.get("$in", ()) for one in _nearest_listed(argument, value)]
    return [*listed, *by_name.get("$eq", ()), *_between(by_name), *_joined(by_name, value)]


def beside(value: Value) -> list[Value]:
    """Return values close to one that is nearly right: for bounds and text of which a few values are excepted."""
    if isinstance(value, str):
        return [f"{value}{_OTHER}", f"{_OTHER}{value}", f"{value[:1]}{_OTHER}{value[1:]}", value[:-1]]
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or _is_vast(value):
        return []
    return [_plus(value, step * sign) for step in range(1, _STEPS_BESIDE + 1) for sign in (1, -1)]


def _between(by_name: Mapping[str, Sequence[JsonValue]]) -> list[Value]:
    low = [one for name in ("$gt", "$gte") for one in by_name.get(name, ()) if _is_number(one)]
    high = [one for name in ("$lt", "$lte") for one in by_name.get(name, ()) if _is_number(one)]
    if not low or not high:
        return []
    middle = _EXACT.divide(_EXACT.add(_decimal(max(low, key=_decimal)), _decimal(min(high, key=_decimal))), Decimal(2))
    return [middle] if _is_vast(middle) else [_floor(middle), _floor(middle) + 1, middle]


def _joined(by_name: Mapping[str, Sequence[JsonValue]], value: Value) -> list[Value]:
    parts = {name: [one for one in by_name.get(name, ()) if isinstance(one, str)] for name in _TEXT_PARTS}
    if sum(map(len, parts.values())) < 2:  # noqa: PLR2004 - one part alone is the operator's own proposal
        return []
    start = max(parts["$prefix"], key=len, default="")
    end = max(parts["$suffix"], key=len, default="")
    inner = "".join(parts["$contains"])
    kept = value if isinstance(value, str) and len(value) <= TEXT_KEPT_MAX else ""
    return [start + inner + end, start + kept + inner + end]


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _decimal(value: JsonValue) -> Decimal:
    return _EXACT.create_decimal(value) if isinstance(value, int | Decimal) else Decimal(0)


def _is_vast(number: int | Decimal) -> bool:
    return isinstance(number, Decimal) and number.adjusted() > _WHOLE_DIGITS_MAX


def _floor(number: int | Decimal) -> int:
    """Return the whole number at or below this one, which must not be vast."""
    if isinstance(number, int):
        return number
    whole = int(number)
    return whole - 1 if whole > number else whole


def _plus(number: int | Decimal, step: int) -> int | Decimal:
    return number + step if isinstance(number, int) else _EXACT.add(number, Decimal(step))


def _equal(argument: JsonValue, _value: Value) -> list[Value]:
    return [argument]


def _different(argument: JsonValue, value: Value) -> list[Value]:
    return [*others(value), *others(argument)]


def _listed(argument: JsonValue) -> list[JsonValue]:
    if isinstance(argument, Sequence) and not isinstance(argument, str):
        return list(islice(argument, _LISTED_MAX))
    return [argument]


def _nearest_listed(argument: JsonValue, value: Value) -> list[Value]:
    """Return the values of a list, nearest first: numbers by distance, text by what both begin with."""
    return [*sorted(_listed(argument), key=lambda choice: _distance(choice, value))]


def _distance(choice: JsonValue, value: Value) -> Decimal:
    if isinstance(choice, str) and isinstance(value, str):
        return Decimal(-len(_common_start(choice.casefold(), value.casefold())))
    if not isinstance(value, Missing) and _is_number(choice) and _is_number(value):
        return abs(_EXACT.subtract(_decimal(choice), _decimal(value)))
    return Decimal("Infinity")


def _common_start(left: str, right: str) -> str:
    length = 0
    for mine, theirs in zip(left, right, strict=False):
        if mine != theirs:
            break
        length += 1
    return left[:length]


def _unlisted(argument: JsonValue, value: Value) -> list[Value]:
    """Return values that are probably in no list: others, and beyond the greatest of its numbers."""
    listed = _listed(argument)
    numbers = [_decimal(one) for one in listed if _is_number(one)]
    beyond = _above(max(numbers), value) if numbers else []
    texts = [one for one in listed if isinstance(one, str)]
    longest = max(texts, key=len, default="")
    return [*others(value), *beyond, f"{longest}-{_OTHER}" if texts else _OTHER]


def _above(argument: JsonValue, _value: Value) -> list[Value]:
    if isinstance(argument, str):
        return [argument + "0"]
    if not isinstance(argument, int | Decimal):
        return []
    return _far_from(argument) if _is_vast(argument) else [_floor(argument) + 1]


def _below(argument: JsonValue, _value: Value) -> list[Value]:
    if isinstance(argument, str):
        return [argument[:-1]] if argument else []
    if not isinstance(argument, int | Decimal):
        return []
    if _is_vast(argument):
        return _far_from(argument)
    floor = _floor(argument)
    return [floor if floor < argument else floor - 1]


def _far_from(number: int | Decimal) -> list[Value]:
    """Return numbers on both sides of a vast one, each written as shortly as it is itself."""
    return [_EXACT.scaleb(_decimal(number), 1), _EXACT.scaleb(_decimal(number), -1)]


def _existing(argument: JsonValue, _value: Value) -> list[Value]:
    return [True] if argument is True else [MISSING]


def _kept_beside(argument: str, value: Value) -> str:
    """Return the actual text when it makes sense beside the one asked for: short, and not a variant of it."""
    if not isinstance(value, str) or len(value) > TEXT_KEPT_MAX:
        return ""
    return "" if value[:1] == argument[:1] or value[-1:] == argument[-1:] else value


def _prefixed(argument: JsonValue, value: Value) -> list[Value]:
    return [argument + _kept_beside(argument, value), argument] if isinstance(argument, str) else []


def _suffixed(argument: JsonValue, value: Value) -> list[Value]:
    return [_kept_beside(argument, value) + argument, argument] if isinstance(argument, str) else []


def _containing(argument: JsonValue, value: Value) -> list[Value]:
    found: list[Value] = []
    if isinstance(value, Sequence) and not isinstance(value, str):
        found.append([*value, argument])
    elif isinstance(argument, str):
        kept = value if isinstance(value, str) and len(value) <= TEXT_KEPT_MAX else ""
        found += [kept + argument, argument]
    return [*found, [argument]]


def _wild(argument: JsonValue, _value: Value) -> list[Value]:
    """Return the shortest text that the wildcard takes: nothing for ``*``, ``x`` for ``?``."""
    if not isinstance(argument, str):
        return []
    parts: list[str] = []
    characters = iter(argument)
    for character in characters:
        if character == "\\":
            parts.append(next(characters, ""))
        elif character != "*":
            parts.append("x" if character == "?" else character)
    return ["".join(parts)]


def _expressed(argument: JsonValue, _value: Value) -> list[Value]:
    """Return the text of an expression that is plain text, perhaps anchored; of any other one nothing is certain."""
    plain = _PLAIN_REGEX.fullmatch(argument) if isinstance(argument, str) else None
    return [re.sub(r"\\(.)", r"\1", plain[1])] if plain and plain[1] else []


def _addresses(argument: JsonValue, value: Value) -> list[Value]:
    """Return the first address of each network, those of the actual address's family first."""
    networks = [ipaddress.ip_network(one) for one in _listed(argument) if isinstance(one, str)]
    family = 6 if isinstance(value, str) and ":" in value else 4
    return [str(one.network_address) for one in sorted(networks, key=lambda one: one.version != family)]


_FOR: Final[Mapping[str, Callable[[JsonValue, Value], Sequence[Value]]]] = {
    "$eq": _equal,
    "$ne": _different,
    "$in": _nearest_listed,
    "$nin": _unlisted,
    "$ieq": _equal,
    "$gt": _above,
    "$gte": _equal,
    "$lt": _below,
    "$lte": _equal,
    "$exists": _existing,
    "$prefix": _prefixed,
    "$suffix": _suffixed,
    "$contains": _containing,
    "$wildcard": _wild,
    "$regex": _expressed,
    "$cidr": _addresses,
}

_OPPOSITE: Final[Mapping[str, str]] = {
    "$eq": "$ne",
    "$ne": "$eq",
    "$in": "$nin",
    "$nin": "$in",
    "$gt": "$lte",
    "$gte": "$lt",
    "$lt": "$gte",
    "$lte": "$gt",
}

_TEXT_PARTS: Final = ("$prefix", "$suffix", "$contains")
