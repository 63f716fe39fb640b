"""Incidents from bytes to matching rules, without reading what no rule looks at.

Of an incident of some twenty fields the rules ask for a handful. ``msgspec`` decodes just those, into an
object with an attribute for each, and skips the rest. Whatever is unusual (an escape that may be no
character, a very long number, no object where rules expect one) goes through ``read_json``, so answers
and refusals are the same. Two things are left unjudged in parts that no rule looks at: bounds (depth,
length of numbers) and whether bytes inside strings are UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec

from compliance_agent.domain.pattern_index.reading import attribute
from compliance_agent.domain.pattern_index.rows import ABSENT
from compliance_agent.errors import InputError
from compliance_agent.wire.json_document import NUL_ESCAPE, UNUSUAL, exact_reader, is_usual, not_an_object, read_json
from compliance_agent.wire.numbers import DIGITS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_index.index import Picking
    from compliance_agent.domain.pattern_index.reading import Form
    from compliance_agent.domain.pattern_index.rows import Path

_BACKSLASH: Final = ord("\\")


_ORDERED: Final = float | int | str | bool | list | dict | None
"""Any JSON value; a number with a point or exponent becomes the ``float`` next to it, which takes half the time."""

Item = TypeVar("Item")


class Rules(Protocol[Item]):
    """What incidents are matched against: a ``RuleSet`` or a ``PatternIndex``."""

    @property
    def matching(self) -> Callable[[Mapping[str, JsonValue]], list[Item]]:
        """Return what takes an incident and returns what matches, in order of precedence."""
        ...

    def picking(self) -> Picking[Item] | None:
        """Return how incidents of picked fields are answered, if they are."""
        ...


class IncidentMatcher(Generic[Item]):
    """Matches incidents, given as JSON, against rules. Thread-safe.

    Attributes:
        matching: Takes one incident, a JSON object in UTF-8 without a byte order mark; returns the rules that
            match, in order of precedence. Raises ``InputError`` as ``read_json`` does, or because it is no object.

    """

    __slots__ = ("matching",)

    def __init__(self, rules: Rules[Item], *, source: str) -> None:
        """Find out which fields the rules look at.

        Args:
            rules: The rules.
            source: Where the incidents come from, for problems.

        """
        self.matching: Callable[[bytes], list[Item]] = _matching(rules, source)


def _matching(rules: Rules[Item], source: str) -> Callable[[bytes], list[Item]]:
    """Return what matches. Functions of their own: no attribute is looked up for each incident."""
    match = rules.matching

    def matching_whole(data: bytes) -> list[Item]:
        document = read_json(data, source=source)
        if not isinstance(document, dict):
            raise InputError([not_an_object(document, source)])
        return match(document)

    picking = rules.picking()
    if picking is None:
        return matching_whole
    run, root, answer, looks_inside = picking.run, picking.root, picking.answer, picking.looks_inside
    read = exact_reader(_type_of(picking.form, (), picking))

    def matching(data: bytes) -> list[Item]:
        # The common case of is_usual stands here once more: the call alone would be a tenth of a match.
        plain = len(data) <= DIGITS_MAX and not looks_inside and (_BACKSLASH not in data or data.rfind(NUL_ESCAPE) < 0)
        if plain or is_usual(data, nested=looks_inside):
            ranks: list[int] = []
            try:
                run(root, read(data), ranks)
            except UNUSUAL:
                pass  # reading it whole tells how to take it, or what is wrong with it
            else:
                return answer(ranks) if ranks else []
        return matching_whole(data)

    return matching


def _type_of(form: Form | None, path: Path, picking: Picking[Any]) -> Any:  # noqa: ANN401 - made on the spot
    """Return what msgspec is to make of an object: one attribute for each field of its form."""
    if form is None:
        if path in picking.bare:
            return msgspec.Raw  # never None, not even for null
        if path in picking.inexact_below:
            return dict[str, _ORDERED]  # type: ignore[valid-type]  # mypy takes a union for no type here
        return _ORDERED if path in picking.inexact else Any
    fields: list[tuple[str, Any, Any]] = []
    for number, (key, below) in enumerate(form.items()):
        kind = _type_of(below, (*path, key), picking)
        lacking = None if kind is msgspec.Raw else ABSENT
        fields.append((attribute(number), kind, lacking if below is None else _blank(kind)))
    names = {attribute(number): key for number, key in enumerate(form)}
    return msgspec.defstruct("Fields", fields, frozen=True, gc=False, rename=names, namespace={"blank": False})


def _blank(kind: Any) -> Any:  # noqa: ANN401 - the same
    """Return what stands for an object that the document lacks: all its fields are absent."""
    return msgspec.defstruct("Blank", (), bases=(kind,), frozen=True, gc=False, namespace={"blank": True})()
