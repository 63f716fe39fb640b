"""Where commands write: results on standard output, progress and logs on standard error."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import click

from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rich.console import Console

    from compliance_agent.domain.json_value import JsonValue

TABLE_WIDTH_DEFAULT = 120
"""Columns of a table when standard output is no terminal."""


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"


def format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-o table|json|ndjson`` to a command; it arrives as ``output: str``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice([one.value for one in Format]),
        default=Format.TABLE.value,
        show_default=True,
        help="table for people, json or ndjson for programs.",
    )(function)


def out_console() -> Console:
    """Return the console on standard output: colours only on a terminal, none where NO_COLOR is set."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else TABLE_WIDTH_DEFAULT
    return Console(width=width, highlight=False, soft_wrap=False)


def err_console() -> Console:
    """Return the console on standard error, for progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(document: Mapping[str, JsonValue]) -> None:
    """Write one JSON document and a newline to standard output."""
    click.echo(write_json(document))


def print_ndjson(rows: Iterable[Mapping[str, JsonValue]]) -> None:
    """Write one JSON document a line to standard output."""
    for row in rows:
        click.echo(write_json(row))


def size(number_of_bytes: int) -> str:
    """Return a size for people: ``512 bytes``, ``38.0 KB``, ``1.2 MB``."""
    for unit, factor in (("MB", 1_000_000), ("KB", 1_000)):
        if number_of_bytes >= factor:
            return f"{number_of_bytes / factor:,.1f} {unit}"
    return plural(number_of_bytes, "byte")


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return ``1 check`` or ``3 checks``."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"
