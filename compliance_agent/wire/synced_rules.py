"""Rules as the control plane serves them, and the file in which the appliance keeps those in force.

A served document is a rules document whose entries may say a stage: ``shadow`` (match, do not act) or ``canary`` with
the share of appliances that acts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.rule import PRIORITY_DEFAULT, QuarantinedRule, RuleSource
from compliance_agent.domain.serving import PROMOTED, in_canary
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.document import read_document
from compliance_agent.wire.rule_document import read_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.domain.rule import Rule
    from compliance_agent.wire.located import Located

SCHEMA: Final = "synced-rules/v1"
_RUNBOOK_PREFIXES: Final = frozenset({"run_runbook", "run_linux_runbook", "run_windows_runbook"})


@dataclass(frozen=True, slots=True)
class SyncedFile:
    """One verified file: its name, the role that signed it, its bytes."""

    path: str
    role: str
    content: bytes


@dataclass(frozen=True, slots=True)
class SyncedBundle:
    """All verified files of one state.

    Attributes:
        version: Of the snapshot that names them; it only grows.
        files: In the order fleet's, then the site's own.

    """

    version: int
    files: tuple[SyncedFile, ...]


@dataclass(frozen=True, slots=True)
class SyncedRules:
    """What a bundle says for one appliance.

    Attributes:
        rules: To act on.
        tried: To watch only: in shadow, or in canary on other appliances.
        quarantined: Not understood or not allowed, each by itself.

    """

    rules: tuple[Rule, ...] = ()
    tried: tuple[Rule, ...] = ()
    quarantined: tuple[QuarantinedRule, ...] = ()


def write_bundle(bundle: SyncedBundle) -> bytes:
    """Return a bundle as the appliance keeps it."""
    files = [{"path": one.path, "role": one.role, "content": one.content.decode()} for one in bundle.files]
    document = {"schema": SCHEMA, "version": bundle.version, "files": files}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def read_bundle(content: bytes, *, source: str) -> SyncedBundle:
    """Read what ``write_bundle`` wrote.

    Raises:
        InputError: It is something else.

    """
    try:
        document = json.loads(content)
        files = tuple(
            SyncedFile(str(one["path"]), str(one["role"]), one["content"].encode()) for one in document["files"]
        )
        version = {SCHEMA: int(document["version"])}[document["schema"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = InputProblem(source, "holds no synced rules", hint="remove it: the next sync brings them anew")
        raise InputError([problem]) from error
    return SyncedBundle(version, files)


def rules_of(bundle: SyncedBundle, *, site_id: str, appliance_id: str) -> SyncedRules:
    """Return what a bundle says for one appliance. Never raises: what is wrong is set aside by itself.

    A site's own rule replaces the fleet's of the same id.
    """
    rules: dict[str, Rule] = {}
    tried: dict[str, Rule] = {}
    quarantined: list[QuarantinedRule] = []
    for file in bundle.files:
        source = RuleSource.PROMOTED if file.role == PROMOTED else RuleSource.SYNCED
        try:
            document = read_document(file.content, source=file.path)
            stages = _stages(document)
            good, bad = read_rules(_without_stages(document), source=source)
        except InputError as error:
            quarantined.append(QuarantinedRule(file.path, source, error.message, place=file.path))
            continue
        quarantined += bad
        for rule in good:
            reason = _not_allowed(rule)
            stage = stages.get(rule.rule_id, _Stage())
            acts = stage.acts(rule.rule_id, site_id, appliance_id)
            if reason or acts is None:
                why = reason or f"unknown stage {stage.name!r}: this agent is older than its control plane"
                quarantined.append(QuarantinedRule(rule.rule_id, source, why, str(rule.action), rule.place))
            else:
                rules.pop(rule.rule_id, None)  # of the fleet: a site's own word replaces it, also where it only tries
                tried.pop(rule.rule_id, None)
                (rules if acts else tried)[rule.rule_id] = rule
    return SyncedRules(tuple(rules.values()), tuple(tried.values()), tuple(quarantined))


def _not_allowed(rule: Rule) -> str:
    """Return why a rule may not do what it asks for.

    What signs promoted rules is a key that stands on a server. All that it can do is to bind a pattern to a runbook
    that is here, behind every rule that people wrote.
    """
    if rule.source is not RuleSource.PROMOTED:
        return ""
    if rule.action.prefix not in _RUNBOOK_PREFIXES:
        return f"a promoted rule may only run a runbook, not {rule.action.prefix}"
    if rule.priority < PRIORITY_DEFAULT:
        return f"a promoted rule may not go before others: priority {rule.priority}, at least {PRIORITY_DEFAULT}"
    return ""


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str = "enabled"
    share: float = 1.0

    def acts(self, rule_id: str, site_id: str, appliance_id: str) -> bool | None:
        """Tell whether this appliance acts; ``None`` for a stage that is not known."""
        if self.name == "canary":
            return in_canary(rule_id, site_id, appliance_id, self.share)
        return {"enabled": True, "shadow": False}.get(self.name)


def _stages(document: Located) -> dict[str, _Stage]:
    stages = {}
    for entry in _entries(document):
        if isinstance(entry, Mapping) and isinstance(rule_id := entry.get("rule_id"), str):
            share = entry.get("share", 1)
            is_share = isinstance(share, int | Decimal) and not isinstance(share, bool)
            stages[rule_id] = _Stage(str(entry.get("stage", "enabled")), float(share) if is_share else 0.0)
    return stages


def _without_stages(document: Located) -> Located:
    entries: list[Any] = [
        {key: value for key, value in entry.items() if key not in {"stage", "share"}}
        if isinstance(entry, Mapping)
        else entry
        for entry in _entries(document)
    ]
    if not isinstance(document.value, Mapping) or not isinstance(document.value.get("rules"), list):
        return document
    return replace(document, value={**document.value, "rules": entries})


def _entries(document: Located) -> Sequence[Any]:
    rules = document.value.get("rules") if isinstance(document.value, Mapping) else None
    return rules if isinstance(rules, list) else ()
