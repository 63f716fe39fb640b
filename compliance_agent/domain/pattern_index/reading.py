"""How generated functions reach the places of a document: in dicts, or in objects of picked fields.

``Parsed`` is a document as ``read_json`` gives it: dicts in dicts. ``Picked`` is what a decoder makes that
reads only the fields of a ``Form``: an object with an attribute for each, ``ABSENT`` where the document
has none. Of a field of which is only asked whether it is there the attribute is ``None`` where it is not, which
takes less to find out. An object in it that the document lacks is a ``blank`` one: its own attributes are all absent.
A number that is only compared by order may be the ``float`` next to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from compliance_agent.domain.pattern_index.rows import ABSENT
from compliance_agent.domain.pattern_index.tree import NO_BOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from compliance_agent.domain.pattern_index.rows import Path
    from compliance_agent.domain.pattern_index.tree import Box

Form: TypeAlias = "dict[str, Form | None]"
"""The fields to pick from an object, in the order of their attributes; ``None``: as it stands, whatever it is."""

FIELDS_MAX: Final = 32
"""Most fields of one object that are picked out one by one; with more of them the object is read as it stands."""


def form_of(paths: Iterable[Path]) -> Form | None:
    """Return the form that holds all these places; ``None`` if only the whole document does."""
    form: Form = {}
    for path in sorted(paths, key=lambda path: (len(path), path)):
        if not path:
            return None
        place: Form | None = form
        for key in path[:-1]:
            if place is not None:
                place = place.setdefault(key, {})
        if place is not None:
            place[path[-1]] = None
    return _narrow(form)


def _narrow(form: Form) -> Form | None:
    if len(form) > FIELDS_MAX:
        return None
    return {key: _narrow(below) if below is not None else None for key, below in form.items()}


def attribute(number: int) -> str:
    """Return the name of the attribute that holds the field of this number in its object's form."""
    return f"f{number}"


def as_box(value: object) -> Box:
    """Return an object to take fields from: the value if it is one."""
    return value if isinstance(value, Mapping) else NO_BOX


def field_of(box: Any, key: str) -> object:  # noqa: ANN401 - a dict or a picked object
    """Return a field of an object in a parsed document, or ``ABSENT``."""
    return box.get(key, ABSENT)


class Reading(Protocol):
    """What documents of one kind are like.

    Attributes:
        name: The attribute of ``Shape`` that holds the functions for this kind.
        has_floats: Whether numbers that are compared by order alone may have been read as ``float``.

    """

    name: str
    has_floats: bool

    def step(self, path: Path) -> str | None:
        """Return the attribute by which the last key of a path is reached; ``None`` if it is a key of a dict."""
        ...

    def is_object(self, path: Path) -> bool:
        """Tell whether an object of picked fields stands at a path."""
        ...

    def is_bare(self, path: Path) -> bool:
        """Tell whether of a field is only known whether it is there: its attribute is ``None`` where it is not."""
        ...


class Parsed:
    """Dicts in dicts."""

    name = "parsed"
    has_floats = False

    def step(self, path: Path) -> str | None:  # noqa: ARG002 - all are keys
        """Return ``None``."""
        return None

    def is_object(self, path: Path) -> bool:  # noqa: ARG002 - none is
        """Return ``False``."""
        return False

    def is_bare(self, path: Path) -> bool:  # noqa: ARG002 - none is
        """Return ``False``."""
        return False


class Picked:
    """Objects of picked fields; below what was read as it stands, dicts in dicts."""

    name = "picked"
    has_floats = True

    def __init__(self, form: Form, bare: frozenset[Path]) -> None:
        """Number the fields of a form; of the ``bare`` ones is only asked whether they are there."""
        self._bare = bare
        self._steps: dict[Path, str] = {}
        self._objects: set[Path] = {()}
        self._number(form, ())

    def _number(self, form: Form, path: Path) -> None:
        for number, (key, below) in enumerate(form.items()):
            self._steps[*path, key] = attribute(number)
            if below is not None:
                self._objects.add((*path, key))
                self._number(below, (*path, key))

    def step(self, path: Path) -> str | None:
        """Return the attribute of a field."""
        return self._steps.get(path)

    def is_object(self, path: Path) -> bool:
        """Tell whether the form has fields below a path."""
        return path in self._objects

    def is_bare(self, path: Path) -> bool:
        """Tell whether the attribute at a path only says that something is there."""
        return path in self._bare and path in self._steps and path not in self._objects


def reader(reading: Reading, path: Path) -> Callable[[Any], object]:
    """Return a function that takes a document and returns the value at a path: ``ABSENT`` if its object lacks it.

    It returns ``NO_BOX`` where there is no such object, so that the two can be told apart.
    """
    if not path:
        return lambda document: document
    steps = [(key, reading.step(path[: at + 1]), reading.is_object(path[: at + 1])) for at, key in enumerate(path)]
    *above, (last, last_attribute, _) = steps
    lacking = None if reading.is_bare(path) else ABSENT

    def read(document: Any) -> object:  # noqa: ANN401 - a dict or a picked object
        box: Any = document
        for key, name, is_object in above:
            if name is None:
                box = as_box(box.get(key))
            elif is_object:
                box = getattr(box, name)
            else:
                box = as_box(getattr(box, name))
        if last_attribute is None:
            return NO_BOX if box is NO_BOX else box.get(last, ABSENT)
        value = getattr(box, last_attribute)
        if value is not lacking:
            return value
        return NO_BOX if getattr(box, "blank", False) else ABSENT

    return read
