"""The older wire form of a rule, turned into the current one at the edge.

``{id, conditions: [{field, operator, value}], actions: [...]}`` becomes ``{rule_id, incident_pattern,
action}``. ``docs/PATTERNS.md`` says how each operator and key maps. What has no faithful counterpart
is refused with its reason, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import ConfigDict, Field, ValidationError

from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.rule import PRIORITY_DEFAULT
from compliance_agent.domain.runbook import Model
from compliance_agent.wire.located import shorten
from compliance_agent.wire.rule_entry import Cooldown, Priority, RuleEntry, RuleId
from compliance_agent.wire.validation import did_you_mean, problems_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Located, Path

OLDER_OPERATORS: Final[Mapping[str, str]] = {
    "eq": "$eq",
    "ne": "$ne",
    "contains": "$contains",
    "regex": "$regex",
    "gt": "$gt",
    "lt": "$lt",
    "in": "$in",
    "not_in": "$nin",
    "exists": "$exists",
}
"""Each operator of the older form, and ours."""

OLDER_FIELDS: Final[Mapping[str, str]] = {
    "check_type": "incident_type",
    "details": "facts",
    "host": "hostname",
    "runbook_id": "check_id",
}
"""Fields of incidents whose name changed; the others kept theirs."""

CONDITIONS_MAX: Final = 1_000
"""Most conditions of one rule."""

_DRIFT: Final = "drift_detected"


class OlderCondition(Model):
    """One condition of the older form."""

    field: str = Field(min_length=1, max_length=1_000, description="Dotted path, e.g. details.score.")
    operator: str = Field(
        description=f"One of {', '.join(OLDER_OPERATORS)}.", json_schema_extra={"enum": [*OLDER_OPERATORS]}
    )
    value: Any = Field(default=None, description="What the field is compared with.")


Conditions = Annotated[
    tuple[OlderCondition, ...],
    Field(strict=False, min_length=1, max_length=CONDITIONS_MAX, description="All of them must hold."),
]
Severities = str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


def _exactly_one(*keys: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [key]} for key in keys]}


class _OlderMatch(Model):
    """What ``match`` judges of a rule."""

    id: str | None = Field(default=None, min_length=1)
    rule_id: str | None = Field(default=None, min_length=1)
    conditions: Conditions
    severity_filter: Severities | None = None


class OlderRule(Model):
    """One rule in the older form, which is read but no longer written (docs/PATTERNS.md says how it maps)."""

    model_config = ConfigDict(
        json_schema_extra={"allOf": [_exactly_one("id", "rule_id"), _exactly_one("action", "actions")]}
    )

    id: RuleId | None = None
    rule_id: RuleId | None = None
    name: str = Field(default="", description="One line for people.")
    description: str = Field(default="", description="Not used.")
    conditions: Conditions
    severity_filter: Severities | None = Field(
        default=None, description="One severity or several; the incident must have one of them."
    )
    action: str | None = Field(default=None, description="What to do.")
    actions: Annotated[tuple[str, ...], Field(strict=False)] | None = Field(default=None, description="Exactly one.")
    action_params: dict[str, Any] = Field(default_factory=dict, description="runbook_id, where the action has none.")
    priority: Priority = PRIORITY_DEFAULT
    enabled: bool = Field(default=True, description="A disabled rule never matches.")
    cooldown_seconds: Cooldown | None = None
    hipaa_controls: Any = Field(default=None, description="Not used: runbooks say what they support.")
    severity: Any = Field(default=None, description="Not used, as before.")
    max_retries: Any = Field(default=None, description="Not used, as before.")
    source: Any = Field(default=None, description="Not used: the place of the file decides.")
    version: Any = Field(default=None, description="Not used, as before.")


@dataclass(frozen=True, slots=True)
class Translated:
    """A rule of the older form in the current one, and where its parts were written.

    Attributes:
        entry: The rule.
        pattern_path: Where its conditions stand.
        action_path: Where its action stands.

    """

    entry: RuleEntry
    pattern_path: Path
    action_path: Path


def is_older(entry: object) -> bool:
    """Tell whether a rule is written in the older form, or mixes both forms."""
    return isinstance(entry, Mapping) and ("conditions" in entry or "actions" in entry)


def translate_rule(document: Located, path: Path, entry: JsonValue) -> tuple[Translated | None, list[InputProblem]]:
    """Turn a rule of the older form into the current one.

    Args:
        document: What holds the rule.
        path: Where in it the rule stands.
        entry: The rule.

    Returns:
        The rule, or ``None`` and every problem found.

    """
    if isinstance(entry, Mapping) and "incident_pattern" in entry:
        return None, [_mixed(document, path, entry)]
    try:
        rule = OlderRule.model_validate(entry)
    except ValidationError as error:
        return None, problems_of(error, document, path, model=OlderRule)
    rule_id, problems = _only(document, path, id=rule.id, rule_id=rule.rule_id)
    pattern, found = translate_conditions(document, path, rule.conditions, rule.severity_filter)
    action, refused = _action(document, path, rule, str(rule_id))
    problems += [*found, *refused]
    if problems or pattern is None or rule_id is None:
        return None, problems
    modern = RuleEntry(
        rule_id=rule_id,
        name=rule.name,
        incident_pattern=pattern,
        action=action,
        priority=rule.priority,
        enabled=rule.enabled,
        cooldown_s=rule.cooldown_seconds,
    )
    key: Path = ("action",) if rule.actions is None else ("actions", 0)
    return Translated(modern, (*path, "conditions"), (*path, *key)), []


def translate_offline(
    document: Located, path: Path, entry: Mapping[str, JsonValue]
) -> tuple[dict[str, Any], list[InputProblem]]:
    """Turn the parts of an older rule that ``match`` judges: its id, its conditions, severities and switches.

    Returns:
        The rule with ``rule_id`` and ``incident_pattern``, and every problem found.

    """
    if "incident_pattern" in entry:
        return {}, [_mixed(document, path, entry)]
    try:
        rule = _OlderMatch.model_validate({key: entry[key] for key in _OlderMatch.model_fields if key in entry})
    except ValidationError as error:
        return {}, problems_of(error, document, path, model=_OlderMatch)
    rule_id, problems = _only(document, path, id=rule.id, rule_id=rule.rule_id)
    pattern, found = translate_conditions(document, path, rule.conditions, rule.severity_filter)
    others = {key: value for key, value in entry.items() if key not in {"id", "conditions", "severity_filter"}}
    return {**others, "rule_id": rule_id, "incident_pattern": pattern}, [*problems, *found]


def _mixed(document: Located, path: Path, entry: Mapping[str, JsonValue]) -> InputProblem:
    key = "conditions" if "conditions" in entry else "actions"
    message = f"incident_pattern and {key} stand in one rule: they are two forms of the same thing"
    hint = "keep incident_pattern and action, or conditions and actions"
    return document.problem((*path, key), message, hint)


def _only(document: Located, path: Path, **given: str | None) -> tuple[str | None, list[InputProblem]]:
    """Return the one value that is given."""
    values = {key: value for key, value in given.items() if value is not None}
    if len(values) == 1:
        return next(iter(values.values())), []
    first, second = given
    if values:
        return None, [document.problem((*path, first), f"{first} and {second} stand in one rule", "keep one of them")]
    return None, [document.problem((*path, second), f"the key {second} is missing", "add it")]


# --- conditions -------------------------------------------------------------------------------------


def translate_conditions(
    document: Located,
    path: Path,
    conditions: Sequence[OlderCondition],
    severity_filter: str | Sequence[str] | None = None,
) -> tuple[dict[str, Any] | None, list[InputProblem]]:
    """Return the pattern that asks for all conditions, or ``None`` and every problem found."""
    problems: list[InputProblem] = []
    patterns: list[dict[str, Any]] = []
    for index, condition in enumerate(conditions):
        place: Path = (*path, "conditions", index)
        pattern = _condition(document, place, condition)
        if isinstance(pattern, dict):
            patterns.append(pattern)
        else:
            problems.append(pattern)
    if not problems and all(condition.field == _DRIFT for condition in conditions):
        message = f"{_DRIFT} is all that is asked, and every incident is a drift: it would match everything"
        problems.append(document.problem((*path, "conditions"), message, "name the check, e.g. by check_type"))
    if isinstance(severity_filter, str):
        patterns.append({"severity": severity_filter})
    elif severity_filter is not None:
        patterns.append({"severity": {"$in": list(severity_filter)}})
    return (None, problems) if problems else (_join(patterns), [])


def _condition(document: Located, place: Path, condition: OlderCondition) -> dict[str, Any] | InputProblem:
    """Return the pattern of one condition."""
    name = condition.operator
    if name not in OLDER_OPERATORS:
        hint = did_you_mean(shorten(name), OLDER_OPERATORS)
        return document.problem((*place, "operator"), f"unknown operator {shorten(name)}", hint)
    if name != "exists" and "value" not in condition.model_fields_set:
        return document.problem((*place, "value"), "the key value is missing", "add it")
    steps = condition.field.split(".")
    if "" in steps:
        message = f"got {shorten(condition.field)!r}, need names joined by single dots"
        return document.problem((*place, "field"), message, "write it like details.score")
    steps[0] = OLDER_FIELDS.get(steps[0], steps[0])
    pattern = _pattern(steps, name, condition)
    try:
        compile_pattern(pattern)
    except PatternError as error:
        return document.problem((*place, "value"), f"{name}: {error.message}", error.hint)
    return pattern


def _pattern(steps: Sequence[str], name: str, condition: OlderCondition) -> dict[str, Any]:
    value = condition.value
    if name == "exists":
        value = value if "value" in condition.model_fields_set else True
        if value is False and len(steps) > 1:  # also where a part of the way is missing
            return {"$not": _nest(steps, {"$exists": True})}
    if condition.field == _DRIFT and name == "eq" and value is True:
        return _nest(steps, {"$or": [{"$exists": False}, {"$eq": True}]})
    if name == "eq" and (value is None or not isinstance(value, list | dict)):
        return _nest(steps, value)
    return _nest(steps, {OLDER_OPERATORS[name]: value})


def _nest(steps: Sequence[str], leaf: Any) -> dict[str, Any]:  # noqa: ANN401 - any part of a pattern
    for step in reversed(steps):
        leaf = {f"${step}" if step.startswith("$") else step: leaf}
    nested: dict[str, Any] = leaf
    return nested


def _join(patterns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one pattern that asks for all of them: one object where they do not collide, else ``$and``."""
    parts: list[dict[str, Any]] = []
    for pattern in patterns:
        for index, part in enumerate(parts):
            merged = _merge(part, pattern)
            if merged is not None:
                parts[index] = merged
                break
        else:
            parts.append(pattern)
    return parts[0] if len(parts) == 1 else {"$and": parts}


