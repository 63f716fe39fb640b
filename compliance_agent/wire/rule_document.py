"""The rules document: ``{"rules": [{rule_id, incident_pattern, action, ...}]}``, YAML or JSON.

Rules in the older form (``conditions``, ``actions``) are turned into this one (``older_rules``).
A rule that cannot be understood is quarantined by itself, with its reason; the others stay. Only a
document that is no rules document at all is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, ValidationError

from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.rule import PRIORITY_DEFAULT, Action, QuarantinedRule, Rule, RuleSource
from compliance_agent.domain.runbook import JsonObject, Model
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.located import find_path
from compliance_agent.wire.older_rules import OlderRule, is_older, translate_offline, translate_rule
from compliance_agent.wire.rule_entry import RuleEntry
from compliance_agent.wire.validation import did_you_mean, problems_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern import Pattern
    from compliance_agent.wire.located import Located, Path

_ACTION: Final = re.compile(r"([a-z][a-z0-9_]*):(\S(?:.*\S)?)")


class RulesDocument(Model):
    """A file of rules (for the JSON Schema; reading judges each rule by itself)."""

    rules: tuple[RuleEntry | OlderRule, ...] = Field(strict=False, description="The rules, in any order.")


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
                rule_id=_text(shown.get("rule_id")) or _text(shown.get("id")) or f"rules[{index}]",
                source=source,
                reason=_reasons(problems),
                action=_text(shown.get("action")) or _first_text(shown.get("actions")),
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
        read = _read_offline(document, path, entry)
        if not isinstance(read, OfflineRule):
            problems += read
        elif read.rule_id in seen:
            first = document.place(seen[read.rule_id])
            problems.append(document.problem((*path, "rule_id"), f"{read.rule_id!r} stands twice, first at {first}"))
        else:
            seen[read.rule_id] = path
            rules.append(read)
    if problems:
        raise InputError(problems)
    return rules


def _read_offline(document: Located, path: Path, entry: JsonValue) -> OfflineRule | list[InputProblem]:
    where: Path = (*path, "incident_pattern")
    if isinstance(entry, Mapping) and "conditions" in entry:
        entry, problems = translate_offline(document, path, entry)
        where = (*path, "conditions")
        if problems:
            return problems
    fields = set(_OfflineEntry.model_fields)
    judged = {key: value for key, value in entry.items() if key in fields} if isinstance(entry, Mapping) else entry
    try:
        model = _OfflineEntry.model_validate(judged)
    except ValidationError as error:
        return problems_of(error, document, path, model=_OfflineEntry)
    pattern = _pattern(document, where, model.incident_pattern)
    if isinstance(pattern, InputProblem):
        return [pattern]
    return OfflineRule(model.rule_id, model.priority, model.enabled, pattern)


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
    pattern_path: Path = (*path, "incident_pattern")
    action_path: Path = (*path, "action")
    if is_older(entry):
        translated, problems = translate_rule(document, path, entry)
        if translated is None:
            return None, problems
        model, pattern_path, action_path = translated.entry, translated.pattern_path, translated.action_path
    else:
        try:
            model = RuleEntry.model_validate(entry)
        except ValidationError as error:
            return None, problems_of(error, document, path, model=RuleEntry)
    pattern = _pattern(document, pattern_path, model.incident_pattern)
    action = _action(document, action_path, model.action)
    problems = [part for part in (pattern, action) if isinstance(part, InputProblem)]
    if isinstance(pattern, InputProblem) or isinstance(action, InputProblem):
        return None, problems
    rule = Rule(
        rule_id=model.rule_id,
        pattern=pattern,
        action=action,
        name=model.name,
        priority=model.priority,
        source=source,
        enabled=model.enabled,
        cooldown_s=model.cooldown_s,
        origin=document.origin(path),
    )
    return rule, []


def _action(document: Located, path: Path, text: str) -> Action | InputProblem:
    action = _ACTION.fullmatch(text)
    if action is None:
        hint = "write it like run_linux_runbook:LIN-SSH-001 or alert:NAME"
        return document.problem(path, f"got {text[:60]!r}, need prefix:argument", hint)
    return Action(action[1], action[2])


def _pattern(document: Located, path: Path, source: JsonValue) -> Pattern | InputProblem:
    try:
        return compile_pattern(source)
    except PatternError as error:
        if path[-1] == "conditions":  # the pattern was translated: its own places are not in the document
            return document.problem(path, error.message, error.hint)
        return pattern_problem(document, path, source, error)


def pattern_problem(document: Located, path: Path, source: JsonValue, error: PatternError) -> InputProblem:
    """Return a pattern's error as a problem at its very clause."""
    return document.problem((*path, *find_path(source, error.path)), error.message, error.hint)


REASONS_MAX: Final = 20
"""Most problems that the reason of one quarantined rule names; the rest is counted."""


def _reasons(problems: Sequence[InputProblem]) -> str:
    named = [_reason(problem) for problem in problems[:REASONS_MAX]]
    return "; ".join([*named, *([f"and {len(problems) - REASONS_MAX} more"] if len(problems) > REASONS_MAX else [])])


def _reason(problem: InputProblem) -> str:
    text = f"{problem.path}: {problem.message}"
    return f"{text} ({problem.hint})" if problem.hint else text


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _first_text(value: JsonValue) -> str:
    return _text(value[0]) if isinstance(value, list) and value else ""
