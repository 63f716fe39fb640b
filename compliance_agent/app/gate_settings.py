"""The settings of the gate: when healing must wait."""

from __future__ import annotations

import re
from datetime import time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from compliance_agent.domain.gate import BlastLimits, FlapPolicy, GatePolicy
from compliance_agent.domain.gate.damping import FAST, SLOW, Damping
from compliance_agent.domain.gate.windows import DAYS, MaintenanceWindow
from compliance_agent.domain.runbook import Model
from compliance_agent.wire.target_document import Wildcard
from compliance_agent.wire.validation import RefusedError
from compliance_agent.wire.way_entry import PathText

if TYPE_CHECKING:
    from compliance_agent.domain.gate.policy import Disruption

_GATE: Final = GatePolicy()
_LIMITS: Final = BlastLimits()
_MIDNIGHT: Final = "24:00"
_TIME: Final = re.compile(r"^([01][0-9]|2[0-3]):([0-5][0-9])$")


def _as_time(text: str) -> str:
    if not _TIME.match(text):
        raise RefusedError(f"got {text!r}, need a local time", 'write it in quotes, like "22:30"')
    return text


def _as_start(text: str) -> str:
    if text == _MIDNIGHT:
        raise RefusedError(f"got {text!r}, which no day begins with", 'write "00:00", on the day after')
    return _as_time(text)


def _as_end(text: str) -> str:
    return text if text == _MIDNIGHT else _as_time(text)


def _as_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError) as error:
        near = get_close_matches(text, available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "write it like America/New_York, or UTC"
        raise RefusedError(f"there is no time zone {text!r}", hint) from error
    return text


StartText = Annotated[str, AfterValidator(_as_start)]
EndText = Annotated[str, AfterValidator(_as_end)]
ZoneText = Annotated[str, AfterValidator(_as_zone)]


class WindowSettings(Model):
    """A maintenance window."""

    name: str = Field(min_length=1, max_length=64, description="For people.")
    start: StartText = Field(description="Local time at which it opens, in quotes.")
    end: EndText = Field(
        description='Local time at which it closes; on the next day if not later than start. "24:00" is midnight.'
    )
    timezone: ZoneText = Field(description="Time zone, such as America/New_York; daylight saving time is minded.")
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=DAYS, strict=False, min_length=1, description="Days of the week on which it opens."
    )
    targets: tuple[Wildcard, ...] = Field(
        default=(), strict=False, description="Target ids or wildcards; with neither targets nor tags: all targets."
    )
    tags: tuple[Wildcard, ...] = Field(default=(), strict=False, description="Tags of targets that it is for.")

    @model_validator(mode="after")
    def _opens(self) -> WindowSettings:
        if self.start == self.end:
            raise RefusedError("start and end are the same", 'a whole day is "00:00" to "24:00"')
        return self

    def window(self) -> MaintenanceWindow:
        """Return the domain's window."""
        return MaintenanceWindow(
            name=self.name,
            start=time.fromisoformat(self.start),
            end=time(0) if self.end == _MIDNIGHT else time.fromisoformat(self.end),
            zone=ZoneInfo(self.timezone),
            days=frozenset(DAYS.index(day) for day in self.days),
            targets=self.targets,
            tags=self.tags,
        )


class FlapSettings(Model):
    """How a fix that comes back is damped."""

    half_life_s: int = Field(
        default=int(FAST.half_life_s), ge=60, le=604_800, description="In which the score of quick loops halves."
    )
    slow_half_life_s: int = Field(
        default=int(SLOW.half_life_s), ge=60, le=2_592_000, description="The same for daily loops."
    )
    suppress: int = Field(
        default=int(FAST.suppress),
        ge=1_000,
        le=12_000,
        description="Score at which healing pauses; each return adds 1000.",
    )
    reuse: int = Field(default=int(FAST.reuse), ge=1, le=999, description="Score at which the single try is made.")
    hold_max_s: int = Field(
        default=int(_GATE.flap.hold_max_s), ge=3_600, le=604_800, description="Longest pause, however often doubled."
    )

    def policy(self) -> FlapPolicy:
        """Return the domain's policy."""
        fast = Damping(self.half_life_s, self.suppress, self.reuse)
        return FlapPolicy(fast, Damping(self.slow_half_life_s, self.suppress, self.reuse), self.hold_max_s)


class LimitSettings(Model):
    """Most remediations, whatever rules or the control plane ask for."""

    target_hour: int = Field(default=_LIMITS.target_hour, ge=0, le=10_000, description="On one target within an hour.")
    target_day: int = Field(default=_LIMITS.target_day, ge=0, le=10_000, description="On one target within 24 h.")
    runbook_hour: int = Field(default=_LIMITS.runbook_hour, ge=0, le=10_000, description="Of one runbook in an hour.")
    runbook_day: int = Field(default=_LIMITS.runbook_day, ge=0, le=10_000, description="Of one runbook within 24 h.")
    site_hour: int = Field(default=_LIMITS.site_hour, ge=0, le=10_000, description="At the whole site in an hour.")
    site_day: int = Field(default=_LIMITS.site_day, ge=0, le=10_000, description="At the whole site within 24 h.")


class GateSettings(Model):
    """When healing must wait."""

    cooldown_s: int = Field(
        default=_GATE.cooldown_s, ge=0, le=604_800, description="Pause between two attempts of one rule on one check."
    )
    attempts_max: int = Field(
        default=_GATE.attempts_max, ge=1, le=100, description="Failed attempts after which a person is told instead."
    )
    window_s: int = Field(
        default=_GATE.window_s, ge=60, le=2_592_000, description="How far back failed attempts and an undo count."
    )
    breaker_failures: int = Field(
        default=_GATE.breaker_failures,
        ge=1,
        le=100,
        description="Failed attempts in a row on one target after which it is left alone.",
    )
    breaker_pause_s: int = Field(
        default=_GATE.breaker_pause_s, ge=60, le=604_800, description="For how long; then one attempt decides."
    )
    approval_from: Literal["low", "medium", "high", "never"] = Field(
        default="high",
        description="Least disruption of a runbook for which a person is asked; one that reboots always asks.",
    )
    approval_valid_s: int = Field(
        default=86_400, ge=300, le=2_592_000, description="How long an approval is good for; it serves once."
    )
    pause_file: PathText | None = Field(
        default=None,
        description="While this file is there nothing is healed; null stands for PAUSE in state_dir.",
    )
    flap: FlapSettings = Field(default_factory=FlapSettings, description="How a fix that comes back is damped.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Most remediations.")
    windows: tuple[WindowSettings, ...] = Field(
        default=(), strict=False, description="When remediation may run; without any: always."
    )

    def policy(self) -> GatePolicy:
        """Return the domain's policy."""
        approval: Disruption | None = None if self.approval_from == "never" else self.approval_from
        return GatePolicy(
            cooldown_s=self.cooldown_s,
            attempts_max=self.attempts_max,
            window_s=self.window_s,
            breaker_failures=self.breaker_failures,
            breaker_pause_s=self.breaker_pause_s,
            approval_from=approval,
            flap=self.flap.policy(),
            limits=BlastLimits(**self.limits.model_dump()),
            windows=tuple(one.window() for one in self.windows),
        )
