"""What people decide: pauses, waivers, approvals. Each has a named actor, a reason and an end."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.gate.decision import Allow, Hold, HoldKind
from compliance_agent.domain.gate.words import when

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from compliance_agent.domain.evidence.drafts import ActionKind
    from compliance_agent.domain.gate.decision import Decision
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.timeline import Instant


@dataclass(frozen=True, slots=True)
class Term:
    """Until when something holds: over as soon as either the wall clock or the elapsed time says so.

    Attributes:
        wall: For people and for dates, UTC.
        elapsed_s: On the durable counter.

    """

    wall: datetime
    elapsed_s: float

    def is_over(self, now: Instant) -> bool:
        """Tell whether it is over. A clock that is set back does not make it longer."""
        return now.wall >= self.wall or now.elapsed_s >= self.elapsed_s


@dataclass(frozen=True, slots=True)
class Pause:
    """The kill switch, as the command line sets it. ``until`` ``None`` lasts until ``resume``."""

    actor: str
    reason: str
    at: datetime
    until: Term | None = None

    def is_over(self, now: Instant) -> bool:
        """Tell whether it is over: by the elapsed time alone, so that a clock set forward does not resume healing."""
        return self.until is not None and now.elapsed_s >= self.until.elapsed_s


@dataclass(frozen=True, slots=True)
class PauseOrder:
    """The kill switch, as its file gives it.

    Attributes:
        mark: Tells this file from any other that lay there before, or lies there later.
        actor: The account that owns the file.
        reason: What it says; may be empty.
        until: When it ends by itself, UTC; ``None``: when the file is removed.
        trouble: What of it cannot be understood, so that it ends with the file alone; empty when all can.

    """

    mark: str
    actor: str
    reason: str = ""
    until: datetime | None = None
    trouble: str = ""

    @property
    def words(self) -> str:
        """Return the reason for people: never empty."""
        said = self.reason or "the file gives no reason"
        return f"{said} ({self.trouble}, so it lasts until the file is removed)" if self.trouble else said


@dataclass(frozen=True, slots=True)
class NotedPause:
    """A pause file as it was noted when it was first seen.

    Attributes:
        mark: Of the order.
        pause: Who, why, since when, until when.
        over: Its end was noted, too.

    """

    mark: str
    pause: Pause
    over: bool = False

    def is_over(self, now: Instant) -> bool:
        """Tell whether its time is over: for good, once that was noted."""
        return self.over or self.pause.is_over(now)


def note_of(order: PauseOrder, now: Instant) -> NotedPause:
    """Return what is noted of a pause file that is seen for the first time.

    Its end counts from here by elapsed time, like that of any pause. An end that is past already ends nothing: whoever
    laid the file there meant it.
    """
    words, until = order.words, None
    if order.until is not None and order.until > now.wall:
        until = Term(order.until, now.elapsed_s + (order.until - now.wall).total_seconds())
    elif order.until is not None:
        past = f"its until, {when(order.until)}, was past when it was seen"
        words = replace(order, trouble=past).words
    return NotedPause(order.mark, Pause(order.actor, words, now.wall, until))


def pause_of_file(order: PauseOrder | None, noted: NotedPause | None, now: Instant) -> Pause | None:
    """Return the pause that the file asks for now; ``None`` without a file, or where this very one's time is over."""
    if order is None:
        return None
    if noted is None or noted.mark != order.mark:
        noted = note_of(order, now)
    return None if noted.is_over(now) else noted.pause


class Told(StrEnum):
    """What people were told of a waiver's end: each once."""

    NOTHING = ""
    SOON = "soon"
    OVER = "over"


