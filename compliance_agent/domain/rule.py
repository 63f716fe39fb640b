"""Rules: incident pattern -> action."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from compliance_agent.domain.pattern import Pattern

PRIORITY_DEFAULT: Final = 100


CHOSEN: Final = "a person's choice"
"""Stands where a rule's id would, for what a person chose; no rule's id has a space."""


class RuleSource(StrEnum):
    """Where a rule comes from. At equal priority the earlier source goes first."""

    LOCAL = "local"
    BUILTIN = "builtin"
    SYNCED = "synced"
    PROMOTED = "promoted"


_SOURCE_RANK: Final = {source: rank for rank, source in enumerate(RuleSource)}


@dataclass(frozen=True, slots=True)
class Action:
    """What a rule asks for: ``prefix:argument``."""

    prefix: str
    argument: str

    def __str__(self) -> str:
        """Return ``prefix:argument``."""
        return f"{self.prefix}:{self.argument}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        rule_id: Unique over all sources; a local rule replaces another of its id.
        name: One line for people.
        pattern: Compiled incident pattern.
        action: What to do.
        priority: Lower goes first.
        source: Where it came from.
        enabled: A disabled rule never matches.
        cooldown_s: Seconds between two attempts of this rule on one target and check;
            ``None`` takes the gate's default.
        origin: Its text is ``file:line``; of a huge document the line is counted only when somebody asks.

    """

    rule_id: str
    pattern: Pattern
    action: Action
    name: str = ""
    priority: int = PRIORITY_DEFAULT
    source: RuleSource = RuleSource.LOCAL
    enabled: bool = True
    cooldown_s: int | None = None
    origin: object = ""

    @property
    def place(self) -> str:
        """Return ``file:line`` for people."""
        return str(self.origin)

    @property
    def precedence(self) -> tuple[int, int, str]:
        """Return the sort key: priority (low first), then source, then rule id. Total, since ids are unique."""
        return (self.priority, _SOURCE_RANK[self.source], self.rule_id)


@dataclass(frozen=True, slots=True)
class QuarantinedRule:
    """A rule that was read but must not be dispatched, and why."""

    rule_id: str
    source: RuleSource
    reason: str
    action: str = ""
    place: str = ""
