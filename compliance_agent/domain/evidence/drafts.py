"""What an entry of evidence says: drafts, before they get their place in the chain and are signed.

Nothing is scrubbed here: the one place that signs does it (``wire/evidence/entry.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.evidence.profile import digest_of
from compliance_agent.domain.gate.decision import Hold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from compliance_agent.domain.catalogue import CompiledRunbook
    from compliance_agent.domain.gate.decision import Decision, HoldKind
    from compliance_agent.domain.incident import Incident
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Attempt, Outcome
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.target import Target


class EvidenceKind(StrEnum):
    """What an entry is about."""

    CHAIN_STARTED = "chain_started"
    """The first entry of an appliance: its first public key."""
    SEGMENT_STARTED = "segment_started"
    """The first entry of each later segment: the key in use, and what the segment before ended with."""
    SCAN = "scan"
    """A target was reached: every check with its verdict and facts, and how many scans since were alike."""
    UNREACHABLE = "unreachable"
    """A target was not reached."""
    INCIDENT = "incident"
    """Detect, fix, verify: one incident's turn from observation to outcome, with the gate's answer."""
    ACTION = "action"
    """Something that a named person did: a waiver, an approval, a pause, an undo ..."""
    KEY_ROTATED = "key_rotated"
    """The old key names the new one."""
    KEY_REPLACED = "key_replaced"
    """The old key was lost: the new one names itself, and nothing vouches for it but a person."""
    SEGMENTS_PRUNED = "segments_pruned"
    """Segments older than the retention time were removed."""
    STATE_RESTORED = "state_restored"
    """The state file was damaged or gone: entries that were made after its snapshot are lost."""
    REFUSED = "refused"
    """An entry that could not be signed as it was, since the scrubber was not sure of it: what it was about."""


class ActionKind(StrEnum):
    """What people do that is worth an entry."""

    FLAP_CLEARED = "flap_cleared"
    FLAP_RESTORED = "flap_restored"
    APPROVED = "approved"
    APPROVAL_WITHDRAWN = "approval_withdrawn"
    CHOSEN = "chosen"
    CHOICE_WITHDRAWN = "choice_withdrawn"
    WAIVED = "waived"
    WAIVER_ENDED = "waiver_ended"
    PAUSED = "paused"
    RESUMED = "resumed"
    UNDONE = "undone"
    REHEARSED = "rehearsed"
    EXPORTED = "exported"
    OUTBOX_CHANGED = "outbox_changed"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it.

    Attributes:
        kind: ``agent``, or ``person``.
        name: Of the person: login, as the operating system knows it; ``compliance-agent`` for the agent.

    """

    kind: str
    name: str


AGENT: Final = Actor("agent", "compliance-agent")


def person(name: str) -> Actor:
    """Return a named person.

    Raises:
        ValueError: The name is empty: an action needs somebody who answers for it.

    """
    if not name.strip():
        message = "an action by a person needs the person's name"
        raise ValueError(message)
    return Actor("person", name.strip())


@dataclass(frozen=True, slots=True)
class EvidenceDraft:
    """An entry without its place in the chain.

    Attributes:
        kind: What it is about.
        at: When it happened, UTC.
        site_id: Where.
        body: What is told; see ``docs/reference/evidence.md`` for each kind.
        actor: Who did it.
        target_id: The machine, where there is one.
        check_id: The check, where there is one.
        alike: For scans: drafts of one target with the same text here tell the same. The store seals the
            first of a day and the first that differs, and counts the rest (:mod:`.tally`).

    """

    kind: EvidenceKind
    at: datetime
    site_id: str
    body: Mapping[str, JsonValue]
    actor: Actor = AGENT
    target_id: str = ""
    check_id: str = ""
    alike: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """What an action is about.

    Attributes:
        site_id: The clinic.
        target_id: The machine; empty for all.
        check_id: The check; empty for all.

    """

    site_id: str
    target_id: str = ""
    check_id: str = ""