AHEAD_S: Final = 604_800.0
"""Most seconds before a waiver's end at which people are told that it comes: a week."""
_AHEAD_SHARE: Final = 4
"""Of a shorter one they are told in its last quarter: who waives for an hour need not be told at once."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """An accepted risk: this check on this target is not mended, and says so in every report.

    Attributes:
        told: What people were told of its end. One whose end was told is over for good, whatever the clock says then.

    """

    target_id: str
    check_id: str
    actor: str
    reason: str
    at: datetime
    until: Term
    told: Told = Told.NOTHING

    @property
    def place(self) -> str:
        """Return ``TARGET/CHECK``."""
        return f"{self.target_id}/{self.check_id}"

    def is_over(self, now: Instant) -> bool:
        """Tell whether it is over."""
        return self.told is Told.OVER or self.until.is_over(now)

    def to_tell(self, now: Instant) -> Told:
        """Return what people must be told now, and were not; ``NOTHING`` else."""
        if self.told is Told.OVER:
            return Told.NOTHING
        if self.until.is_over(now):
            return Told.OVER
        ahead_s = min(AHEAD_S, (self.until.wall - self.at).total_seconds() / _AHEAD_SHARE)
        from_then = Term(self.until.wall - timedelta(seconds=ahead_s), self.until.elapsed_s - ahead_s)
        return Told.SOON if self.told is Told.NOTHING and from_then.is_over(now) else Told.NOTHING


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A plan that waits for a person's word.

    Attributes:
        incident_id: Which incident.
        plan_digest: Of exactly what would be done; see :func:`plan_digest`.
        summary: The same for people.
        at: When it was first asked, UTC.

    """

    incident_id: str
    target_id: str
    check_id: str
    plan_digest: str
    summary: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word for one plan, once."""

    incident_id: str
    plan_digest: str
    actor: str
    reason: str
    at: datetime
    until: Term


@dataclass(frozen=True, slots=True)
class Choice:
    """A person's choice of a runbook for one incident that no rule matches: good for one attempt.

    Attributes:
        incident_id: Which incident.
        runbook_id: What is to run.
        until: When it lapses unused.

    """

    incident_id: str
    target_id: str
    check_id: str
    runbook_id: str
    actor: str
    reason: str
    at: datetime
    until: Term


@dataclass(frozen=True, slots=True)
class PersonAction:
    """One thing that a named person did, as the audit keeps it.

    Attributes:
        kind: What.
        actor: Login of the person.
        reason: In that person's words.
        at: When, UTC.
        target_id: The machine; empty for all.
        check_id: The check; empty for all.
        until: When it ends by itself, UTC.
        details: What else identifies it.

    """

    kind: ActionKind
    actor: str
    reason: str
    at: datetime
    target_id: str = ""
    check_id: str = ""
    until: datetime | None = None
    details: Mapping[str, JsonValue] = field(default_factory=dict)


def plan_digest(
    *, incident_id: str, action: str, rule_digest: str, runbook_digest: str, parameters: Mapping[str, object]
) -> str:
    """Return the identity of exactly what would be done: 64 hex digits of SHA-256."""
    parts = [
        incident_id,
        action,
        rule_digest,
        runbook_digest,
        {key: str(parameters[key]) for key in sorted(parameters)},
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def judge_kill_switch(by_file: Pause | None, pause: Pause | None, now: Instant) -> Decision:
    """Hold while a person has stopped all healing: by the file (see :func:`pause_of_file`), or by ``pause``."""
    if by_file is not None:
        text = f"healing is stopped by the pause file of {by_file.actor}: {by_file.reason}"
        until = now.wall_at(by_file.until.elapsed_s) if by_file.until else None
        return Hold(HoldKind.KILL_SWITCH, text, until, "remove the pause file")
    if pause is None or pause.is_over(now):
        return Allow()
    until = now.wall_at(pause.until.elapsed_s) if pause.until else None
    text = f"healing is paused by {pause.actor}: {pause.reason}"
    return Hold(HoldKind.KILL_SWITCH, text, until, "compliance-agent resume --reason ...")


def judge_waiver(waiver: Waiver | None, now: Instant) -> Decision:
    """Hold while the risk is accepted."""
    if waiver is None or waiver.is_over(now):
        return Allow()
    text = f"risk accepted by {waiver.actor} until {when(waiver.until.wall)}: {waiver.reason}"
    clear = f"compliance-agent waivers withdraw {waiver.place} --reason ..."
    return Hold(HoldKind.WAIVER, text, waiver.until.wall, clear)


def judge_approval(approval: Approval | None, *, needed: bool, digest: str, incident_id: str, now: Instant) -> Decision:
    """Hold until a person has approved exactly this plan; an approval serves once, and ends."""
    if not needed:
        return Allow()
    clear = f"compliance-agent approve {incident_id} --reason ..."
    if approval is None:
        return Hold(HoldKind.APPROVAL, "it disrupts work, so a person is asked first", None, clear)
    if approval.plan_digest != digest:
        return Hold(HoldKind.APPROVAL, "the plan has changed since it was approved", None, clear)
    if approval.until.is_over(now):
        return Hold(HoldKind.APPROVAL, f"the approval by {approval.actor} has expired", None, clear)
    return Allow(f"approved by {approval.actor}")
