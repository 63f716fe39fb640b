"""Runbooks and resources: content as typed data. ``runbooks/README.md`` documents the format.

A runbook's *detect* half only reports facts; ``applies_when`` and ``pass_when`` are patterns over
those facts, judged on the appliance. So a broken or silent script can never come out as ``pass``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

RUNBOOK_ID: Final = re.compile(r"^[A-Z][A-Z0-9]*(-[A-Z0-9]+)+$")
NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
SCRIPT_LENGTH_MAX: Final = 65_536
"""Longest script, in characters; the kernel takes at most 128 KiB for one argument."""


def _refuse_blank(script: str) -> str:
    """Refuse a script that does nothing: a remedy that is one would be run, and fail, again and again."""
    if all(not line.strip() or line.strip().startswith("#") for line in script.splitlines()):
        message = "the script holds no command"
        raise ValueError(message)
    return script


Name = Annotated[str, Field(pattern=NAME)]
Script = Annotated[str, Field(min_length=1, max_length=SCRIPT_LENGTH_MAX), AfterValidator(_refuse_blank)]
JsonObject = dict[str, Any]
"""A pattern or a table of values as read; judged further when the catalogue is loaded."""


class Model(BaseModel):
    """Base of all content: unknown keys refused, values immutable, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Parameter(Model):
    """One parameter of a runbook or resource. It reaches a script as ``$PARAM_NAME``, never as code.

    ``min`` and ``max`` bound an integer, ``pattern`` (whole value) and ``choices`` a string.
    """

    type: Literal["string", "integer", "boolean"]
    description: str = Field(min_length=1)
    default: str | int | bool | None = None
    min: int | None = None
    max: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] | None = Field(default=None, strict=False)


class FactSchema(Model):
    """The type of one fact that a detect step reports as a ``name=value`` line.

    ``list`` gathers every line of that name, in order; the others take exactly one line. A fact
    that is not ``optional`` and does not appear makes the check an ``error``, never a ``pass``.
    """

    type: Literal["string", "integer", "boolean", "list"]
    description: str = ""
    optional: bool = False


class Controls(Model):
    """What a check supports. A technical check supports a citation; it never makes anyone compliant."""

    hipaa: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    nist_800_53: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Effects(Model):
    """What a remediation does to the people who use the machine (ComplianceAsCode's words)."""

    disruption: Literal["none", "low", "medium", "high"] = "none"
    reboot: Literal["never", "maybe", "always"] = "never"
    reversible: bool = True


class Step(Model):
    """One step: a resource used as data, or a script. Exactly one of the two.

    Attributes:
        id: Name within the runbook, for reports.
        resource: Resource id.
        with_: Its parameter values; ``{$param: name}`` takes a parameter of the runbook.
        script: POSIX ``sh``, or PowerShell in a runbook for Windows.
        as_: The step's facts are nested under this name (needed when one resource is used twice).
        timeout_s: This step's own limit, in seconds.

    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    id: Name | None = None
    resource: Name | None = None
    with_: JsonObject = Field(default_factory=dict, alias="with")
    script: Script | None = None
    as_: Name | None = Field(default=None, alias="as")
    timeout_s: int | None = Field(default=None, ge=1, le=3600)

    @model_validator(mode="after")
    def _one_of(self) -> Step:
        if (self.resource is None) == (self.script is None):
            message = "a step is either a resource or a script"
            raise ValueError(message)
        if self.script is not None and self.with_:
            message = "'with' belongs to a resource; a script reads the runbook's parameters from $PARAM_NAME"
            raise ValueError(message)
        return self


class Phase(Model):
    """A list of steps.

    Attributes:
        privilege: ``root`` when the steps need root; without root a check is ``not_assessed``.
        timeout_s: Limit of each step that names none, in seconds.
        steps: At least one.

    """

    privilege: Literal["user", "root"] = "root"
    timeout_s: int = Field(default=30, ge=1, le=3600)
    steps: Annotated[tuple[Step, ...], Field(min_length=1, strict=False)]


class Guard(Model):
    """A reason not to remediate: when the pattern matches the facts, the outcome is ``not_applicable``."""

    when: JsonObject
    reason: str = Field(min_length=1)


CONFIRM_SLACK_S: Final = 30
"""Seconds that a confirmation needs at least, beyond the time of the remedy's own steps: a login and a detect."""


