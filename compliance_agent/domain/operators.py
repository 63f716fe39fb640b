"""The operators of the pattern language that test one value.

Each builder takes the operator's argument, refuses a malformed one at load, and returns a test.
A test gets the value, or ``Missing.MISSING``; it answers, it never raises. Apart from ``$exists``,
a missing field satisfies no operator; a value of the wrong kind satisfies none but ``$ne``/``$nin``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

import re2

from compliance_agent.domain.json_value import JsonValue, Kind, equal, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

REGEX_LENGTH_MAX: Final = 1_000
"""Longest regular expression, in characters."""

REGEX_MEMORY_MAX: Final = 8 << 20
"""Memory budget of one compiled expression, in bytes (RE2's own default)."""

ALTERNATIVES_MAX: Final = 10_000
"""Most values in ``$in``, ``$nin`` or ``$cidr``."""


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
    return argument


def _eq(argument: JsonValue) -> Test:
    return lambda value: not isinstance(value, Missing) and equal(argument, value)


def _ne(argument: JsonValue) -> Test:
    return lambda value: not isinstance(value, Missing) and not equal(argument, value)


def _in(argument: JsonValue) -> Test:
    choices = _alternatives(argument)
    return lambda value: not isinstance(value, Missing) and any(equal(choice, value) for choice in choices)


def _nin(argument: JsonValue) -> Test:
    choices = _alternatives(argument)
    return lambda value: not isinstance(value, Missing) and not any(equal(choice, value) for choice in choices)


def _ieq(argument: JsonValue) -> Test:
    wanted = _text(argument).casefold()
    return lambda value: isinstance(value, str) and value.casefold() == wanted


def _ordered(accept: Callable[[int], bool]) -> Callable[[JsonValue], Test]:
    """Make an ordering operator: number with number, string with string (by code point), else no match."""

    def build(argument: JsonValue) -> Test:
        kind = kind_of(argument)
        if kind not in {Kind.NUMBER, Kind.STRING}:
            message = f"compares with a number or a string, not {kind}"
            raise OperatorRefusedError(message)

        def test(value: JsonValue | Missing) -> bool:
            if isinstance(value, Missing) or kind_of(value) is not kind:
                return False
            return accept(_compare(value, argument))

        return test

    return build


def _compare(left: JsonValue, right: JsonValue) -> int:
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
        return (left > right) - (left < right)
    message = f"not comparable: {kind_of(left)} with {kind_of(right)}"
    raise TypeError(message)


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
        message = f"not a regular expression that RE2 accepts: {text}"
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
    search = _compile_re2(r"(?s)\A" + "".join(parts) + r"\z")
    return lambda value: isinstance(value, str) and search(value)


def _cidr(argument: JsonValue) -> Test:
    """An IPv4 or IPv6 address, as text, inside one of the networks."""
    sources = [argument] if isinstance(argument, str) else list(_alternatives(argument))
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for source in sources:
        try:
            networks.append(ipaddress.ip_network(_text(source)))
        except ValueError as error:
            if isinstance(error, OperatorRefusedError):
                raise
            message = f"not a network: {error}"
            raise OperatorRefusedError(message, hint="write it like 192.0.2.0/24 or 2001:db8::/32") from None

    def test(value: JsonValue | Missing) -> bool:
        if not isinstance(value, str):
            return False
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return test


def _checked(build: Callable[[JsonValue], Test]) -> Callable[[JsonValue], Test]:
    """Refuse an argument that holds a value which is not one of ours, a binary float for instance."""

    def checked(argument: JsonValue) -> Test:
        try:
            equal(argument, argument)
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
    "$gt": _ordered(lambda order: order > 0),
    "$gte": _ordered(lambda order: order >= 0),
    "$lt": _ordered(lambda order: order < 0),
    "$lte": _ordered(lambda order: order <= 0),
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
