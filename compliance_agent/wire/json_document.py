"""JSON as this product reads and writes it: exact numbers, real text, bounded depth.

What is refused here is what PostgreSQL's ``jsonb`` refuses too (NUL, half surrogate pairs,
``NaN``), so that a document means the same on the appliance and in the control plane.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow, Rounded, Subnormal, Underflow
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec

from compliance_agent.domain.json_value import Kind, kind_of
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.numbers import DIGITS_MAX, NumberRefusedError, exact_decimal, exact_integer
from compliance_agent.wire.text import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from compliance_agent.domain.json_value import JsonValue

Item = TypeVar("Item")

DEPTH_MAX: Final = 200
"""Deepest nesting of objects and arrays; deeper ones could exhaust the stack when compared."""

_BACKSLASH: Final = ord("\\")
NUL_ESCAPE: Final = b"\\u0000"
"""The one escape that ``msgspec`` takes for a character and we do not."""

_LONG_NUMBER: Final = re.compile(rb"[0-9]{%d}" % (DIGITS_MAX + 1))
_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]|[^\s"\[\]{},:]+', re.DOTALL)
_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_ODD_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)


class _LiteralRefusedError(ValueError):
    """A number that cannot be read; carries its text so that its place can be found."""

    def __init__(self, literal: str, message: str) -> None:
        super().__init__(message)
        self.literal = literal


def read_json(text: str | bytes, *, source: str) -> JsonValue:
    """Read one JSON document. Of a key that stands twice the last value counts, as in ``jsonb``.

    Args:
        text: UTF-8, with or without a byte order mark.
        source: Name for problems.

    Raises:
        InputError: It is not JSON, nested too deep, holds a number beyond the bounds, ``NaN``,
            ``Infinity``, a NUL character or half a surrogate pair. Names line and column.

    """
    if is_usual(text, nested=False):
        try:
            usual: JsonValue = _READ_USUAL(text)
        except UNUSUAL:
            pass  # what follows knows how to read it, or what is wrong with it
        else:
            if not _may_be_deep(text):
                return usual
    decoded = decode(text, source=source)
    if decoded.count("{") + decoded.count("[") > DEPTH_MAX:
        _refuse_depth(decoded, source)
    if isinstance(text, str) and (half := _SURROGATE.search(decoded)):
        _refuse(source, decoded, half.start(), "half a surrogate pair is no text")
    try:
        value: JsonValue = _DECODER.decode(decoded)
    except json.JSONDecodeError as error:
        problem = InputProblem(source, f"not JSON: {error.msg}", line=error.lineno, column=error.colno)
        raise InputError([problem]) from None
    except _LiteralRefusedError as error:
        _refuse(source, decoded, _offset_of(decoded, error.literal), str(error))
    if _ODD_ESCAPE.search(decoded):
        _refuse_escapes(decoded, source)
    return value


def is_usual(text: str | bytes, *, nested: bool = True) -> bool:
    """Tell whether ``msgspec`` reads a text as ``read_json`` says, or raises one of ``UNUSUAL``.

    It does unless the text has the escape of a NUL, or numbers or nesting beyond the bounds.

    Args:
        text: JSON, as far as is known.
        nested: Whether depth matters.

    """
    if isinstance(text, bytes):
        if _BACKSLASH in text and text.rfind(NUL_ESCAPE) >= 0:  # from behind it takes half the time
            return False
        if len(text) > DIGITS_MAX and _LONG_NUMBER.search(text):
            return False
        return not nested or text.count(b"{") + text.count(b"[") <= DEPTH_MAX
    return False


def _may_be_deep(data: str | bytes) -> bool:
    """Tell whether JSON may be nested too deep: of its brackets alone the innermost pairs go, time and again.

    The reader below counts levels exactly; it is slower, and only asked where this takes too long.
    """
    assert isinstance(data, bytes)  # noqa: S101 - of text nothing is usual
    if data.count(b"{") + data.count(b"[") <= DEPTH_MAX:
        return False
    outside = _STRING.sub(b"", data) if _BACKSLASH in data else b"".join(data.split(b'"')[::2])
    brackets = outside.translate(_ALL_SQUARE, _NO_BRACKETS)
    left = _PASSES_MAX * len(data)
    for _ in range(DEPTH_MAX):
        left -= len(brackets)
        if not brackets or left < 0:
            break
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_PASSES_MAX: Final = 8
_ALL_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"[]{}")))


def exact_reader(form: Any = Any) -> Callable[[str | bytes], Any]:  # noqa: ANN401 - any type msgspec knows
    """Return msgspec's reader for a form, with exact numbers; for texts that are ``is_usual``."""
    return msgspec.json.Decoder(form, float_hook=_EXACTLY).decode


UNUSUAL: Final = (msgspec.MsgspecError, ArithmeticError, UnicodeError, RecursionError)
"""What ``exact_reader`` raises; the text must then go through ``read_json``."""

_EXACTLY: Final = Context(
    prec=1_000,
    Emin=-5_000,
    Emax=5_000,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Rounded, Subnormal, Underflow],
).create_decimal
"""Reads a decimal number exactly or raises; its bounds lie well inside those of ``read_json``."""