class Remediate(Phase):
    """How to mend it, and when not to.

    ``confirm_within_s`` is for changes that may cut the agent off (SSH, sudo, firewall): the target takes the
    change back by itself, that many seconds after it began, unless a session that logged in since confirms it.
    """

    guards: Annotated[tuple[Guard, ...], Field(strict=False)] = ()
    confirm_within_s: int | None = Field(default=None, ge=CONFIRM_SLACK_S, le=900)


class Verify(Model):
    """Verification is a fresh detect. ``settle_s`` waits first, for services that need a moment."""

    settle_s: float = Field(default=0, ge=0, le=300, strict=False)


class Runbook(Model):
    """One check with its remedy."""

    schema_: Literal["runbook/v1"] = Field(alias="schema")
    id: str = Field(pattern=RUNBOOK_ID.pattern)
    version: int = Field(ge=1)
    title: str = Field(min_length=1)
    description: str = ""
    check_type: Name
    severity: Literal["low", "medium", "high", "critical"]
    platforms: Annotated[tuple[Literal["linux", "windows"], ...], Field(min_length=1, strict=False)]
    controls: Controls
    references: Annotated[tuple[str, ...], Field(strict=False)] = ()
    parameters: dict[Name, Parameter] = Field(default_factory=dict)
    effects: Effects = Field(default_factory=Effects)
    facts: dict[Name, FactSchema] = Field(default_factory=dict)
    detect: Phase
    applies_when: JsonObject | None = None
    not_applicable_reason: str = ""
    pass_when: JsonObject
    fail_reason: str = Field(min_length=1)
    remediate: Remediate | None = None
    no_remedy_reason: str = ""
    verify: Verify = Field(default_factory=Verify)
    rollback: Phase | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Runbook:
        if self.applies_when is not None and not self.not_applicable_reason:
            message = "not_applicable_reason: say for people why the check does not apply"
            raise ValueError(message)
        if self.remediate is None and not self.no_remedy_reason:
            message = "no_remedy_reason: say for people why a machine does not mend this"
            raise ValueError(message)
        if self.remediate is not None and self.effects.reversible and self.rollback is None:
            message = "rollback: a reversible remediation needs one (or say effects.reversible: false)"
            raise ValueError(message)
        self._confirmable()
        return self

    def _confirmable(self) -> None:
        if self.remediate is None or self.remediate.confirm_within_s is None:
            return
        if self.platforms == ("windows",):
            message = "confirm_within_s: a Windows machine takes nothing back by itself yet"
            raise ValueError(message)
        if self.rollback is None or "user" in {self.remediate.privilege, self.rollback.privilege}:
            message = "confirm_within_s: the target takes it back as root: a rollback is needed, and root for both"
            raise ValueError(message)
        busy_s = sum(step.timeout_s or self.remediate.timeout_s for step in self.remediate.steps)
        least_s = busy_s + self.verify.settle_s + CONFIRM_SLACK_S
        if self.remediate.confirm_within_s < least_s:
            message = (
                f"confirm_within_s: the steps may take {busy_s} s, a login and a detect follow: give it {least_s:g}"
            )
            raise ValueError(message)


class ResourceOperation(Model):
    """One operation of a resource."""

    script: Script


class Resource(Model):
    """A small reviewed function with get, set and (where it changes files) restore, used by runbooks as data.

    A file names ``functions``; once loaded, that is their text.
    """

    schema_: Literal["resource/v1"] = Field(alias="schema")
    id: Name
    platforms: Annotated[tuple[Literal["linux", "windows"], ...], Field(min_length=1, strict=False)]
    description: str = Field(min_length=1)
    parameters: dict[Name, Parameter] = Field(default_factory=dict)
    facts: dict[Name, FactSchema] = Field(default_factory=dict)
    functions: str = Field(
        default="", max_length=131_072, description="For Windows: the file of PowerShell functions beside this one."
    )
    get: ResourceOperation | None = None
    set: ResourceOperation | None = None
    restore: ResourceOperation | None = None
