"""One rule as written in a rules document."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from compliance_agent.domain.rule import PRIORITY_DEFAULT
from compliance_agent.domain.runbook import JsonObject, Model

_PRIORITY_MAX: Final = 2**31 - 1
_COOLDOWN_MAX_S: Final = 31_536_000

RuleId = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[!-~]+$", description="Unique over all sources; no spaces."),
]
Priority = Annotated[int, Field(ge=-_PRIORITY_MAX, le=_PRIORITY_MAX, description="Lower goes first.")]
Cooldown = Annotated[int, Field(ge=0, le=_COOLDOWN_MAX_S)]


class RuleEntry(Model):
    """One rule as written."""

    rule_id: RuleId
    name: str = Field(default="", description="One line for people.")
    incident_pattern: JsonObject = Field(description="Which incidents the rule is for; docs/PATTERNS.md.")
    action: str = Field(description="What to do: prefix:argument, e.g. run_linux_runbook:LIN-SSH-001.")
    priority: Priority = PRIORITY_DEFAULT
    enabled: bool = Field(default=True, description="A disabled rule never matches.")
    cooldown_s: Cooldown | None = Field(
        default=None,
        description="Seconds between two attempts of this rule on one target and check; default: the gate's.",
    )
