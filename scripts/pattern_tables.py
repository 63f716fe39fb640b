"""The tables of docs/PATTERNS.md that are produced by running the engine.

``python -m scripts.pattern_tables`` writes them into the page; a test says when they are stale.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.domain import operators, pattern
from compliance_agent.wire import json_document, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.domain.json_value import JsonValue

PAGE: Final = Path(__file__).parents[1] / "docs" / "PATTERNS.md"

VALUES: Final[dict[str, Sequence[dict[str, JsonValue]]]] = {
    "missing": [{}, {"b": 1}],
    "`null`": [{"a": None}],
    "boolean": [{"a": True}, {"a": False}],
    "number": [{"a": 0}, {"a": 1}, {"a": 2}],
    "string": [{"a": "x"}, {"a": "y"}, {"a": "192.0.2.1"}, {"a": ""}],
    "array": [{"a": []}, {"a": ["x"]}, {"a": [1]}],
    "object": [{"a": {}}, {"a": {"x": 1}}],
}
"""Column -> documents whose field ``a`` is of that kind."""

_ANY: Final[Sequence[JsonValue]] = (None, True, 1, "x", ["x"], {"x": 1})
_ORDERINGS: Final = ("$gt", "$gte", "$lt", "$lte")
_TEXTS: Final[Sequence[JsonValue]] = ("x", "192", "1")

ROWS: Final[dict[str, Sequence[JsonValue]]] = {
    "a plain value": [None, True, 1, "x", [], {}],
    "`$eq`": [{"$eq": value} for value in _ANY],
    "`$ne`": [{"$ne": value} for value in _ANY],
    "`$in`": [{"$in": [value]} for value in _ANY],
    "`$nin`": [{"$nin": [value]} for value in _ANY],
    "`$ieq`": [{"$ieq": value} for value in _TEXTS],
    "`$gt` `$gte` `$lt` `$lte` with a number": [{name: 1} for name in _ORDERINGS],
    "`$gt` `$gte` `$lt` `$lte` with a string": [{name: "x"} for name in _ORDERINGS],
    "`$exists: true`": [{"$exists": True}],
    "`$exists: false`": [{"$exists": False}],
    "`$prefix` `$suffix`": [{name: value} for name in ("$prefix", "$suffix") for value in _TEXTS],
    "`$wildcard` `$regex`": [{name: value} for name in ("$wildcard", "$regex") for value in _TEXTS],
    "`$contains` with a string": [{"$contains": "x"}],
    "`$contains` with anything else": [{"$contains": value} for value in _ANY if value != "x"],
    "`$cidr`": [{"$cidr": "192.0.2.0/24"}, {"$cidr": ["2001:db8::/32", "192.0.2.1/32"]}],
    "`$not` of an operator but `$exists`": [{"$not": {"$eq": value}} for value in _ANY],
    "`$and` of operators but `$exists`": [{"$and": [{"$ne": 7}, {"$eq": value}]} for value in _ANY],
    "`$or` of operators but `$exists`": [{"$or": [{"$eq": 7}, {"$eq": value}]} for value in _ANY],
}
"""Row -> patterns for the field ``a``."""

BOUNDS: Final[Sequence[tuple[str, int, str]]] = (
    ("levels of nesting in a pattern", pattern.DEPTH_MAX, "levels"),
    ("levels of nesting in an operator's argument", operators.ARGUMENT_DEPTH_MAX, "levels"),
    ("clauses, keys and elements in a pattern", pattern.NODES_MAX, ""),
    ("a key of a pattern", pattern.KEY_LENGTH_MAX, "characters"),
    ("values of `$in`, `$nin` and `$cidr`", operators.ALTERNATIVES_MAX, ""),
    ("the text of `$regex` and `$wildcard`", operators.REGEX_LENGTH_MAX, "characters"),
    ("memory of a compiled `$regex` or `$wildcard`", operators.REGEX_MEMORY_MAX, "bytes"),
    ("levels of nesting in a JSON document", json_document.DEPTH_MAX, "levels"),
    ("digits of a whole number, or before the point", numbers.DIGITS_MAX, "digits"),
    ("digits behind the point, as written without an exponent", numbers.EXPONENT_MAX, "digits"),
    ("size of an exponent, either way", numbers.EXPONENT_MAX, ""),
)


def verdict(patterns: Sequence[JsonValue], documents: Sequence[dict[str, JsonValue]]) -> str:
    """Return ``match``, ``no match`` or ``depends``, as the engine answers over all of them."""
    answers = {pattern.compile_pattern({"a": one}).matches(document) for one in patterns for document in documents}
    if len(answers) > 1:
        return "depends"
    return "match" if answers == {True} else "no match"


def operator_table() -> str:
    """Return operators by kinds of values."""
    lines = [f"| | {' | '.join(VALUES)} |", "|" + " --- |" * (len(VALUES) + 1)]
    for row, patterns in ROWS.items():
        cells = " | ".join(verdict(patterns, documents) for documents in VALUES.values())
        lines.append(f"| {row} | {cells} |")
    return "\n".join(lines)


def bounds_table() -> str:
    """Return the bounds that stand in the code."""
    lines = ["| of | at most |", "| --- | --- |"]
    lines += [f"| {what} | {f'{most:,} {unit}'.strip()} |" for what, most, unit in BOUNDS]
    return "\n".join(lines)


TABLES: Final = {"operators": operator_table, "bounds": bounds_table}


def renewed(page: str) -> str:
    """Return the page with fresh tables between their ``<!-- generated: NAME -->`` and ``<!-- end -->``."""
    for name, build in TABLES.items():
        place = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        table = build()
        page, count = place.subn(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"docs/PATTERNS.md has {count} places for the table {name}, need 1")
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