def _merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any] | None:
    """Return one object that asks for what both ask, or ``None`` where the same place is asked twice."""
    if _has_operators(left) != _has_operators(right):
        return None
    merged = dict(left)
    for key, value in right.items():
        if key in merged:
            mine = merged[key]
            inner = isinstance(mine, dict) and isinstance(value, dict) and not key.startswith("$")
            value = _merge(mine, value) if inner else None  # noqa: PLW2901 - the merged one takes its place
            if value is None:
                return None
        merged[key] = value
    return merged


def _has_operators(pattern: Mapping[str, Any]) -> bool:
    return any(key.startswith("$") and not key.startswith("$$") for key in pattern)


# --- actions ----------------------------------------------------------------------------------------

_RUNBOOK_ACTIONS: Final = ("run_linux_runbook", "run_windows_runbook", "run_runbook")
_REFUSED_ACTIONS: Final = {
    "run_command": ("run_command carries code, and code is never taken from a rule", "put it into a runbook"),
    "restart_service": ("restart_service names no service", "write it like restart_service:NAME"),
}


def _action(document: Located, path: Path, rule: OlderRule, rule_id: str) -> tuple[str, list[InputProblem]]:
    """Return the action as ``prefix:argument``."""
    if rule.actions is not None and len(rule.actions) != 1:
        message = f"{len(rule.actions)} actions, need exactly one; of several only the first was ever run"
        return "", [document.problem((*path, "actions"), message, "keep one, and write a rule for each other one")]
    only = rule.actions[0] if rule.actions else None
    written, problems = _only(document, path, action=rule.action, actions=only)
    if written is None:
        return "", problems
    params = dict(rule.action_params)
    text = written
    if written in _RUNBOOK_ACTIONS and isinstance(params.get("runbook_id"), str):
        text = f"{written}:{params.pop('runbook_id')}"
    elif written == "escalate":
        text = f"escalate:{rule.name or rule_id}"
    elif written in _REFUSED_ACTIONS:
        return "", [document.problem(path, *_REFUSED_ACTIONS[written])]
    elif params.get("runbook_id") == written.partition(":")[2]:
        del params["runbook_id"]
    if params:
        message = f"action_params: {', '.join(sorted(params))} would not reach the runbook"
        return "", [document.problem((*path, "action_params"), message, "write the values into a runbook of your own")]
    return text, []
