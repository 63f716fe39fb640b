"""What incidents of this appliance can hold, and what of a rule's pattern none of them ever will.

The checks of the catalogue raise the incidents, so it is known which fields, values and facts occur.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.constraints import (
    ABSENT,
    ARRAY,
    BOOLEAN,
    NUMBER,
    OBJECT,
    STRING,
)
from compliance_agent.domain.incident import Incident
from compliance_agent.domain.pattern_nodes import AllNode, AnyNode, NotNode, ObjectNode, show
from compliance_agent.domain.proof import ASSUMPTIONS_MAX, possible
from compliance_agent.domain.runbook import FactSchema
from compliance_agent.domain.suggestion import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from compliance_agent.domain.catalogue import Catalogue, CompiledRunbook
    from compliance_agent.domain.constraints import Place
    from compliance_agent.domain.pattern_nodes import Node
    from compliance_agent.domain.rule import Rule

Facts: TypeAlias = "Mapping[str, FactSchema | Facts]"
"""The facts of a check by name; those of a step with ``as`` one level deeper."""

_PLATFORMS: Final[Mapping[str, tuple[str, ...]]] = {"linux": ("linux", "nixos"), "windows": ("windows",)}
"""What a runbook's platform is called in incidents (``HostFacts.platform``)."""

HINTS_MAX: Final = 1_000
"""Most different unknown words for which the nearest known one is looked for."""

HINT_LENGTH_MAX: Final = 200
"""So much of an unknown word is compared, in characters."""

_TYPE_BITS: Final = {"string": STRING, "integer": NUMBER, "boolean": BOOLEAN, "list": ARRAY}

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_SAMPLE: Final = Incident(
    incident_id="",
    site_id="",
    target_id="",
    hostname="",
    platform="",
    distro="",
    check_id="",
    incident_type="",
    severity="",
    opened_at=_NEVER,
    detected_at=_NEVER,
).document()

FIELDS: Final = frozenset(_SAMPLE)
"""Every field that an incident has at its top."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that no incident of this appliance satisfies.

    Attributes:
        kind: ``unknown_field``, ``unknown_value`` or ``wrong_type``.
        message: What.
        hint: What may have been meant.

    """

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _Check:
    """What the incidents of one check hold."""

    values: Mapping[str, tuple[str, ...]]
    facts: Facts

    @classmethod
    def of(cls, compiled: CompiledRunbook) -> _Check:
        runbook = compiled.runbook
        facts: dict[str, FactSchema | Facts] = {}
        for step in runbook.detect.steps:
            reported = compiled.fact_schema(step)
            facts.update({step.as_: reported} if step.as_ else reported)
        values = {
            "check_id": (runbook.id,),
            "incident_type": (runbook.check_type,),
            "severity": (runbook.severity,),
            "platform": tuple(name for platform in runbook.platforms for name in _PLATFORMS[platform]),
        }
        return cls(values, facts)

    def may_meet(self, place: Place) -> bool:
        """Tell whether an incident of this check may match what is known of the place, alternatives left aside."""
        for name, values in self.values.items():
            field = (place.fields or {}).get(name)
            if field is not None and not any(field.accepts(value) for value in values):
                return False
        return True


def _meeting(checks: Sequence[_Check], place: Place) -> list[_Check]:
    """Return the checks of which an incident may match what is known of the place, in their order.

    Of each ``$or`` some part must be met; each part is worked out once, not once for each check.
    """
    found = [check for check in checks if check.may_meet(place)]
    if place.generation >= ASSUMPTIONS_MAX:
        return found
    for choice in place.choices:
        inner = [place.assuming(part, without=[choice]) for part in choice.parts]
        met = {id(check) for one in inner if possible(one) for check in _meeting(found, one)}
        found = [check for check in found if id(check) in met]
    return found


