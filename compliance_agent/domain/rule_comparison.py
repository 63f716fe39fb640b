"""What two rule sets answer to the same incidents, and what would change between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.rule_set import RuleSet


class ChangeKind(StrEnum):
    """How the answer to one incident changes. Each incident counts once, under the first that applies."""

    UNCHANGED = "unchanged"
    """The same rule with the same action, or no rule both times."""
    NEWLY_MATCHED = "newly_matched"
    """No rule before, one after."""
    NO_LONGER_MATCHED = "no_longer_matched"
    """A rule before, none after."""
    OTHER_ACTION = "other_action"
    """Another action, whether of the same rule or of another one."""
    OTHER_RULE = "other_rule"
    """Another rule with the same action: nothing else would be done."""


def change_of(before: Rule | None, after: Rule | None) -> ChangeKind:
    """Return how the answer changes when ``after`` goes first instead of ``before``."""
    if before is None or after is None:
        if before is after:
            return ChangeKind.UNCHANGED
        return ChangeKind.NEWLY_MATCHED if before is None else ChangeKind.NO_LONGER_MATCHED
    if before.action != after.action:
        return ChangeKind.OTHER_ACTION
    return ChangeKind.UNCHANGED if before.rule_id == after.rule_id else ChangeKind.OTHER_RULE


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two rule sets, and what was counted over the incidents so far. Holds no incident.

    Attributes:
        before: The rules as they are.
        after: The rules as they would be.
        changes: Incidents by how their answer changes.
        wins_before: Incidents by the rule that goes first before.
        wins_after: The same after.

    """

    before: RuleSet
    after: RuleSet
    changes: Counter[ChangeKind] = field(default_factory=Counter)
    wins_before: Counter[str] = field(default_factory=Counter)
    wins_after: Counter[str] = field(default_factory=Counter)

    def judge(self, incident: Mapping[str, JsonValue]) -> tuple[ChangeKind, Rule | None, Rule | None]:
        """Ask both rule sets about one more incident; return how the answer changes, and both rules."""
        before, after = self.before.first(incident), self.after.first(incident)
        kind = change_of(before, after)
        self.changes[kind] += 1
        if before is not None:
            self.wins_before[before.rule_id] += 1
        if after is not None:
            self.wins_after[after.rule_id] += 1
        return kind, before, after

    @property
    def changed(self) -> int:
        """Return how many incidents would get another answer."""
        return self.changes.total() - self.changes[ChangeKind.UNCHANGED]
