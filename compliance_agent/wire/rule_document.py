"""The rules document: ``{"rules": [{rule_id, incident_pattern, action, ...}]}``, YAML or JSON.

A rule that cannot be understood is quarantined by itself, with its reason; the others stay. Only a
document that is no rules document at all is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, ValidationError

from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.rule import PRIORITY_DEFAULT, Action, QuarantinedRule, Rule, RuleSource
from compliance_agent.domain.runbook import JsonObject, Model
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.located import find_path
from compliance_agent.wire.validation import did_you_mean, problems_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern import Pattern
    from compliance_agent.wire.located import Located, Path

_ACTION: Final = re.compile(r"([a-z][a-z0-9_]*):(\S(?:.*\S)?)")
_PRIORITY_MAX: Final = 2**31 - 1
_COOLDOWN_MAX_S: Final = 31_536_000


class RuleEntry(Model):
    """One rule as written."""

    rule_id: Annotated[
        str,
        Field(min_length=1, max_length=128, pattern=r"^[!-~]+$", description="Unique over all sources; no spaces."),
    ]
    name: str = Field(default="", description="One line for people.")
    incident_pattern: JsonObject = Field(description="Which incidents the rule is for; docs/PATTERNS.md.")
    action: str = Field(description="What to do: prefix:argument, e.g. run_linux_runbook:LIN-SSH-001.")
    priority: int = Field(
        default=PRIORITY_DEFAULT, ge=-_PRIORITY_MAX, le=_PRIORITY_MAX, description="Lower goes first."
    )
    enabled: bool = Field(default=True, description="A disabled rule never matches.")
    cooldown_s: int | None = Field(
        default=None,
        ge=0,
        le=_COOLDOWN_MAX_S,
        description="Seconds between two attempts of this rule on one target and check; default: the gate's.",
    )


class RulesDocument(Model):
    """A file of rules (for the JSON Schema; reading judges each rule by itself)."""

    rules: tuple[RuleEntry, ...] = Field(strict=False, description="The rules, in any order.")


@dataclass(frozen=True, slots=True)
class OfflineRule:
    """A rule of which only the pattern is judged, for the offline ``match`` command."""

    rule_id: str
    priority: int
    enabled: bool
    pattern: Pattern


def read_rules(document: Located, *, source: RuleSource) -> tuple[list[Rule], list[QuarantinedRule]]:
    """Read every rule of a document, in its order.

    A rule with an unknown key, a bad pattern or an action that is not ``prefix:argument`` is
    quarantined with a reason that names the place and the remedy. Ids are not compared here
    (``merge_rules`` does that).

    Raises:
        InputError: The document has no list ``rules``, or has other keys.

    """
    rules: list[Rule] = []
    quarantined: list[QuarantinedRule] = []
    for index, entry in enumerate(_entries(document, strict=True)):
        path = ("rules", index)
        rule, problems = _read_rule(document, path, entry, source)
        if rule is not None:
            rules.append(rule)
            continue
        shown = entry if isinstance(entry, Mapping) else {}
        quarantined.append(
            QuarantinedRule(
                rule_id=_text(shown.get("rule_id")) or f"rules[{index}]",
                source=source,
                reason="; ".join(_reason(problem) for problem in problems),
                action=_text(shown.get("action")),
                place=document.place(path),
            )
        )
    return rules, quarantined


def read_offline_rules(document: Located) -> list[OfflineRule]:
    """Read ids, priorities and patterns only; actions and other keys are not judged.

    Raises:
        InputError: With every bad pattern, and every missing or repeated ``rule_id``.

    """
    rules: list[OfflineRule] = []
    problems: list[InputProblem] = []
    seen: dict[str, Path] = {}
    for index, entry in enumerate(_entries(document, strict=False)):
        path: Path = ("rules", index)
        fields = set(_OfflineEntry.model_fields)
        judged = {key: value for key, value in entry.items() if key in fields} if isinstance(entry, Mapping) else entry
        try:
            model = _OfflineEntry.model_validate(judged)
        except ValidationError as error:
            problems += problems_of(error, document, path, model=_OfflineEntry)
            continue
        if model.rule_id in seen:
            first = document.place(seen[model.rule_id])
            problems.append(document.problem((*path, "rule_id"), f"{model.rule_id!r} stands twice, first at {first}"))
            continue
        seen[model.rule_id] = path
        pattern = _pattern(document, path, model.incident_pattern)
        if isinstance(pattern, InputProblem):
            problems.append(pattern)
        else:
            rules.append(OfflineRule(model.rule_id, model.priority, model.enabled, pattern))
    if problems:
        raise InputError(problems)
    return rules


class _OfflineEntry(Model):
    rule_id: str = Field(min_length=1)
    incident_pattern: JsonObject
    priority: int = PRIORITY_DEFAULT
    enabled: bool = True


def merge_rules(
    rules: Iterable[Rule], quarantined: Iterable[QuarantinedRule] = ()
) -> tuple[list[Rule], list[QuarantinedRule]]:
    """Return the rules with unique ids in the order of sources, and those that are set aside for it.

    Of one source the first rule of an id stays; of several sources the earlier one's (local,
    builtin, synced, promoted). A rule whose replacement is itself among ``quarantined`` is held
    back too: whoever replaced it did not want it as it was.
    """
    broken: dict[str, QuarantinedRule] = {}
    for one in sorted(quarantined, key=lambda one: _RANK[one.source]):
        broken.setdefault(one.rule_id, one)
    kept: dict[str, Rule] = {}
    aside: list[QuarantinedRule] = []
    for rule in sorted(rules, key=lambda rule: _RANK[rule.source]):
        first, bad = kept.get(rule.rule_id), broken.get(rule.rule_id)
        if first is not None and first.source is rule.source:
            aside.append(_quarantine(rule, f"duplicate of {first.place}; give it an id of its own"))
        elif first is not None:
            aside.append(_quarantine(rule, f"replaced by the {first.source} rule of the same id"))
        elif bad is not None and _RANK[bad.source] < _RANK[rule.source]:
            reason = f"held back: the {bad.source} rule of the same id ({bad.place}) is quarantined"
            aside.append(_quarantine(rule, f"{reason}; mend or remove that one"))
        else:
            kept[rule.rule_id] = rule
    return list(kept.values()), aside


_RANK: Final = {source: rank for rank, source in enumerate(RuleSource)}


def _quarantine(rule: Rule, reason: str) -> QuarantinedRule:
    return QuarantinedRule(rule.rule_id, rule.source, reason, action=str(rule.action), place=rule.place)


def _entries(document: Located, *, strict: bool) -> list[Any]:
    value = document.value
    if not isinstance(value, Mapping):
        raise InputError([document.problem((), "a rules document is a table with the key rules", "write rules: [...]")])
    problems = []
    if strict:
        unknown = (key for key in value if key != "rules")
        problems = [document.problem((key,), f"unknown key {key}", did_you_mean(key, ["rules"])) for key in unknown]
    entries = value.get("rules")
    if not isinstance(entries, list):
        message = "the key rules is missing" if "rules" not in value else "rules must be a list"
        problems.append(document.problem(("rules",), message, "write rules: [...]"))
        raise InputError(problems)
    if problems:
        raise InputError(problems)
    return entries


def _read_rule(
    document: Located, path: Path, entry: JsonValue, source: RuleSource
) -> tuple[Rule | None, list[InputProblem]]:
    try:
        model = RuleEntry.model_validate(entry)
    except ValidationError as error:
        return None, problems_of(error, document, path, model=RuleEntry)
    problems: list[InputProblem] = []
    pattern = _pattern(document, path, model.incident_pattern)
    if isinstance(pattern, InputProblem):
        problems.append(pattern)
    action = _ACTION.fullmatch(model.action)
    if action is None:
        message = f"got {model.action[:60]!r}, need prefix:argument"
        hint = "write it like run_linux_runbook:LIN-SSH-001 or alert:NAME"
        problems.append(document.problem((*path, "action"), message, hint))
    if isinstance(pattern, InputProblem) or action is None:
        return None, problems
    rule = Rule(
        rule_id=model.rule_id,
        pattern=pattern,
        action=Action(action[1], action[2]),
        name=model.name,
        priority=model.priority,
        source=source,
        enabled=model.enabled,
        cooldown_s=model.cooldown_s,
        place=document.place(path),
    )
    return rule, []


def _pattern(document: Located, path: Path, source: JsonValue) -> Pattern | InputProblem:
    try:
        return compile_pattern(source)
    except PatternError as error:
        return pattern_problem(document, (*path, "incident_pattern"), source, error)


def pattern_problem(document: Located, path: Path, source: JsonValue, error: PatternError) -> InputProblem:
    """Return a pattern's error as a problem at its very clause."""
    return document.problem((*path, *find_path(source, error.path)), error.message, error.hint)


def _reason(problem: InputProblem) -> str:
    text = f"{problem.path}: {problem.message}"
    return f"{text} ({problem.hint})" if problem.hint else text


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
