"""YAML as this product reads it: a strict part of YAML, exact numbers, and the place of every part.

pyyaml turns text into events; what they mean is decided here, so that nothing of YAML 1.1 surprises
a person: no duplicate keys, no anchors, aliases, merge keys or tags, one document, text keys only
(see ``yaml_scalars`` for plain scalars). All problems are reported together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.located import Located
from compliance_agent.wire.text import decode
from compliance_agent.wire.yaml_scalars import ScalarRefusedError, is_plain_text, plain_scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.json_value import JsonScalar, JsonValue
    from compliance_agent.wire.located import Path

__all__ = ["DEPTH_MAX", "SIZE_MAX_BYTES", "Located", "read_yaml", "write_yaml"]

SIZE_MAX_BYTES: Final = 1 << 20
"""Largest document."""

DEPTH_MAX: Final = 64
"""Deepest nesting of mappings and lists."""

_NON_PRINTABLE: Final = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]",
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Abort(Exception):  # noqa: N818 - control flow inside this module: reading cannot go on
    """The rest of the document cannot be read; the problem is noted already."""


def read_yaml(text: str | bytes, *, source: str) -> Located:
    """Read one YAML document.

    Args:
        text: UTF-8, with or without a byte order mark; at most ``SIZE_MAX_BYTES``.
        source: Name for problems.

    Returns:
        The value (mappings, lists, text, ``int``, ``Decimal``, ``bool``, ``None``) and its places.

    Raises:
        InputError: With every problem that could be found.

    """
    if len(text) > SIZE_MAX_BYTES:
        raise InputError([InputProblem(source, f"larger than {SIZE_MAX_BYTES:,} bytes")])
    decoded = decode(text, source=source)
    odd = _NON_PRINTABLE.search(decoded)
    if odd is not None:
        line, column = line_and_column(decoded, odd.start())
        message = f"the character U+{ord(odd.group()):04X} may not stand in a YAML file"
        hint = "remove it; inside double quotes write it as an escape"
        raise InputError([InputProblem(source, message, line=line, column=column, hint=hint)])
    reader = _Reader(decoded, source)
    value = reader.read()
    if reader.problems:
        raise InputError(reader.problems)
    return Located(value, source, reader.positions)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return 1-based line and column of a character."""
    start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - start + 1