_READ_USUAL: Final = exact_reader()


def read_ndjson(lines: Iterable[bytes], *, source: str) -> Iterator[tuple[int, dict[str, JsonValue]]]:
    """Read one JSON object a line, lazily.

    Yields:
        The 0-based number of the line (every line counts, blank ones are skipped) and its object.

    Raises:
        InputError: A line is no JSON object; names the 1-based line.

    """

    def read(line: bytes) -> dict[str, JsonValue]:
        value = read_json(line, source=source)
        if not isinstance(value, dict):
            raise InputError([not_an_object(value, source)])
        return value

    return each_of_ndjson(lines, read)


def each_of_ndjson(lines: Iterable[bytes], read: Callable[[bytes], Item]) -> Iterator[tuple[int, Item]]:
    """Read each line by a function that takes bytes, and raises as ``read_json`` does; otherwise as ``read_ndjson``."""
    for number, line in enumerate(lines):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        stripped = text.strip()
        if not stripped:
            continue
        try:
            value = read(stripped)
        except InputError as error:
            before = text.index(stripped[:1])
            problems = [
                dataclasses.replace(problem, line=number + 1, column=problem.column + before)
                for problem in error.problems
            ]
            raise InputError(problems) from None
        yield number, value


def not_an_object(value: JsonValue, source: str) -> InputProblem:
    """Return what is wrong with a line that holds another value."""
    message = f"a line must hold a JSON object, this is {kind_of(value)}"
    return InputProblem(source, message, line=1, column=1)


def write_json(value: JsonValue) -> str:
    """Return compact ASCII JSON; numbers are written exactly, keys in their order.

    Raises:
        TypeError: The value holds something that is no JSON value of this product, a binary
            float or a dataclass for instance, or a key that is no text.
        ValueError: A decimal is not finite.

    """
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def _write(value: JsonValue, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring_ascii(value))
    elif value is None or isinstance(value, bool):
        parts.append("null" if value is None else str(value).lower())
    elif isinstance(value, int | Decimal):
        if isinstance(value, Decimal) and not value.is_finite():
            message = f"{value} cannot be written as JSON"
            raise ValueError(message)
        parts.append(str(value))
    elif isinstance(value, Mapping):
        _write_object(value, parts)
    elif kind_of(value) is Kind.ARRAY:
        _write_array(value, parts)


def _write_object(value: Mapping[str, JsonValue], parts: list[str]) -> None:
    opener = "{"
    for key, item in value.items():
        parts.append(f"{opener}{encode_basestring_ascii(key)}:")  # refuses a key that is no text
        _write(item, parts)
        opener = ","
    parts.append("}" if value else "{}")


def _write_array(value: Sequence[JsonValue], parts: list[str]) -> None:
    opener = "["
    for item in value:
        parts.append(opener)
        _write(item, parts)
        opener = ","
    parts.append("]" if value else "[]")


def _integer(literal: str) -> int:
    try:
        return exact_integer(literal)
    except NumberRefusedError as refused:
        raise _LiteralRefusedError(literal, str(refused)) from refused


def _decimal(literal: str) -> Decimal:
    try:
        return exact_decimal(literal)
    except NumberRefusedError as refused:
        raise _LiteralRefusedError(literal, str(refused)) from refused


def _constant(literal: str) -> NoReturn:
    message = f"{literal} is no JSON number"
    raise _LiteralRefusedError(literal, message)


_DECODER: Final = json.JSONDecoder(parse_int=_integer, parse_float=_decimal, parse_constant=_constant)


def _refuse(source: str, text: str, offset: int, message: str) -> NoReturn:
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    raise InputError([InputProblem(source, message, line=line, column=column)])


def _offset_of(text: str, literal: str) -> int:
    return next((found.start() for found in _TOKEN.finditer(text) if found.group() == literal), 0)


def _refuse_depth(text: str, source: str) -> None:
    depth = 0
    for found in _BRACKET.finditer(text):
        token = found.group()
        if token in {"{", "["}:
            depth += 1
            if depth > DEPTH_MAX:
                _refuse(source, text, found.start(), f"nested deeper than {DEPTH_MAX} levels")
        elif token in {"}", "]"}:
            depth -= 1


def _refuse_escapes(text: str, source: str) -> None:
    """Refuse escapes that are no character: NUL, and a surrogate without its other half."""
    open_end = -1
    open_start = 0
    for found in _ESCAPE.finditer(text):
        code = int(found[1], 16) if found[1] else 0x20
        if code == 0:
            _refuse(source, text, found.start(), "a NUL character (\\u0000) cannot be stored as text")
        closes = code in _LOW and open_end == found.start()
        if open_end >= 0 and not closes:
            _refuse(source, text, open_start, "half a surrogate pair is no text")
        if code in _LOW and not closes:
            _refuse(source, text, found.start(), "half a surrogate pair is no text")
        open_end = found.end() if code in _HIGH else -1
        open_start = found.start()
    if open_end >= 0:
        _refuse(source, text, open_start, "half a surrogate pair is no text")