class Vocabulary:
    """The fields, values and facts that the incidents of a catalogue's checks can hold."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Take the checks of the catalogue."""
        self._checks = [_Check.of(compiled) for compiled in catalogue]
        self._known: dict[str, set[str]] = {
            "schema": {str(_SAMPLE["schema"])},
            "status": {str(_SAMPLE["status"])},
            "platform": {name for names in _PLATFORMS.values() for name in names},
        }
        for check in self._checks:
            for name, values in check.values.items():
                self._known.setdefault(name, set()).update(values)
        self._hints: dict[tuple[str, str], str] = {}
        self._known["severity"] |= {"low", "medium", "high", "critical"}

    def doubts(self, rule: Rule, place: Place) -> Iterator[Doubt]:
        """Yield what no incident satisfies.

        Args:
            rule: Whose pattern.
            place: What is known of every incident that it matches (``place_of``), judged possible.

        Raises:
            BudgetError: The pattern is too long to be judged.

        """
        yield from self._unknown_fields(rule.pattern.root)
        yield from self._of_context(rule.pattern.root, place)

    def _unknown_fields(self, root: Node) -> Iterator[Doubt]:
        for key, _part in _named(root):
            if key in FIELDS:
                continue
            is_fact = any(key in check.facts for check in self._checks)
            hint = f"did you mean facts: {{{key}: ...}}?" if is_fact else self._hint("", key, FIELDS)
            yield Doubt("unknown_field", f"no incident has a field {key}", hint)

    def _of_context(self, node: Node, place: Place) -> Iterator[Doubt]:
        """Judge the fields that a node names among the incidents that the place allows."""
        unknown = list(self._unknown_values(place))
        yield from unknown
        if unknown:
            return
        checks = _meeting(self._checks, place)
        if not checks:
            named = ", ".join(name for name in self._known if name in (place.fields or {})) or "or its alternatives"
            yield Doubt("unknown_value", f"no check of this appliance raises an incident with this {named}")
            return
        for key, part in _named(node, alternatives=False):
            if key == "facts":
                yield from _unknown_facts(part, [check.facts for check in checks], "facts")
        facts = (place.fields or {}).get("facts")
        if facts is not None:
            yield from _wrong_types(facts, [check.facts for check in checks], "facts")
        for choice in place.choices:
            for part in choice.parts:
                inner = place.assuming(part, without=[choice])
                if possible(inner):
                    yield from self._of_context(part, inner)

    def _unknown_values(self, place: Place) -> Iterator[Doubt]:
        for name, known in self._known.items():
            field = (place.fields or {}).get(name)
            for value in (field.finite or {}).values() if field is not None else ():
                if isinstance(value, str) and value not in known:
                    owner = "incident" if name in {"schema", "status", "platform"} else "check"
                    message = f"no {owner} has the {name} {show(value, 60)}"
                    yield Doubt("unknown_value", message, self._hint(name, value, known))

    def _hint(self, name: str, word: str, known: Iterable[str]) -> str:
        """Return what may have been meant, looked up once; of very many unknown words the later ones get no hint."""
        found = self._hints.get((name, word))
        if found is None:
            if len(self._hints) >= HINTS_MAX:
                return ""
            found = self._hints[name, word] = did_you_mean(word[:HINT_LENGTH_MAX], known)
        return found


def _named(node: Node, *, alternatives: bool = True) -> Iterator[tuple[str, Node]]:
    """Yield each field of an object that a node names, with what is asked of it.

    Args:
        node: Speaks of the object.
        alternatives: Look into ``$or`` with several parts too.

    """
    if isinstance(node, ObjectNode):
        yield from node.items
    elif isinstance(node, NotNode):
        yield from _named(node.part, alternatives=True)
    elif isinstance(node, AllNode) or (isinstance(node, AnyNode) and (alternatives or len(node.parts) == 1)):
        for part in node.parts:
            yield from _named(part, alternatives=alternatives)


def _unknown_facts(node: Node, known: Sequence[Facts], path: str) -> Iterator[Doubt]:
    names = {name for facts in known for name in facts}
    for key, part in _named(node):
        nested = [found for facts in known if isinstance(found := facts.get(key), Mapping)]
        if key not in names:
            message = f"no check that this rule is for reports {path}.{key}"
            yield Doubt("unknown_field", message, did_you_mean(key, names))
        elif nested:
            yield from _unknown_facts(part, nested, f"{path}.{key}")


def _wrong_types(place: Place, known: Sequence[Facts], path: str) -> Iterator[Doubt]:
    """Yield each fact that must be of a kind that it never has."""
    for key, field in (place.fields or {}).items():
        schemas = [facts[key] for facts in known if key in facts]
        nested = [one for one in schemas if isinstance(one, Mapping)]
        reported = 0 if len(schemas) == len(known) else ABSENT
        for one in schemas:
            reported |= _bits(one)
        if schemas and not field.kinds & reported:
            types = " or ".join(sorted({one.type for one in schemas if isinstance(one, FactSchema)})) or "table"
            yield Doubt(
                "wrong_type", f"{path}.{key} is reported as {types}; the pattern asks for another kind of value"
            )
        elif nested:
            yield from _wrong_types(field, nested, f"{path}.{key}")


def _bits(schema: FactSchema | Facts) -> int:
    if not isinstance(schema, FactSchema):
        return OBJECT
    return _TYPE_BITS[schema.type] | (ABSENT if schema.optional else 0)
