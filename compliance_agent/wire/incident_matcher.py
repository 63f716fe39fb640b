"""Incidents from bytes to matching rules, without reading what no rule looks at.

Of an incident of some twenty fields the rules ask for a handful. ``msgspec`` decodes just those, into an
object with an attribute for each, and skips the rest. Whatever is unusual (an escape that may be no
character, a very long number, no object where rules expect one) goes through ``read_json``, so answers
and refusals are the same. Two things are left unjudged in parts that no rule looks at: bounds (depth,
length of numbers) and whether bytes inside strings are UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from compliance_agent.domain.pattern_index.reading import attribute
from compliance_agent.domain.pattern_index.rows import ABSENT
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.json_document import UNUSUAL, exact_reader, is_usual, read_json
from compliance_agent.wire.numbers import DIGITS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from compliance_agent.domain.pattern_index.reading import Form
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.rule_set import RuleSet

_BACKSLASH: Final = ord("\\")


class IncidentMatcher:
    """Matches incidents, given as JSON, against one rule set. Thread-safe."""

    __slots__ = ("_decode", "_looks_inside", "_match", "_match_decoded")

    def __init__(self, rules: RuleSet) -> None:
        """Find out which fields the rules look at."""
        self._match = rules.matching
        self._looks_inside = True
        self._decode: Callable[[bytes], Any] = exact_reader(dict[str, Any])
        self._match_decoded: Callable[[Any], list[Rule]] = rules.matching
        picking = rules.indexes[0].picking() if rules.is_one_index else None
        if picking is not None:
            form, self._match_decoded = picking
            self._decode = exact_reader(_type_of(form))
            self._looks_inside = bool(rules.indexes[0].paths_with_contents)

    def matching(self, data: bytes, *, source: str) -> list[Rule]:
        """Return the rules that match one incident, in order of precedence.

        Args:
            data: A JSON object in UTF-8, without a byte order mark.
            source: Name for problems.

        Raises:
            InputError: As ``read_json``; or it is no object.

        """
        # The common case of is_usual stands here once more: the call alone would be a tenth of a match.
        plain = _BACKSLASH not in data and len(data) <= DIGITS_MAX and not self._looks_inside
        if plain or is_usual(data, nested=self._looks_inside):
            try:
                document = self._decode(data)
            except UNUSUAL:
                pass  # the reader below knows how to read it, or what is wrong with it
            else:
                return self._match_decoded(document)
        document = read_json(data, source=source)
        if not isinstance(document, dict):
            problem = InputProblem(source, "an incident is a JSON object", hint="take one from plan -o json")
            raise InputError([problem])
        return self._match(document)


def _type_of(form: Form | None) -> Any:  # noqa: ANN401 - a type made on the spot
    """Return what msgspec is to make of an object: one attribute for each field of its form."""
    if form is None:
        return Any
    fields: list[tuple[str, Any, Any]] = []
    for number, below in enumerate(form.values()):
        kind = _type_of(below)
        fields.append((attribute(number), kind, ABSENT if below is None else _blank(kind)))
    names = {attribute(number): key for number, key in enumerate(form)}
    return msgspec.defstruct(
        "Fields", fields, frozen=True, gc=False, rename=names, namespace={"blank": False}
    )


def _blank(kind: Any) -> Any:  # noqa: ANN401 - the same
    """Return what stands for an object that the document lacks: all its fields are absent."""
    return msgspec.defstruct("Blank", (), bases=(kind,), frozen=True, gc=False, namespace={"blank": True})()
