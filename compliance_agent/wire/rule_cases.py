"""The cases document of ``rules test``: incidents, and what the rules must answer.

``{"cases": [{name, incident, expect: {rules: [ids in order], winner: id or null, action: text or null}}]}``,
YAML or JSON. ``expect`` names at least one of its three; what it leaves out is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, model_validator

from compliance_agent.domain.runbook import JsonObject, Model
from compliance_agent.errors import InputError
from compliance_agent.wire.validation import RefusedError, problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Located, Path

RuleId = Annotated[str, Field(min_length=1, max_length=128)]
ActionText = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*:\S", description="prefix:argument")]


class ExpectEntry(Model):
    """What the rules must answer. ``null`` means none: no winner, no action."""

    rules: tuple[RuleId, ...] | None = Field(
        default=None, strict=False, description="Ids of all rules that match, in order of precedence; [] for none."
    )
    winner: RuleId | None = Field(default=None, description="Id of the rule that goes first; null for none.")
    action: ActionText | None = Field(default=None, description="Action of the rule that goes first; null for none.")

    @model_validator(mode="after")
    def _judge(self) -> Self:
        asked = self.model_fields_set
        if not asked:
            raise RefusedError("expects nothing", "name at least one of rules, winner, action")
        if self.rules is None and "rules" in asked:
            raise RefusedError("rules is null", "write rules: [] when no rule must match, or leave rules out")
        first = self.rules[0] if self.rules else None
        if {"rules", "winner"} <= asked and self.winner != first:
            raise RefusedError(
                f"the winner {self.winner or 'null'} is not the first of rules",
                "the rule that goes first stands first in rules",
            )
        none = ("rules" in asked and not self.rules) or ("winner" in asked and self.winner is None)
        if none and self.action is not None:
            raise RefusedError("an action is expected of no rule", "name the rule as winner, or expect action: null")
        return self


class CaseEntry(Model):
    """One case as written."""

    name: Annotated[str, Field(min_length=1, max_length=300, description="Unique; what the case shows.")]
    incident: JsonObject = Field(description="The incident, any JSON object; as plan -o json shows it.")
    expect: ExpectEntry = Field(description="What the rules must answer.")


class CasesDocument(Model):
    """A file of cases for ``rules test``."""

    cases: Annotated[tuple[CaseEntry, ...], Field(strict=False, min_length=1, description="The cases, in any order.")]


@dataclass(frozen=True, slots=True)
class RuleCase:
    """One case, read.

    Attributes:
        name: Unique within the document.
        incident: What the rules are asked about.
        expected: Keys ``rules`` (list of ids), ``winner`` and ``action`` (text or ``None``), as far as given.
        place: ``file:line``, of JSON ``file:line:column``.
        line: 1-based line; 0 when unknown.

    """

    name: str
    incident: Mapping[str, JsonValue]
    expected: Mapping[str, JsonValue]
    place: str
    line: int


def read_rule_cases(document: Located) -> list[RuleCase]:
    """Read every case, in the document's order.

    Raises:
        InputError: With everything that is wrong, each with its place and remedy.

    """
    try:
        model = CasesDocument.model_validate(document.value)
    except ValidationError as error:
        raise InputError(problems_of(error, document, model=CasesDocument)) from None
    problems: list[InputProblem] = []
    seen: dict[str, Path] = {}
    cases: list[RuleCase] = []
    for index, entry in enumerate(model.cases):
        path: Path = ("cases", index)
        if entry.name in seen:
            message = f"{entry.name!r} stands twice, first at {document.place(seen[entry.name])}"
            problems.append(document.problem((*path, "name"), message, "give each case a name of its own"))
        seen.setdefault(entry.name, path)
        line, _column = document.position(path)
        cases.append(RuleCase(entry.name, entry.incident, _expected(entry.expect), document.place(path), line))
    if problems:
        raise InputError(problems)
    return cases


def _expected(entry: ExpectEntry) -> dict[str, Any]:
    given: dict[str, Any] = {name: getattr(entry, name) for name in ("rules", "winner", "action")}
    given["rules"] = list(entry.rules or ())
    return {name: value for name, value in given.items() if name in entry.model_fields_set}
