"""Incidents from bytes to matching rules, without reading what no rule looks at.

Of an incident of some twenty fields the rules ask for a handful. ``msgspec`` decodes just those, into an
object with an attribute for each, and skips the rest. Whatever is unusual (an escape that may be no
character, a very long number, no object where rules expect one) goes through ``read_json``, so answers
and refusals are the same. Two things are left unjudged in parts that no rule looks at: bounds (depth,
length of numbers) and whether bytes inside strings are UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from compliance_agent.domain.pattern_index.reading import attribute
from compliance_agent.domain.pattern_index.rows import ABSENT
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.json_document import UNUSUAL, exact_reader, is_usual, read_json
from compliance_agent.wire.numbers import DIGITS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from compliance_agent.domain.pattern_index.reading import Form
    from compliance_agent.domain.pattern_index.rows import Path
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.rule_set import RuleSet

_BACKSLASH: Final = ord("\\")


class Matching(Protocol):
    """See ``IncidentMatcher``."""

    def __call__(self, data: bytes, *, source: str) -> list[Rule]:
        """Return the rules that match one incident."""
        ...


_ORDERED: Final = float | int | str | bool | list | dict | None
"""Any JSON value; a number with a point or exponent becomes the ``float`` next to it, which takes half the time."""


class IncidentMatcher:
    """Matches incidents, given as JSON, against one rule set. Thread-safe.

    Attributes:
        matching: Takes one incident, a JSON object in UTF-8 without a byte order mark, and the keyword
            ``source``, its name for problems; returns the rules that match, in order of precedence. Raises
            ``InputError`` as ``read_json`` does, or because it is no object.

    """

    __slots__ = ("matching",)

    def __init__(self, rules: RuleSet) -> None:
        """Find out which fields the rules look at."""
        picking = rules.indexes[0].picking() if rules.is_one_index else None
        if picking is None:
            read_whole = exact_reader(dict[str, Any])
            self.matching = _matching(rules, read_whole, rules.matching, looks_inside=True)
        else:
            form, answer = picking
            index = rules.indexes[0]
            read = exact_reader(_type_of(form, (), index.paths_of_order))
            self.matching = _matching(rules, read, answer, looks_inside=bool(index.paths_with_contents))


def _matching(
    rules: RuleSet, read: Callable[[bytes], Any], answer: Callable[[Any], list[Rule]], *, looks_inside: bool
) -> Matching:
    """Return what matches. A function of its own: no attribute is looked up for each incident."""

    def matching(data: bytes, *, source: str) -> list[Rule]:
        # The common case of is_usual stands here once more: the call alone would be a tenth of a match.
        plain = _BACKSLASH not in data and len(data) <= DIGITS_MAX and not looks_inside
        if plain or is_usual(data, nested=looks_inside):
            try:
                return answer(read(data))
            except UNUSUAL:
                pass  # the reader below knows how to read it, or what is wrong with it
        document = read_json(data, source=source)
        if not isinstance(document, dict):
            problem = InputProblem(source, "an incident is a JSON object", hint="take one from plan -o json")
            raise InputError([problem])
        return rules.matching(document)

    return matching


def _type_of(form: Form | None, path: Path, ordered: Collection[Path]) -> Any:  # noqa: ANN401 - made on the spot
    """Return what msgspec is to make of an object: one attribute for each field of its form."""
    if form is None:
        return _ORDERED if path in ordered else Any
    fields: list[tuple[str, Any, Any]] = []
    for number, (key, below) in enumerate(form.items()):
        kind = _type_of(below, (*path, key), ordered)
        fields.append((attribute(number), kind, ABSENT if below is None else _blank(kind)))
    names = {attribute(number): key for number, key in enumerate(form)}
    return msgspec.defstruct("Fields", fields, frozen=True, gc=False, rename=names, namespace={"blank": False})


def _blank(kind: Any) -> Any:  # noqa: ANN401 - the same
    """Return what stands for an object that the document lacks: all its fields are absent."""
    return msgspec.defstruct("Blank", (), bases=(kind,), frozen=True, gc=False, namespace={"blank": True})()
