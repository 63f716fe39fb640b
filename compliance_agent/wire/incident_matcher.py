"""Incidents from bytes to matching rules, without reading what no rule looks at.

Of an incident of some twenty fields the rules ask for a handful. ``msgspec`` decodes just those and
skips the rest, which takes less than half the time of reading everything. Whatever is unusual (an
escape that may be no character, a very long number, an object where none is expected) goes through
``read_json``, so answers and refusals are the same. Two things are left unjudged in parts that no rule
looks at: bounds (depth, length of numbers) and whether bytes inside strings are UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict

import msgspec

from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.json_document import UNUSUAL, exact_reader, is_usual, read_json
from compliance_agent.wire.numbers import DIGITS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.rule_set import RuleSet

_BACKSLASH: Final = ord("\\")

FIELDS_MAX: Final = 32
"""Most fields of one object that are picked out one by one; with more of them the whole object is read."""


class IncidentMatcher:
    """Matches incidents, given as JSON, against one rule set. Thread-safe."""

    def __init__(self, rules: RuleSet) -> None:
        """Find out which fields the rules look at."""
        indexes = rules.indexes
        self._match = indexes[0].matching if rules.is_one_index else rules.matching
        paths = {path for index in indexes for path in index.paths}
        self._looks_inside = any(index.paths_with_contents for index in indexes)
        at_once = {path for index in indexes for path in index.paths_at_once}
        self._thaw: Callable[[str, object], object] | None = None
        if () in paths:
            self._decode: Callable[[bytes], Any] = exact_reader(dict[str, Any])
            return
        tree = _tree(paths)
        later = [key for key, below in tree.items() if below and (key,) not in at_once]
        later = later if len(tree) <= FIELDS_MAX else []
        if later:
            decoders = {key: _decoder(tree[key] or {}) for key in later}
            self._thaw = lambda key, raw: decoders[key](raw)
        self._decode = _decoder(tree, raw=later)

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
                return self._match(self._decode(data), self._thaw)
            except UNUSUAL:
                pass  # the reader below knows how to read it, or what is wrong with it
        document = read_json(data, source=source)
        if not isinstance(document, dict):
            problem = InputProblem(source, "an incident is a JSON object", hint="take one from plan -o json")
            raise InputError([problem])
        return self._match(document)


_Tree: TypeAlias = "dict[str, _Tree | None]"
"""Fields to be read; ``None`` below a field means all of it."""


def _tree(paths: Iterable[tuple[str, ...]]) -> _Tree:
    """Return the fields as a tree, where what is read whole has nothing more below it."""
    tree: _Tree = {}
    for path in sorted(paths, key=len):
        place: _Tree | None = tree
        for key in path[:-1]:
            if place is not None:
                place = place.setdefault(key, {})
        if place is not None:
            place[path[-1]] = None
    return tree


def _decoder(tree: _Tree, *, raw: Collection[str] = ()) -> Callable[[Any], Any]:
    return exact_reader(_type_of(tree, raw))


def _type_of(tree: _Tree | None, raw: Collection[str] = ()) -> Any:  # noqa: ANN401 - a type made on the spot
    if tree is None:
        return Any
    if len(tree) > FIELDS_MAX:
        return dict[str, Any]
    fields = {key: msgspec.Raw if key in raw else _type_of(below) for key, below in tree.items()}
    return TypedDict("Fields", fields, total=False)  # type: ignore[operator]  # mypy knows literal ones only
