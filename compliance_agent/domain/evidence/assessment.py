"""What many entries say together: the state of each check, what was done, and, above all, what was not seen.

One pass over the payloads, in order. Nothing is judged here that the entries do not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.evidence.drafts import ActionKind, EvidenceKind

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

Payload = Mapping[str, "JsonValue"]

TECHNICAL_SAFEGUARDS: Final = {
    "164.312(a)(1)": "Access control",
    "164.312(a)(2)(i)": "Unique user identification (required)",
    "164.312(a)(2)(ii)": "Emergency access procedure (required)",
    "164.312(a)(2)(iii)": "Automatic logoff (addressable)",
    "164.312(a)(2)(iv)": "Encryption and decryption (addressable)",
    "164.312(b)": "Audit controls",
    "164.312(c)(1)": "Integrity",
    "164.312(c)(2)": "Mechanism to authenticate electronic protected health information (addressable)",
    "164.312(d)": "Person or entity authentication",
    "164.312(e)(1)": "Transmission security",
    "164.312(e)(2)(i)": "Integrity controls (addressable)",
    "164.312(e)(2)(ii)": "Encryption (addressable)",
}
"""Standards and implementation specifications of 45 CFR 164.312, in its order."""

_HELD: Final = frozenset({"suppressed", "awaiting_approval", "deferred", "escalated"})
_UNSEEN: Final = frozenset({"not_assessed", "error"})


@dataclass(slots=True)
class CheckState:
    """One check on one target, as it was last seen.

    Attributes:
        verdict: The last one, as text.
        observed_at: When that was.
        seq: The entry that says so.
        outcome: How the last incident's turn ended; empty without one.
        outcome_until: When a hold ends; empty without one.
        healed: How often a fix was verified.
        failed: How often one failed, could not be verified, or was cut off.

    """

    target_id: str
    check_id: str
    title: str = ""
    severity: str = ""
    hipaa: tuple[str, ...] = ()
    nist: tuple[str, ...] = ()
    verdict: str = ""
    reason: str = ""
    observed_at: str = ""
    seq: int = 0
    outcome: str = ""
    outcome_reason: str = ""
    outcome_at: str = ""
    outcome_until: str = ""
    outcome_seq: int = 0
    healed: int = 0
    failed: int = 0


@dataclass(slots=True)
class TargetState:
    """One machine over the period.

    Attributes:
        scans: How often it was reached.
        unreached: How often it was not.
        days: The UTC days on which it was reached.
        lost_days: The UTC days on which it was tried and not reached.
        message: Why it was not reached the last time.

    """

    target_id: str
    address: str = ""
    first_at: str = ""
    last_at: str = ""
    scans: int = 0
    unreached: int = 0
    days: set[date] = field(default_factory=set)
    lost_days: set[date] = field(default_factory=set)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a person did, or that happened to the chain itself."""

    at: str
    seq: int
    action: str
    actor: str
    reason: str
    target_id: str = ""
    check_id: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Days in a row on which a target was not observed."""

    target_id: str
    first: date
    last: date
    why: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """One attempt to mend something."""

    at: str
    seq: int
    target_id: str
    check_id: str
    outcome: str
    reason: str
    rule_id: str
    attempt_id: str


@dataclass(slots=True)
class Assessment:
    """What the entries of a period say together.

    Attributes:
        first_at: Begin of the period: as asked, else the first entry's time.
        last_at: End of the period: as asked, else the last entry's time.
        checks: (target, check) to its state.
        targets: Target to its state.
        acts: What people did, in order.
        remedies: Attempts, in order.
        oddities: What happened to the chain itself: refused entries, lost keys, restored state.
        entries: Entries of the period.

    """

    site_id: str = ""
    first_at: str = ""
    last_at: str = ""
    checks: dict[tuple[str, str], CheckState] = field(default_factory=dict)
    targets: dict[str, TargetState] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    remedies: list[Remedy] = field(default_factory=list)
    oddities: list[Act] = field(default_factory=list)
    entries: int = 0

    def citations(self) -> dict[str, list[CheckState]]:
        """Return HIPAA citation -> checks that support it, both in order."""
        found: dict[str, list[CheckState]] = {}
        for key in sorted(self.checks):
            for citation in self.checks[key].hipaa:
                found.setdefault(citation, []).append(self.checks[key])
        return dict(sorted(found.items()))

    def unsupported(self) -> dict[str, str]:
        """Return the technical safeguards for which no check was observed, with their names."""
        cited = set(self.citations())
        return {citation: name for citation, name in TECHNICAL_SAFEGUARDS.items() if citation not in cited}

    def not_assessed(self) -> list[CheckState]:
        """Return the checks that could not be carried out the last time."""
        return [self.checks[key] for key in sorted(self.checks) if self.checks[key].verdict in _UNSEEN]

    def drift(self) -> list[CheckState]:
        """Return the checks that failed the last time."""
        return [self.checks[key] for key in sorted(self.checks) if self.checks[key].verdict == "fail"]

    def held(self) -> list[CheckState]:
        """Return the drift that is left alone on purpose: suppressed, awaiting approval, deferred, handed on."""
        return [one for one in self.drift() if one.outcome in _HELD]

    def waivers(self) -> list[Act]:
        """Return the waivers in force at the end of the period."""
        live: dict[tuple[str, str], Act] = {}
        for act in self.acts:
            if act.action == ActionKind.WAIVED.value:
                live[act.target_id, act.check_id] = act
            elif act.action == ActionKind.WAIVER_ENDED.value:
                live.pop((act.target_id, act.check_id), None)
        return [act for act in live.values() if not act.until or act.until > self.last_at]

    def gaps(self) -> list[Gap]:
        """Return the days on which a target was not observed, from its first entry to the end of the period."""
        return [gap for key in sorted(self.targets) for gap in _gaps(self.targets[key], self.last_at)]


class Assessor:
    """Builds an assessment, one payload at a time."""

    def __init__(self, *, since: str = "", until: str = "") -> None:
        """Assess what lies from ``since`` to before ``until``; times as the evidence writes them, empty for open."""
        self._since, self._until = since, until
        self._result = Assessment()

    def take(self, payload: Payload) -> None:
        """Take the next verified payload."""
        at = str(payload["at"])
        result = self._result
        result.site_id = str(payload["site_id"])
        is_waiver = payload["kind"] == EvidenceKind.ACTION.value  # one of before may still be in force
        if (self._until and at >= self._until) or (self._since and at < self._since and not is_waiver):
            return
        body = _object(payload["body"])
        if not self._since or at >= self._since:
            result.entries += 1
            result.first_at = min(result.first_at or at, at)
            result.last_at = max(result.last_at, at)
        taker = _TAKERS.get(str(payload["kind"]))
        if taker is not None:
            taker(result, payload, body)

    def finish(self) -> Assessment:
        """Return the assessment of the whole period."""
        result = self._result
        result.first_at = self._since or result.first_at
        if self._until:
            result.last_at = self._until
        result.acts = [act for act in result.acts if act.at >= self._since or act in result.waivers()]
        return result


def _scan(result: Assessment, payload: Payload, body: Payload) -> None:
    target = _target(result, payload, body)
    target.scans += 1
    target.days.add(_day(str(payload["at"])))
    for row in _rows(body.get("checks")):
        state = _check(result, target.target_id, row)
        _observe(state, row, payload)


def _unreachable(result: Assessment, payload: Payload, body: Payload) -> None:
    target = _target(result, payload, body)
    target.unreached += 1
    target.lost_days.add(_day(str(payload["at"])))
    target.message = str(body.get("message", ""))


def _target(result: Assessment, payload: Payload, body: Payload) -> TargetState:
    name, at = str(body["target_id"]), str(payload["at"])
    target = result.targets.setdefault(name, TargetState(name, first_at=at))
    target.address, target.last_at = str(body.get("address", "")), max(target.last_at, at)
    target.first_at = min(target.first_at, at)
    since = _object(body.get("since"))
    target.scans += _number(since.get("scans"))
    target.unreached += _number(since.get("unreached"))
    return target


def _incident(result: Assessment, payload: Payload, body: Payload) -> None:
    incident, outcome, gate = _object(body["incident"]), _object(body["outcome"]), _object(body["gate"])
    target_id = str(incident["target_id"])
    state = _check(result, target_id, _object(body["check"]))
    before = _object(body.get("before"))
    if before:
        _observe(state, before, payload)
    for row in _rows(body.get("after")):
        name = str(row.get("check_id"))
        if name == state.check_id:
            _observe(state, row, payload)
        elif (target_id, name) in result.checks:
            _observe(result.checks[target_id, name], row, payload)
    state.outcome, state.outcome_reason = str(outcome["kind"]), str(outcome["reason"])
    state.outcome_at, state.outcome_seq = str(outcome["at"]), _number(payload["seq"])
    state.outcome_until = str(gate.get("until") or "")
    state.healed += state.outcome == "remediated"
    state.failed += state.outcome in {"failed", "verify_failed", "interrupted"}
    attempt = _object(body.get("attempt"))
    if attempt:
        result.remedies.append(
            Remedy(
                at=str(attempt["begun_at"]),
                seq=_number(payload["seq"]),
                target_id=target_id,
                check_id=state.check_id,
                outcome=state.outcome,
                reason=state.outcome_reason,
                rule_id=str(_object(body.get("rule")).get("rule_id", "")),
                attempt_id=str(attempt["attempt_id"]),
            )
        )


def _action(result: Assessment, payload: Payload, body: Payload) -> None:
    result.acts.append(
        Act(
            at=str(payload["at"]),
            seq=_number(payload["seq"]),
            action=str(body["action"]),
            actor=str(_object(payload["actor"]).get("name", "")),
            reason=str(body["reason"]),
            target_id=str(body["target_id"]),
            check_id=str(body["check_id"]),
            until=str(body.get("until") or ""),
        )
    )


def _odd(result: Assessment, payload: Payload, body: Payload) -> None:
    actor = _object(payload["actor"])
    result.oddities.append(
        Act(
            at=str(payload["at"]),
            seq=_number(payload["seq"]),
            action=str(payload["kind"]),
            actor=str(actor.get("name", "")),
            reason=str(body.get("reason", "")),
            target_id=str(body.get("target_id", "")),
            check_id=str(body.get("check_id", "")),
        )
    )


_TAKERS: Final = {
    EvidenceKind.SCAN.value: _scan,
    EvidenceKind.UNREACHABLE.value: _unreachable,
    EvidenceKind.INCIDENT.value: _incident,
    EvidenceKind.ACTION.value: _action,
    EvidenceKind.KEY_ROTATED.value: _odd,
    EvidenceKind.KEY_REPLACED.value: _odd,
    EvidenceKind.SEGMENTS_PRUNED.value: _odd,
    EvidenceKind.STATE_RESTORED.value: _odd,
    EvidenceKind.REFUSED.value: _odd,
}


def _check(result: Assessment, target_id: str, row: Payload) -> CheckState:
    check_id = str(row["check_id"])
    state = result.checks.setdefault((target_id, check_id), CheckState(target_id, check_id))
    if row.get("title"):
        state.title, state.severity = str(row["title"]), str(row.get("severity", ""))
        state.hipaa = tuple(str(one) for one in _list(row.get("hipaa")))
        state.nist = tuple(str(one) for one in _list(row.get("nist_800_53")))
    return state


def _observe(state: CheckState, row: Payload, payload: Payload) -> None:
    state.verdict, state.reason = str(row["verdict"]), str(row["reason"])
    state.observed_at, state.seq = str(row["observed_at"]), _number(payload["seq"])


def _gaps(target: TargetState, last_at: str) -> list[Gap]:
    gaps: list[Gap] = []
    day, end = _day(target.first_at), _day(last_at)
    while day <= end:
        if day not in target.days:
            why = f"not reached: {target.message}" if day in target.lost_days else "no scan was made"
            if gaps and gaps[-1].last == day - timedelta(days=1) and gaps[-1].why == why:
                gaps[-1] = Gap(target.target_id, gaps[-1].first, day, why)
            else:
                gaps.append(Gap(target.target_id, day, day, why))
        day += timedelta(days=1)
    return gaps


def _day(at: str) -> date:
    return date.fromisoformat(at[:10])


def _object(value: JsonValue) -> Payload:
    return value if isinstance(value, Mapping) else {}


def _list(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _rows(value: JsonValue) -> list[Payload]:
    return [row for row in _list(value) if isinstance(row, Mapping)]


def _number(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0
