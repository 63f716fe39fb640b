"""Batches of reports, read: the batch as a whole or not at all, its entries one by one.

``docs/reference/control-plane.md`` specifies them. An entry that cannot be taken spoils no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID  # noqa: TC003 - msgspec reads the annotations

import msgspec

from central_command.api.problems import Problem
from central_command.store.telemetry import Execution, newest_kept, oldest_kept, time_of

ENTRIES_MAX: Final = 1_000
HEARTBEAT_MAX_BYTES: Final = 65_536
"""Most bytes of a sign of life: the last one of each appliance is kept."""

_OLDEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What bytes that are no document raise; the last where they nest without end."""

_Short = Annotated[str, msgspec.Meta(max_length=256)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Batch(msgspec.Struct):
    schema: Literal["report-batch/v1"]
    site_id: str
    appliance_id: str
    sent_at: _Moment
    entries: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=ENTRIES_MAX)]


class Entry(msgspec.Struct):
    """One report of a batch; ``body`` is what it was, byte for byte."""

    id: UUID
    kind: Literal["evidence", "telemetry", "heartbeat"]
    created_at: _Moment
    body: msgspec.Raw


class _Outcome(msgspec.Struct):
    """``outcome-report/v1``; what it may say besides is left alone."""

    schema: Literal["outcome-report/v1"]
    target_id: _Short
    check_id: _Short
    fingerprint: _Short
    outcome: Annotated[str, msgspec.Meta(pattern="^[a-z_]{1,32}$")]
    success: bool
    reason: Annotated[str, msgspec.Meta(max_length=4_000)]
    at: _Moment
    incident_id: _Short | None = None
    incident_type: _Short | None = None
    severity: _Short | None = None
    platform: _Short | None = None
    distro: _Short | None = None
    opened_at: _Moment | None = None
    rule_id: _Short | None = None
    action: _Short | None = None
    attempt_id: UUID | None = None
    runbook_id: _Short | None = None
    runbook_digest: _Short | None = None
    begun_at: _Moment | None = None
    level: Literal["L1", "L2", "L3"] | None = None


class _Undo(msgspec.Struct):
    """``undo-report/v1``."""

    schema: Literal["undo-report/v1"]
    target_id: _Short
    check_id: _Short
    incident_id: _Short
    fingerprint: _Short
    attempt_id: UUID
    rule_id: _Short
    action: _Short
    runbook_id: _Short
    runbook_digest: _Short
    begun_at: _Moment
    succeeded: bool
    actor: _Short
    reason: Annotated[str, msgspec.Meta(max_length=4_000)]
    at: _Moment


class _Kind(msgspec.Struct):
    schema: str


