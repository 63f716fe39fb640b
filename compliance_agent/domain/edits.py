"""Changes of a JSON document as data: what to set, remove or add, what that costs, and how it is said.

Paths name keys of nested objects only: an array is replaced as a whole, or gets an element more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.json_value import Kind, equal, kind_of
from compliance_agent.domain.pattern_nodes import MISSING, join_path, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from compliance_agent.domain.json_value import JsonValue

IDENTITY_COST: Final = 100
"""Cost of changing a field that says which incident this is: a last resort."""

SUBJECT_COST: Final = 10
"""Cost of changing a field that says what the incident is about."""

COST_OF_FIELD: Final[Mapping[str, int]] = {
    **dict.fromkeys(("schema", "incident_id", "site_id", "target_id", "hostname", "detected_at"), IDENTITY_COST),
    **dict.fromkeys(("check_id", "incident_type", "platform", "distro", "status"), SUBJECT_COST),
}
"""Cost of one change by the field of the document that it is in; ``1`` for every other one (facts, severity)."""


def is_subject(key: str) -> bool:
    """Tell whether a field at the top of an incident says what it is about."""
    return COST_OF_FIELD.get(key) == SUBJECT_COST


class EditKind(StrEnum):
    """What an edit does."""

    SET = "set"
    """The field has this value (it is made where there was none)."""
    REMOVE = "remove"
    """The field is not there."""
    ADD = "add"
    """The array there holds this element too, at its end."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a document.

    Attributes:
        path: Keys from the document's root; all but the last are objects that are there.
        kind: What is done.
        value: What is set or added; ``None`` for ``remove``.
        example: True when other values would do as well, so that ``value`` only stands for them.

    """

    path: tuple[str, ...]
    kind: EditKind
    value: JsonValue = None
    example: bool = False

    @property
    def place(self) -> str:
        """Return the path for people, like ``facts.score``."""
        text = ""
        for key in self.path:
            text = join_path(text, key)
        return text

    @property
    def cost(self) -> int:
        """Return what the change costs: more where an incident cannot reasonably be another."""
        return COST_OF_FIELD.get(self.path[0], 1) if self.path else 1

    def in_words(self, document: Mapping[str, JsonValue]) -> str:
        """Return the change as the end of "would match if": ``facts.score were 4``."""
        if self.kind is EditKind.REMOVE:
            return f"{self.place} were not there"
        if self.kind is EditKind.ADD:
            return f"{self.place} also held {show(self.value)}"
        if not self.example:
            return f"{self.place} were {show(self.value)}"
        what = "something else" if _stands(document, self.path) else "there"
        return f"{self.place} were {what}, for example {show(self.value)}"


def apply(document: Mapping[str, JsonValue], edits: Iterable[Edit]) -> dict[str, JsonValue]:
    """Return a copy of the document with the edits made; the document itself stays as it is.

    Raises:
        ValueError: An edit's path leads through something that is no object, or it adds to no array.

    """
    edited: Any = dict(document)
    for edit in edits:
        edited = _apply(edited, edit.path, edit)
    return dict(edited)


def difference(old: JsonValue, new: JsonValue, path: tuple[str, ...] = ()) -> Iterator[Edit]:
    """Yield the edits that turn one value into another; none is inside another.

    Parts that both share (the same object in memory) cost nothing to compare.
    """
    if old is new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _difference_of_objects(old, new, path)
    elif _extends(old, new):
        assert isinstance(old, Sequence)  # noqa: S101 - narrows the types for mypy; _extends said so
        assert isinstance(new, Sequence)  # noqa: S101 - the same
        for element in new[len(old) :]:
            yield Edit(path, EditKind.ADD, element)
    elif not equal(old, new):
        yield Edit(path, EditKind.SET, new)


def _difference_of_objects(
    old: Mapping[str, JsonValue], new: Mapping[str, JsonValue], path: tuple[str, ...]
) -> Iterator[Edit]:
    # Of a wide object nearly all is shared: that much is passed over at once.
    for key in [key for key, value in new.items() if old.get(key, MISSING) is not value]:
        if key in old:
            yield from difference(old[key], new[key], (*path, key))
        else:
            yield Edit((*path, key), EditKind.SET, new[key])
    if len(new) < len(old) or not old.keys() <= new.keys():
        yield from (Edit((*path, key), EditKind.REMOVE) for key in old if key not in new)


def _extends(old: JsonValue, new: JsonValue) -> bool:
    """Tell whether an array is another one with elements added at its end."""
    if kind_of(old) is not Kind.ARRAY or kind_of(new) is not Kind.ARRAY:
        return False
    assert isinstance(old, Sequence)  # noqa: S101 - narrows the types for mypy; kind_of said so
    assert isinstance(new, Sequence)  # noqa: S101 - the same
    if len(new) <= len(old):
        return False
    return all(mine is theirs or equal(mine, theirs) for mine, theirs in zip(old, new, strict=False))


def _apply(value: Any, path: tuple[str, ...], edit: Edit) -> Any:  # noqa: ANN401 - any part of a document
    if not path:
        if edit.kind is not EditKind.ADD:
            return edit.value
        if not isinstance(value, Sequence) or isinstance(value, str):
            message = f"{edit.place} is no array that could get an element"
            raise ValueError(message)
        return [*value, edit.value]
    if not isinstance(value, Mapping):
        message = f"{edit.place} leads through something that is no object"
        raise ValueError(message)  # noqa: TRY004 - the edit does not fit the document; no argument has a wrong type
    copied = dict(value)
    if edit.kind is EditKind.REMOVE and len(path) == 1:
        copied.pop(path[0], None)
    else:
        copied[path[0]] = _apply(copied.get(path[0]), path[1:], edit)
    return copied


def _stands(document: Mapping[str, JsonValue], path: tuple[str, ...]) -> bool:
    value: Any = document
    for key in path:
        value = value.get(key, MISSING) if isinstance(value, Mapping) else MISSING
    return value is not MISSING
