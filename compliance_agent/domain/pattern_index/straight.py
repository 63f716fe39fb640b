"""Functions that visit nodes of one shape, written out straight: no loop, no dispatch, every place reached once.

Nodes come in few shapes: which places they look at, and what for. For each shape one function is generated,
as ``dataclasses`` does for classes, and serves all nodes of that shape. The source holds numbers and our own
names only; keys of fields, tables and tests are handed over as values, so nothing that a rule says ever
becomes code. ``parts`` tells what rare shapes get.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from decimal import Decimal
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.operators import Missing
from compliance_agent.domain.pattern_index import leaves
from compliance_agent.domain.pattern_index.reading import as_box
from compliance_agent.domain.pattern_index.rows import ABSENT, key_of
from compliance_agent.domain.pattern_index.texts import beginnings_in
from compliance_agent.domain.pattern_index.tree import NO_BOX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.pattern_index.reading import Reading
    from compliance_agent.domain.pattern_index.rows import Path
    from compliance_agent.domain.pattern_index.tree import Run, Shape

_REACH: Final = """\
if target.__class__ is int:
    found.append(target)
else:
    first = target[0]
    if first.__class__ is int:
        found += target
    else:
        run = first.{name}
        run(target, document, found)
"""

_REACH_IF_ANY: Final = "if target is not None:\n" + indent(_REACH, "    ")

_TABLE: Final = (
    """\
try:
    target = {data}.get({value})
except TypeError:  # an array or object: it has no hash, and no place in a table
    target = None
"""
    + _REACH_IF_ANY
)

_DELICATE: Final = "target = {data}.get(key_of({value}))\n" + _REACH_IF_ANY

_NUMBERS: Final = """\
kind = {value}.__class__
if kind is Decimal or kind is int:
    points, _, slots = {data}
    at = bisect_left(points, {value})
    target = slots[2 * at + 1 if at < len(points) and points[at] == {value} else 2 * at]
""" + indent(_REACH_IF_ANY, "    ")

_STEPS: Final = """\
kind = {value}.__class__
if kind is Decimal or kind is int:
    points, _, slots = {data}
    target = slots[bisect_right(points, {value})]
""" + indent(_REACH_IF_ANY, "    ")

_NEAR: Final = """\
elif kind is float:
    _, near, slots = {data}
    at = bisect_right(near, {value})
    if near[at - 1] == {value} or not {value}:
        raise NearNumberError
    target = slots[%s]
""" + indent(_REACH_IF_ANY, "    ")
"""What follows for documents of picked fields: see ``leaves.number_slot``."""

_PREFIXES: Final = (
    """\
if {value}.__class__ is str or isinstance({value}, str):
    level = {data}
    while level is not None:
        width, table = level
        entry = table.get({value}[:width])
        if entry is None:
            break
        target, level, bucket = entry
"""
    + indent(_REACH_IF_ANY, "        ")
    + """\
        if bucket is not None:
            for target in beginnings_in(bucket, {value}):
"""
    + indent(_REACH, "                ")
)

_ONE: Final = "lookup, data = {data}\ntarget = lookup(data, {value})\n" + _REACH_IF_ANY

_MANY: Final = "lookup, data = {data}\nfor target in lookup(data, {value}):\n" + indent(_REACH, "    ")

_OF_VALUES: Final[Mapping[str, str]] = {
    "table": _TABLE,
    "delicate": _DELICATE,
    "numbers": _NUMBERS,
    "steps": _STEPS,
    "prefixes": _PREFIXES,
    "one": _ONE,
    "many": _MANY,
}
"""By kind of part: what it does with the value at its place."""

_OF_FLOATS: Final[Mapping[str, str]] = {"numbers": _NEAR % "2 * at", "steps": _NEAR % "at"}

_CONDITIONS: Final[Mapping[str, str]] = {
    "equals": "{value} == {wanted}",
    "in": "{value} in {wanted}",
    "prefix": "isinstance({value}, str) and {value}.startswith({wanted})",
}

_INTERSECTION: Final = """\
if not {names}.isdisjoint({box}):
    for name in {names}.intersection({box}):
        target = {data}[name]
""" + indent(_REACH, "        ")

_EACH_ABSENT: Final = """\
for name, target in {data}.items():
    if name not in {box}:
