"""The operators of the pattern language that test one value.

Each builder takes the operator's argument, refuses a malformed one at load, and returns a test.
A test gets the value, or ``Missing.MISSING``; it answers, it never raises. Apart from ``$exists``,
a missing field satisfies no operator; a value of the wrong kind satisfies none but ``$ne``/``$nin``.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import re2

from compliance_agent.domain.json_value import JsonValue, Kind, canonical, equal, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

REGEX_LENGTH_MAX: Final = 1_000
"""Longest regular expression, in characters."""

REGEX_MEMORY_MAX: Final = 8 << 20
"""Memory budget of one compiled expression, in bytes (RE2's own default)."""

ALTERNATIVES_MAX: Final = 10_000
"""Most values in ``$in``, ``$nin`` or ``$cidr``."""

ARGUMENT_DEPTH_MAX: Final = 64
"""Deepest nesting of an operator's argument."""


class Missing(Enum):
    """The one value that stands for a field that is not there."""

    MISSING = "missing"


Test: TypeAlias = Callable[[JsonValue | Missing], bool]


class OperatorRefusedError(ValueError):
    """An operator's argument is malformed; the pattern must not be loaded."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep what is wrong and how to mend it."""
        super().__init__(message)
        self.message = message
        self.hint = hint


def _is_list(value: JsonValue) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _alternatives(argument: JsonValue) -> Sequence[JsonValue]:
    if not isinstance(argument, Sequence) or isinstance(argument, str) or not argument:
        message = "needs a list of at least one value"
        raise OperatorRefusedError(message)
    if len(argument) > ALTERNATIVES_MAX:
        message = f"more than {ALTERNATIVES_MAX} values"
        raise OperatorRefusedError(message)
    return argument


def _text(argument: JsonValue) -> str:
    if not isinstance(argument, str) or not argument:
        message = "needs a string of at least one character"
        raise OperatorRefusedError(message)
    if any("\ud800" <= character <= "\udfff" for character in argument):
        message = "half a surrogate pair is no text"
        raise OperatorRefusedError(message)
    return argument


def _eq(argument: JsonValue) -> Test:
    return lambda value: not isinstance(value, Missing) and equal(argument, value)


def _ne(argument: JsonValue) -> Test:
    return lambda value: not isinstance(value, Missing) and not equal(argument, value)


def _is_one_of(choices: Sequence[JsonValue]) -> Callable[[JsonValue], bool]:
    """Look a value up among the choices: as fast among ten thousand of them as among ten."""
    keys = frozenset(map(canonical, choices))
    kinds = frozenset(map(kind_of, choices))
    return lambda value: kind_of(value) in kinds and canonical(value) in keys


def _in(argument: JsonValue) -> Test:
    is_one = _is_one_of(_alternatives(argument))
    return lambda value: not isinstance(value, Missing) and is_one(value)


def _nin(argument: JsonValue) -> Test:
    is_one = _is_one_of(_alternatives(argument))
    return lambda value: not isinstance(value, Missing) and not is_one(value)


def _ieq(argument: JsonValue) -> Test:
    wanted = _text(argument).casefold()
    return lambda value: isinstance(value, str) and value.casefold() == wanted


_NUMBERS: Final = frozenset({int, Decimal})


def _ordered(accepts: Callable[[Any, Any], bool]) -> Callable[[JsonValue], Test]:
    """Make an ordering operator: number with number, string with string (by code point), else no match."""

    def build(argument: JsonValue) -> Test:
        kind = kind_of(argument)
        if kind is Kind.STRING:
            return lambda value: isinstance(value, str) and accepts(value, argument)
        if kind is Kind.NUMBER:
            return lambda value: type(value) in _NUMBERS and accepts(value, argument)
        message = f"compares with a number or a string, not {kind}"
        raise OperatorRefusedError(message)

    return build


def _exists(argument: JsonValue) -> Test:
    if not isinstance(argument, bool):
        message = "needs true or false"
        raise OperatorRefusedError(message)
    return lambda value: (not isinstance(value, Missing)) is argument


def _prefix(argument: JsonValue) -> Test:
    text = _text(argument)
    return lambda value: isinstance(value, str) and value.startswith(text)


def _suffix(argument: JsonValue) -> Test:
    text = _text(argument)
    return lambda value: isinstance(value, str) and value.endswith(text)


def _contains(argument: JsonValue) -> Test:
    """Substring of a string, or an equal element of an array."""
    if argument == "" and isinstance(argument, str):
        message = "the empty string is contained in every string"
        raise OperatorRefusedError(message)

    def test(value: JsonValue | Missing) -> bool:
        if isinstance(value, str):
            return isinstance(argument, str) and argument in value
        if not isinstance(value, Missing) and _is_list(value):
            assert isinstance(value, Sequence)  # noqa: S101 - narrows the type for mypy
            return any(equal(argument, item) for item in value)
        return False

    return test


def _compile_re2(expression: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.max_mem = REGEX_MEMORY_MAX
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        message = f"not a regular expression that RE2 accepts: {text[:200]}"
        raise OperatorRefusedError(message, hint="RE2 has no lookaround and no backreferences") from None

    def search(value: str) -> bool:
        try:
            return compiled.search(value) is not None
        except UnicodeEncodeError:  # a lone surrogate cannot be text for RE2
            return False

    return search


def _regex(argument: JsonValue) -> Test:
    """RE2 search: matches anywhere unless anchored, in time linear in the value's length."""
    expression = _text(argument)
    if len(expression) > REGEX_LENGTH_MAX:
        message = f"longer than {REGEX_LENGTH_MAX} characters"
        raise OperatorRefusedError(message)
    search = _compile_re2(expression)
    return lambda value: isinstance(value, str) and search(value)


def _wildcard(argument: JsonValue) -> Test:
    """``*`` any run of characters, ``?`` exactly one, a backslash takes the next one literally; whole string."""
    text = _text(argument)
    if len(text) > REGEX_LENGTH_MAX:
        message = f"longer than {REGEX_LENGTH_MAX} characters"
        raise OperatorRefusedError(message)
    search = _compile_re2(_wildcard_expression(text))
    return lambda value: isinstance(value, str) and search(value)


def _wildcard_expression(text: str) -> str:
    parts: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "*":
            parts.append(".*")
        elif character == "?":
            parts.append(".")
        elif character == "\\":
            literal = next(characters, None)
            if literal is None:
                message = "ends in a backslash"
                raise OperatorRefusedError(message, hint="write two backslashes for one")
            parts.append(re2.escape(literal))
        else:
            parts.append(re2.escape(character))
    return r"(?s)\A" + "".join(parts) + r"\z"


def expression_of(name: str, argument: str) -> str:
    """Return the RE2 expression that ``$regex`` or ``$wildcard`` searches for, so that many can be searched at once."""
    return _wildcard_expression(argument) if name == "$wildcard" else argument


def _cidr(argument: JsonValue) -> Test:
    """An IPv4 or IPv6 address, as text, inside one of the networks."""
    sources = [argument] if isinstance(argument, str) else _alternatives(argument)
    networks = [_network(source) for source in sources]
    spans = {version: _spans(one for one in networks if one.version == version) for version in (4, 6)}

    def test(value: JsonValue | Missing) -> bool:
        if not isinstance(value, str):
            return False
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        firsts, lasts = spans[address.version]
        index = bisect_right(firsts, int(address)) - 1
        return index >= 0 and int(address) <= lasts[index]

    return test


_LENGTH: Final = re.compile(r"\A[^/%]*(?:/(?:0|[1-9][0-9]*))?\Z")


def _network(source: JsonValue) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    text = _text(source)
    if not _LENGTH.search(text):  # Python reads netmasks, leading zeros and zones too; PostgreSQL's cidr does not
        message = f"not a network: {text[:60]!r} has a netmask, a zone, or an odd prefix length"
        raise OperatorRefusedError(message, hint="write the prefix length, like 192.0.2.0/24 or 2001:db8::/32")
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        message = f"not a network: {error}"
        raise OperatorRefusedError(message, hint="write it like 192.0.2.0/24 or 2001:db8::/32") from None


def _spans(networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> tuple[list[int], list[int]]:
    """Return the first and last addresses of these networks, sorted; what another one holds is left out."""
    firsts: list[int] = []
    lasts: list[int] = []
    for network in sorted(networks, key=lambda one: (int(one.network_address), one.prefixlen)):
        if not lasts or int(network.broadcast_address) > lasts[-1]:
            firsts.append(int(network.network_address))
            lasts.append(int(network.broadcast_address))
    return firsts, lasts


def _check_argument(value: JsonValue, depth: int = 0) -> None:
    """Refuse what is not one of our values, a binary float for instance, or is nested too deep."""
    if depth > ARGUMENT_DEPTH_MAX:
        message = f"nested deeper than {ARGUMENT_DEPTH_MAX} levels"
        raise OperatorRefusedError(message)
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, Decimal) and not value.is_finite():
        message = f"{value} is no JSON number"
        raise OperatorRefusedError(message)
    if isinstance(value, Mapping):
        for item in value.values():
            if type(item) is not str:
                _check_argument(item, depth + 1)
    elif kind_of(value) is Kind.ARRAY and isinstance(value, Sequence):
        for item in value:
            if type(item) is not str:
                _check_argument(item, depth + 1)


def _checked(build: Callable[[JsonValue], Test]) -> Callable[[JsonValue], Test]:
    """Refuse an argument that no document could hold, before the operator looks at it."""

    def checked(argument: JsonValue) -> Test:
        try:
            _check_argument(argument)
        except TypeError as error:
            raise OperatorRefusedError(str(error)) from None
        return build(argument)

    return checked


_BUILDERS: Final[Mapping[str, Callable[[JsonValue], Test]]] = {
    "$eq": _eq,
    "$ne": _ne,
    "$in": _in,
    "$nin": _nin,
    "$ieq": _ieq,
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
    "$exists": _exists,
    "$prefix": _prefix,
    "$suffix": _suffix,
    "$contains": _contains,
    "$wildcard": _wildcard,
    "$regex": _regex,
    "$cidr": _cidr,
}

OPERATORS: Final[Mapping[str, Callable[[JsonValue], Test]]] = {
    name: _checked(build) for name, build in _BUILDERS.items()
}