class Heartbeat(msgspec.Struct):
    """``heartbeat/v1``; the rest of it is kept as it is."""

    schema: Literal["heartbeat/v1"]
    at: _Moment
    version: _Short
    outbox: dict[str, dict[str, msgspec.Raw]] = {}

    def reported_until(self) -> datetime:
        """Return until when, by its own clock, the appliance has nothing more to tell.

        Raises:
            ValueError: What it says of its outbox is no time.

        """
        oldest = self.outbox.get("telemetry", {}).get("oldest_at")
        try:
            moment = _times.decode(oldest) if oldest is not None else None
        except _UNREADABLE as error:
            raise ValueError(f"no heartbeat/v1: outbox.telemetry.oldest_at: {error}"[:300]) from error
        return min(self.at, moment) if moment is not None else self.at


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch whose head is right.

    Attributes:
        sent_at: By the appliance's clock.
        entries: What could be read, in order.
        refused: Id and reason of what could not, in order; entries without a readable id cannot be named.

    """

    sent_at: datetime
    entries: tuple[Entry, ...]
    refused: tuple[tuple[str, str], ...]


_batches = msgspec.json.Decoder(_Batch)
_entries = msgspec.json.Decoder(Entry)
_kinds = msgspec.json.Decoder(_Kind)
_outcomes = msgspec.json.Decoder(_Outcome)
_undos = msgspec.json.Decoder(_Undo)
_heartbeats = msgspec.json.Decoder(Heartbeat)
_times = msgspec.json.Decoder(_Moment | None)


def read_batch(body: bytes, *, site_id: str, appliance_id: str, kind: str) -> Batch:
    """Read a batch of one kind, of the appliance that the credential names.

    Raises:
        Problem: It is none, or it is another appliance's.

    """
    try:
        batch = _batches.decode(body)
    except _UNREADABLE as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"no report-batch/v1: {error}"[:300]) from error
    if (batch.site_id, batch.appliance_id) != (site_id, appliance_id):
        detail = f"the credential is for {site_id}/{appliance_id}, the batch of another appliance"
        raise Problem(HTTPStatus.FORBIDDEN, detail)
    entries, refused = [], []
    for raw in batch.entries:
        try:
            entry = _entries.decode(raw)
        except _UNREADABLE as error:
            refused.append((_id_of(raw), f"no report: {error}"[:300]))
            continue
        if entry.kind == kind:
            entries.append(entry)
        else:
            refused.append((str(entry.id), f"{entry.kind} is not taken here"))
    return Batch(batch.sent_at, tuple(entries), tuple(refused))


def read_execution(entry: Entry, *, now: datetime) -> Execution:
    """Return the execution that a report of telemetry tells.

    Raises:
        ValueError: It tells none that can be kept, and why.

    """
    drawn = time_of(entry.id)
    if drawn is None:
        raise ValueError("its id is no UUIDv7")
    if not oldest_kept(now) <= drawn <= newest_kept(now):
        raise ValueError(f"its id was drawn at {drawn:%Y-%m-%d %H:%M} UTC: too old, or the clock was wrong")
    body = bytes(entry.body)
    if b"\\u0000" in body:
        raise ValueError("a text holds NUL, which no table can")
    try:
        if _kinds.decode(body).schema == "undo-report/v1":
            return _of_undo(entry, _undos.decode(body), now)
        return _of_outcome(entry, _outcomes.decode(body), now)
    except _UNREADABLE as error:
        raise ValueError(f"no outcome-report/v1 or undo-report/v1: {error}"[:300]) from error


def _of_outcome(entry: Entry, one: _Outcome, now: datetime) -> Execution:
    if one.success != (one.outcome == "remediated"):
        raise ValueError("success is true for remediated, and for nothing else")
    return Execution(
        execution_id=entry.id,
        ended_at=_moment("at", one.at, now),
        outcome=one.outcome,
        success=one.success,
        level=one.level or ("L1" if one.rule_id and one.attempt_id else None),
        rule_id=one.rule_id,
        runbook_id=one.runbook_id or None,
        runbook_digest=one.runbook_digest or None,
        action=one.action,
        target_id=one.target_id,
        check_id=one.check_id,
        incident_type=one.incident_type,
        platform=one.platform,
        distro=one.distro,
        severity=one.severity,
        incident_id=one.incident_id,
        fingerprint=one.fingerprint,
        opened_at=_moment("opened_at", one.opened_at, now) if one.opened_at else None,
        attempt_id=one.attempt_id,
        begun_at=_moment("begun_at", one.begun_at, now) if one.begun_at else None,
        undoes=None,
        reason=one.reason,
    )


def _moment(name: str, value: datetime, now: datetime) -> datetime:
    """Return a time in UTC that the tables, and whoever reads them, can hold: not before 2000, not in the future."""
    if not _OLDEST <= value <= newest_kept(now):
        raise ValueError(f"{name} is {value.isoformat()}: before 2000, or in the future")
    return value.astimezone(UTC)


def _of_undo(entry: Entry, one: _Undo, now: datetime) -> Execution:
    return Execution(
        execution_id=entry.id,
        ended_at=_moment("at", one.at, now),
        outcome="undone" if one.succeeded else "undo_failed",
        success=False,
        level=None,
        rule_id=one.rule_id or None,
        runbook_id=one.runbook_id or None,
        runbook_digest=one.runbook_digest or None,
        action=one.action,
        target_id=one.target_id,
        check_id=one.check_id,
        incident_type=None,
        platform=None,
        distro=None,
        severity=None,
        incident_id=one.incident_id,
        fingerprint=one.fingerprint,
        opened_at=None,
        attempt_id=None,
        begun_at=_moment("begun_at", one.begun_at, now),
        undoes=one.attempt_id if one.succeeded else None,
        reason=f"{one.actor}: {one.reason}",
    )


def read_heartbeat(entry: Entry) -> Heartbeat:
    """Return a sign of life.

    Raises:
        ValueError: It is none.

    """
    if len(entry.body) > HEARTBEAT_MAX_BYTES:
        raise ValueError(f"it has more than {HEARTBEAT_MAX_BYTES:,} bytes")
    try:
        return _heartbeats.decode(entry.body)
    except _UNREADABLE as error:
        raise ValueError(f"no heartbeat/v1: {error}"[:300]) from error


def _id_of(raw: msgspec.Raw) -> str:
    try:
        value = msgspec.json.decode(raw)
    except _UNREADABLE:
        return ""
    return str(value.get("id", ""))[:64] if isinstance(value, dict) else ""