class _Reader:
    """Turns pyyaml's events into a value; notes problems and goes on where that makes sense."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._events: Iterator[Any] = iter(())
        self.problems: list[InputProblem] = []
        self.positions: dict[Path, tuple[int, int]] = {}

    def read(self) -> JsonValue:
        self._events = yaml.parse(self._text, Loader=_Loader)
        try:
            next(self._events)  # the stream starts
            event = next(self._events)
            if not isinstance(event, yaml.DocumentStartEvent):
                self._note_empty()
                return None
            value = self._document()
            event = next(self._events)
            if not isinstance(event, yaml.StreamEndEvent):
                self._note(event, (), "more than one document", "keep one; remove the --- line and what follows")
        except _Abort:
            return None
        except yaml.MarkedYAMLError as error:
            self._note_syntax(error)
            return None
        return value

    def _document(self) -> JsonValue:
        event = next(self._events)
        if isinstance(event, yaml.ScalarEvent) and not event.value and event.implicit[0] and not event.tag:
            self._note_empty()
        value = self._node(event, (), 0)
        next(self._events)  # the document ends
        return value

    def _node(self, event: Any, path: Path, depth: int) -> JsonValue:  # noqa: ANN401 - pyyaml's events are untyped
        self.positions.setdefault(path, _place(event))
        self._refuse_extras(event, path)
        if isinstance(event, yaml.AliasEvent):
            self._note(event, path, f"the alias *{event.anchor}", "write the value out; aliases are not read")
            return None
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if depth >= DEPTH_MAX:
            self._note(event, (), f"nested deeper than {DEPTH_MAX} levels")
            raise _Abort
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path, depth)
        return self._mapping(path, depth)

    def _list(self, path: Path, depth: int) -> list[JsonValue]:
        items: list[JsonValue] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, JsonValue]:
        table: dict[str, JsonValue] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path, depth)
            inner = (*path, key)
            if key in lines:
                self._note(
                    event, inner, f"the key {key!r} stands twice, first in line {lines[key]}", "keep one of the two"
                )
            lines.setdefault(key, _place(event)[0])
            self.positions.setdefault(inner, _place(event))
            table[key] = self._node(next(self._events), inner, depth + 1)
        return table

    def _key(self, event: Any, path: Path, depth: int) -> str:  # noqa: ANN401 - pyyaml's events are untyped
        if not isinstance(event, yaml.ScalarEvent):
            self._note(event, path, "a key that is no text", "write the key as text")
            self._node(event, (*path, "?"), depth + 1)
            return "?"
        if event.value == "<<" and event.implicit[0]:
            self._note(event, path, "the merge key <<", "write the keys out; merging is not read")
            return "<<"
        self._refuse_extras(event, path)
        noted = len(self.problems)
        key = self._scalar(event, path)
        if isinstance(key, str):
            return key
        if len(self.problems) == noted:
            self._note(event, path, f"the key {event.value or '(empty)'} is no text", f'quote it: "{event.value}"')
        return str(event.value)

    def _scalar(self, event: Any, path: Path) -> JsonScalar:  # noqa: ANN401 - pyyaml's events are untyped
        text: str = event.value
        if event.implicit[0] and not event.style:
            try:
                return plain_scalar(text)
            except ScalarRefusedError as refused:
                self._note(event, path, refused.message, refused.hint)
                return None
        if "\0" in text or _SURROGATE.search(text):
            self._note(event, path, "text with a NUL character or half a surrogate pair", "remove that escape")
        return text

    def _refuse_extras(self, event: Any, path: Path) -> None:  # noqa: ANN401 - pyyaml's events are untyped
        if isinstance(event, yaml.AliasEvent):
            return
        if event.anchor:
            self._note(event, path, f"the anchor &{event.anchor}", "remove it; anchors and aliases are not read")
        if event.tag:
            self._note(event, path, f"the tag {event.tag}", "remove it; quote the value if it is text")

    def _note(self, event: Any, path: Path, message: str, hint: str = "") -> None:  # noqa: ANN401 - as above
        line, column = _place(event)
        placed = Located(None, self._source, {path: (line, column)})
        self.problems.append(placed.problem(path, message, hint))

    def _note_empty(self) -> None:
        self.problems.append(InputProblem(self._source, "holds no document", hint="the file is empty or all comment"))
        raise _Abort

    def _note_syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        lines = self._text.split("\n")
        row = lines[line] if line < len(lines) else ""
        if "\t" in row[: column + 1] and not row[:column].strip():
            message, hint = "a tab where YAML wants spaces", "indent with spaces"
        else:
            detail = " ".join(str(part) for part in (error.context, error.problem) if part)
            message = f"not YAML: {detail or 'it cannot be read'}"
            hint = "check indentation and quotes; text that holds ': ', ' #' or starts with a sign needs quotes"
        self.problems.append(InputProblem(self._source, message, line=line + 1, column=column + 1, hint=hint))


def _place(event: Any) -> tuple[int, int]:  # noqa: ANN401 - pyyaml's events are untyped
    return event.start_mark.line + 1, event.start_mark.column + 1


class _Dumper(yaml.SafeDumper):
    """Writes what ``read_yaml`` reads back: quotes all that is not plainly text, and no aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - pyyaml's signature
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if is_plain_text(text) and text.isprintable() else '"'  # quoted, line breaks are escapes
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(value: JsonValue) -> str:
    """Return a document that ``read_yaml`` reads back as the same value. No decimals; keys keep their order."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1 << 30
    )
    return text