def action_draft(
    action: ActionKind,
    place: Place,
    *,
    actor: str,
    reason: str,
    at: datetime,
    until: datetime | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> EvidenceDraft:
    """Return the entry for something that a person did.

    Args:
        action: What.
        place: What it is about.
        actor: Name of the person.
        reason: In that person's words.
        at: When, UTC.
        until: When it ends by itself, where it does.
        details: What else identifies it: incident, attempt, plan digest, score ...

    Raises:
        ValueError: The actor has no name.

    """
    body: dict[str, JsonValue] = {
        "action": action.value,
        "reason": reason,
        "target_id": place.target_id,
        "check_id": place.check_id,
        "until": optional_time(until),
        "details": dict(details or {}),
    }
    who = person(actor)
    return EvidenceDraft(EvidenceKind.ACTION, at, place.site_id, body, who, place.target_id, place.check_id)


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one incident's turn when it ends.

    Attributes:
        outcome: How it ended.
        incident: What was answered; ``None`` for an attempt that a crash cut off.
        rule: The rule that matched, where one did.
        attempt: The attempt, where there was one.
        before: What the scan observed.
        after: What a fresh detect observed.
        hold: The gate that held, or empty.
        check: The runbook whose detect half raised it.
        answers: Of each part of the gate, where it was asked.

    """

    outcome: Outcome
    incident: Incident | None = None
    rule: Rule | None = None
    attempt: Attempt | None = None
    before: Observation | None = None
    after: Sequence[Observation] = ()
    hold: str = ""
    check: CompiledRunbook | None = None
    answers: Sequence[tuple[HoldKind, Decision]] = ()


def incident_draft(story: Story, *, site_id: str) -> EvidenceDraft:
    """Return the entry of one detect -> fix -> verify, or of why nothing was done."""
    outcome = story.outcome
    body: dict[str, JsonValue] = {
        "incident": _incident(story),
        "check": check_document(story.check, outcome.check_id),
        "before": _observation(story.before) if story.before else None,
        "rule": rule_document(story.rule) if story.rule else None,
        "gate": {**_gate(story), "parts": [_part(kind, answer) for kind, answer in story.answers]},
        "attempt": _attempt(story.attempt, outcome) if story.attempt else None,
        "after": [_observation(one) for one in story.after],
        "outcome": {"kind": outcome.kind.value, "reason": outcome.reason, "at": time_text(outcome.at)},
    }
    return EvidenceDraft(
        EvidenceKind.INCIDENT,
        outcome.at,
        site_id,
        body,
        target_id=outcome.target_id,
        check_id=outcome.check_id,
    )


def scan_draft(
    target: Target, observations: Sequence[Observation], checks: Mapping[str, CompiledRunbook], *, at: datetime
) -> EvidenceDraft:
    """Return the entry of a scan that reached its target."""
    rows = [{**check_document(checks.get(one.check_id), one.check_id), **_observation(one)} for one in observations]
    verdicts: list[JsonValue] = [[one.check_id, one.verdict.value] for one in observations]
    body: dict[str, JsonValue] = {"target_id": target.target_id, "address": target.address, "checks": [*rows]}
    return EvidenceDraft(
        EvidenceKind.SCAN, at, target.site_id, body, target_id=target.target_id, alike=digest_of(verdicts)
    )


def unreachable_draft(target: Target, *, fault: str, message: str, at: datetime) -> EvidenceDraft:
    """Return the entry of a scan that did not reach its target."""
    body: dict[str, JsonValue] = {
        "target_id": target.target_id,
        "address": target.address,
        "fault": fault,
        "message": message,
    }
    return EvidenceDraft(
        EvidenceKind.UNREACHABLE, at, target.site_id, body, target_id=target.target_id, alike=f"unreachable/{fault}"
    )


def restored_draft(
    *, reason: str, kept_as: str, snapshot_at: datetime | None, at: datetime, site_id: str
) -> EvidenceDraft:
    """Return the entry of a state file that was replaced by its snapshot: the hole that this leaves is not hidden."""
    body: dict[str, JsonValue] = {"reason": reason, "kept_as": kept_as, "snapshot_at": optional_time(snapshot_at)}
    return EvidenceDraft(EvidenceKind.STATE_RESTORED, at, site_id, body)


def refused_draft(draft: EvidenceDraft, reason: str) -> EvidenceDraft:
    """Return the entry that stands where another one could not be signed: its ids, none of its text."""
    body: dict[str, JsonValue] = {
        "kind": draft.kind.value,
        "target_id": draft.target_id,
        "check_id": draft.check_id,
        "reason": reason,
    }
    return EvidenceDraft(
        EvidenceKind.REFUSED, draft.at, draft.site_id, body, draft.actor, draft.target_id, draft.check_id
    )


def check_document(compiled: CompiledRunbook | None, check_id: str) -> dict[str, JsonValue]:
    """Return which check it was, with its citations; the citations are empty for one that is not here any more."""
    if compiled is None:
        return {"check_id": check_id, "title": "", "severity": "", "runbook_digest": "", "hipaa": [], "nist_800_53": []}
    runbook = compiled.runbook
    return {
        "check_id": check_id,
        "title": runbook.title,
        "severity": runbook.severity,
        "runbook_digest": compiled.digest,
        "hipaa": list(runbook.controls.hipaa),
        "nist_800_53": list(runbook.controls.nist_800_53),
    }


def rule_document(rule: Rule) -> dict[str, JsonValue]:
    """Return which rule it was, with a digest over all that decides what it does."""
    decisive: dict[str, JsonValue] = {
        "rule_id": rule.rule_id,
        "pattern": rule.pattern.source,
        "action": str(rule.action),
        "priority": rule.priority,
        "cooldown_s": rule.cooldown_s,
    }
    return {
        "rule_id": rule.rule_id,
        "source": rule.source.value,
        "action": str(rule.action),
        "digest": digest_of(decisive),
    }


def _incident(story: Story) -> dict[str, JsonValue]:
    outcome, incident = story.outcome, story.incident
    known: dict[str, JsonValue] = {
        "incident_id": outcome.incident_id,
        "fingerprint": outcome.fingerprint,
        "target_id": outcome.target_id,
        "check_id": outcome.check_id,
    }
    if incident is None:
        return known
    return {
        **known,
        "hostname": incident.hostname,
        "platform": incident.platform,
        "distro": incident.distro,
        "incident_type": incident.incident_type,
        "severity": incident.severity,
        "opened_at": time_text(incident.opened_at),
        "detected_at": time_text(incident.detected_at),
    }


def _observation(seen: Observation) -> dict[str, JsonValue]:
    return {
        "check_id": seen.check_id,
        "verdict": seen.verdict.value,
        "reason": seen.reason,
        "observed_at": time_text(seen.observed_at),
        "facts": dict(seen.facts),
    }


def _gate(story: Story) -> dict[str, JsonValue]:
    outcome = story.outcome
    if story.attempt is not None:
        return {"answer": "allow"}
    if story.hold:
        return {"answer": "hold", "hold": story.hold, "reason": outcome.reason, "until": optional_time(outcome.until)}
    return {"answer": "not_asked"}


def _part(kind: HoldKind, answer: Decision) -> dict[str, JsonValue]:
    if isinstance(answer, Hold):
        until = optional_time(answer.until)
        return {"part": kind.value, "answer": "hold", "reason": answer.reason, "until": until}
    return {"part": kind.value, "answer": "allow", "reason": answer.note, "until": None}


def _attempt(attempt: Attempt, outcome: Outcome) -> dict[str, JsonValue]:
    return {
        "attempt_id": attempt.attempt_id,
        "begun_at": time_text(attempt.begun_at),
        "runbook_id": attempt.runbook_id,
        "runbook_digest": attempt.runbook_digest,
        "parameters": dict(attempt.parameters),
        "steps": [
            {"step_id": step.step_id, "exit_code": step.exit_code, "output": step.output, "error": step.error}
            for step in outcome.steps
        ],
    }


def time_text(at: datetime) -> str:
    """Return a time as the evidence writes it: UTC, microseconds, fixed width, so that text order is time order."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def optional_time(at: datetime | None) -> str | None:
    """Return :func:`time_text`, or ``None`` for ``None``."""
    return None if at is None else time_text(at)