""" + indent(_REACH, "        ")

_KNOWN: Final[Mapping[str, Any]] = {
    "ABSENT": ABSENT,
    "Decimal": Decimal,
    "MISSING": Missing.MISSING,
    "NO_BOX": NO_BOX,
    "NearNumberError": leaves.NearNumberError,
    "as_box": as_box,
    "beginnings_in": beginnings_in,
    "bisect_left": bisect_left,
    "bisect_right": bisect_right,
    "key_of": key_of,
}
"""What the templates use."""


def function_for(shape: Shape, reading: Reading) -> Run:
    """Generate the function that visits nodes of a shape."""
    writer = _Writer(reading)
    data = "".join(f", d{number}" for number in range(len(shape.parts)))
    writer.line(f"_, hits{data} = node")
    if shape.with_hits:
        writer.line("found += hits")
    for number, (kind, *about) in enumerate(shape.parts):
        writer.part(kind, f"d{number}", *about)
    source = "def run(node, document, found):\n" + indent("\n".join(writer.lines), "    ") + "\n"
    known = {**_KNOWN, **writer.constants}
    exec(compile(source, "<index node>", "exec"), known)  # noqa: S102 - see the module's first lines
    run: Run = known["run"]
    return run


class _Writer:
    """Writes the lines of one function."""

    def __init__(self, reading: Reading) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self._reading = reading
        self._names: dict[str, str] = {}
        self._margin = ""
        self._fetched: set[str] = set()

    def line(self, text: str) -> None:
        """Add a line at the present margin."""
        self.lines.append(self._margin + text)

    def part(self, kind: str, data: str, *about: Any) -> None:  # noqa: ANN401 - each kind knows other things
        """Write what one part does."""
        if kind == "candidate":
            self._candidate(data, *about)
        elif kind == "when":
            self._when(data, *about)
        elif kind == "present":
            self._present(data, *about)
        elif kind == "absent":
            self._absent(data, *about)
        else:
            near = _OF_FLOATS.get(kind, "") if self._reading.has_floats else ""
            self._template(_OF_VALUES[kind] + near, data=data, value=self._value(*about))

    def _template(self, text: str, **names: str) -> None:
        for line in text.format(name=self._reading.name, **names).splitlines():
            self.line(line)

    def _constant(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _local(self, kind: str, path: Path) -> tuple[str, bool]:
        """Return the local name of a place, and whether it has to be fetched yet."""
        number = self._names.setdefault(f"{kind}{path!r}", str(len(self._names)))
        name = kind + number
        is_new = name not in self._fetched
        self._fetched.add(name)
        return name, is_new

    def _box(self, path: Path) -> str:
        """Write what fetches the object at a path, unless that was done; return its local name."""
        if not path:
            return "document"
        name, is_new = self._local("b", path)
        if is_new:
            attribute = self._reading.step(path)
            above = self._box(path[:-1])
            if attribute is not None:
                self.line(f"{name} = {above}.{attribute}")
            else:
                self.line(f"{name} = {above}.get({self._constant(path[-1])})")
            if not self._reading.is_object(path):
                self.line(f"if {name}.__class__ is not dict:")
                self.line(f"    {name} = as_box({name})")
        return name

    def _value(self, path: Path) -> str:
        """Write what fetches the value at a path, unless that was done; return its local name."""
        if not path:
            return "document"
        name, is_new = self._local("v", path)
        if is_new:
            box, attribute = self._box(path[:-1]), self._reading.step(path)
            fetch = f".{attribute}" if attribute is not None else f".get({self._constant(path[-1])}, ABSENT)"
            self.line(f"{name} = {box}{fetch}")
        return name

    def _there(self, path: Path) -> str:
        """Return the condition that an object stands at a path; empty when one always does."""
        if not path:
            return ""
        box = self._box(path)
        return f"not {box}.blank" if self._reading.is_object(path) else f"{box} is not NO_BOX"

    def _candidate(self, data: str, conditions: tuple[tuple[str, Path], ...]) -> None:
        """Write the conditions one in the other, so that what the next one needs is fetched only then."""
        margin, fetched = self._margin, set(self._fetched)
        for number, condition in enumerate(conditions, start=1):
            self._begin_if(condition, f"{data}[{number}]")
        self.line(f"found.append({data}[0])")
        self._margin, self._fetched = margin, fetched

    def _when(self, data: str, condition: tuple[str, Path]) -> None:
        margin, fetched = self._margin, set(self._fetched)
        self._begin_if(condition, f"{data}[0]")
        self._template(f"target = {data}[1]\n" + _REACH)
        self._margin, self._fetched = margin, fetched

    def _begin_if(self, condition: tuple[str, Path], wanted: str) -> None:
        operation, path = condition
        value = self._value(path)
        if operation == "test":
            there = self._there(path[:-1])
            test = f"{wanted}(MISSING if {value} is ABSENT else {value})"
            self.line(f"if {there} and {test}:" if there else f"if {test}:")
        else:
            self.line(f"if {_CONDITIONS[operation].format(value=value, wanted=wanted)}:")
        self._margin += "    "

    def _present(self, data: str, path: Path, names: tuple[str, ...]) -> None:
        box = self._box(path)
        if len(names) > leaves.FEW_NAMES and not self._reading.is_object(path):
            self._template(_INTERSECTION, data=data, box=box, names=self._constant(frozenset(names)))
        else:
            self._each_name(data, path, names, ("{name} in {box}", "{box}.{attribute} is not {lacking}"))

    def _absent(self, data: str, path: Path, names: tuple[str, ...]) -> None:
        margin, there = self._margin, self._there(path)
        if there:
            self.line(f"if {there}:")
            self._margin += "    "
        box = self._box(path)
        if len(names) > leaves.FEW_NAMES and not self._reading.is_object(path):
            self._template(_EACH_ABSENT, data=data, box=box)
        else:
            self._each_name(data, path, names, ("{name} not in {box}", "{box}.{attribute} is {lacking}"))
        self._margin = margin

    def _each_name(self, data: str, path: Path, names: tuple[str, ...], conditions: tuple[str, str]) -> None:
        """Write a condition for each name: the first of the two where it is a key, the second where an attribute."""
        box = self._box(path)
        for number, key in enumerate(names):
            attribute, name = self._reading.step((*path, key)), self._constant(key)
            lacking = "None" if self._reading.is_bare((*path, key)) else "ABSENT"
            known = {"name": name, "box": box, "attribute": attribute, "lacking": lacking}
            condition = conditions[attribute is not None].format(**known)
            target = f"{data}[{name if len(names) > leaves.FEW_NAMES else number}]"
            self._template(f"if {condition}:\n    target = {target}\n" + indent(_REACH, "    "))
