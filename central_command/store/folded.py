"""What one fold brought: for each rule its runs, the fixes that came back and those that lasted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Fix:
    """One fix that came back, or lasted."""

    site_id: str
    appliance_id: str
    rule_id: str | None
    pattern_id: UUID | None
    target_id: str
    fixed_at: datetime


@dataclass(slots=True)
class RuleRuns:
    """What one fold brings for one rule.

    Attributes:
        matches: Attempts, however they ended.
        successes: Verified fixes.
        failures: Attempts that failed, or failed their verification.
        not_applicable: Attempts that found nothing to do.
        failed: Failures since the rule came into its stage, by site and appliance.
        heard: What the decay test is to hear, in order of time: site, appliance, success.
        relapsed: The fixes that came back.
        lasted: The fixes that lasted.

    """

    matches: int = 0
    successes: int = 0
    failures: int = 0
    not_applicable: int = 0
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    heard: list[tuple[str, str, bool]] = field(default_factory=list)
    relapsed: list[Fix] = field(default_factory=list)
    lasted: list[Fix] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Folded:
    """What one fold brought.

    Attributes:
        rows: Reports that were folded.
        rules: What each rule did, by rule id.
        patterns: Patterns whose numbers changed.

    """

    rows: int
    rules: Mapping[str, RuleRuns]
    patterns: frozenset[UUID]
