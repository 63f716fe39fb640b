"""Rows of the state file <-> nouns of the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.store.codec import (
    json_mapping,
    optional_time_text,
    optional_time_value,
    steps_text,
    steps_value,
    time_text,
    time_value,
)
from compliance_agent.adapters.store.rows import (
    AlertState,
    ChannelDelivery,
    DeadAction,
    DeliveryState,
    OpenIncident,
    OutboxCounts,
    OutboxRow,
    QueuedAlert,
    RecordedOutcome,
    Restoration,
    Undo,
)
from compliance_agent.domain.observation import Observation, Verdict
from compliance_agent.domain.outbox import OutboxClass, OutboxEntry, OutboxFate
from compliance_agent.domain.outcome import Alert, Attempt, FinishedAttempt, Outcome, OutcomeKind
from compliance_agent.domain.uplink import UplinkState
from compliance_agent.engine.ports import TargetStatus
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


def target_status(row: sqlite3.Row) -> TargetStatus:
    """Return a row of ``target``."""
    return TargetStatus(
        target_id=row["target_id"],
        scanned_at=optional_time_value(row["scanned_at"]),
        attempted_at=time_value(row["attempted_at"]),
        fault=row["fault"],
        message=row["message"],
    )


def observation(row: sqlite3.Row) -> Observation:
    """Return a row of ``observation``."""
    return Observation(
        check_id=row["check_id"],
        target_id=row["target_id"],
        verdict=Verdict(row["verdict"]),
        reason=row["reason"],
        observed_at=time_value(row["observed_at"]),
        facts=json_mapping(row["facts"]),
    )


def attempt_columns(attempt: Attempt) -> dict[str, str]:
    """Return the columns of an attempt that begins."""
    return {
        "attempt_id": attempt.attempt_id,
        "fingerprint": attempt.fingerprint,
        "incident_id": attempt.incident_id,
        "site_id": attempt.site_id,
        "target_id": attempt.target_id,
        "check_id": attempt.check_id,
        "rule_id": attempt.rule_id,
        "action": attempt.action,
        "runbook_id": attempt.runbook_id,
        "runbook_digest": attempt.runbook_digest,
        "begun_at": time_text(attempt.begun_at),
        "parameters": write_json(attempt.parameters),
    }


def attempt(row: sqlite3.Row) -> Attempt:
    """Return the intent in a row of ``attempt``."""
    return Attempt(
        attempt_id=row["attempt_id"],
        fingerprint=row["fingerprint"],
        incident_id=row["incident_id"],
        site_id=row["site_id"],
        target_id=row["target_id"],
        check_id=row["check_id"],
        rule_id=row["rule_id"],
        action=row["action"],
        runbook_id=row["runbook_id"],
        runbook_digest=row["runbook_digest"],
        begun_at=time_value(row["begun_at"]),
        parameters=json_mapping(row["parameters"]),
    )


def finished_attempt(row: sqlite3.Row) -> FinishedAttempt:
    """Return a row of ``attempt`` that ended, joined with its undo."""
    return FinishedAttempt(
        attempt=attempt(row),
        outcome=OutcomeKind(row["outcome"]),
        reason=row["reason"],
        finished_at=time_value(row["finished_at"]),
        undone_at=optional_time_value(row["undone_at"]),
    )


def outcome_columns(outcome: Outcome) -> dict[str, str | int | None]:
    """Return the columns of an outcome that comes for the first time."""
    return {
        "kind": outcome.kind.value,
        "reason": outcome.reason,
        "incident_id": outcome.incident_id,
        "fingerprint": outcome.fingerprint,
        "target_id": outcome.target_id,
        "check_id": outcome.check_id,
        "at": time_text(outcome.at),
        "rule_id": outcome.rule_id,
        "action": outcome.action,
        "attempt_id": outcome.attempt_id,
        "until": optional_time_text(outcome.until),
        "steps": steps_text(outcome.steps),
        "last_seen_at": time_text(outcome.at),
        "seen_count": 1,
    }


def recorded_outcome(row: sqlite3.Row) -> RecordedOutcome:
    """Return a row of ``outcome``."""
    return RecordedOutcome(
        outcome=Outcome(
            kind=OutcomeKind(row["kind"]),
            reason=row["reason"],
            incident_id=row["incident_id"],
            fingerprint=row["fingerprint"],
            target_id=row["target_id"],
            check_id=row["check_id"],
            at=time_value(row["at"]),
            rule_id=row["rule_id"],
            action=row["action"],
            attempt_id=row["attempt_id"],
            until=optional_time_value(row["until"]),
            steps=steps_value(row["steps"]),
        ),
        last_seen_at=time_value(row["last_seen_at"]),
        seen_count=row["seen_count"],
    )


def open_incident(row: sqlite3.Row) -> OpenIncident:
    """Return a row of ``incident`` joined with its last outcome."""
    return OpenIncident(
        fingerprint=row["fingerprint"],
        site_id=row["site_id"],
        target_id=row["target_id"],
        check_id=row["check_id"],
        opened_at=time_value(row["opened_at"]),
        last_seen_at=time_value(row["last_seen_at"]),
        outcome_kind=None if row["kind"] is None else OutcomeKind(row["kind"]),
        outcome_reason=row["reason"] or "",
        outcome_until=optional_time_value(row["until"]),
        rule_id=row["rule_id"] or "",
        action=row["action"] or "",
    )


def undo(row: sqlite3.Row) -> Undo:
    """Return a row of ``undo``."""
    return Undo(
        attempt_id=row["attempt_id"],
        succeeded=bool(row["succeeded"]),
        actor=row["actor"],
        reason=row["reason"],
        at=time_value(row["at"]),
        steps=steps_value(row["steps"]),
    )


def channel_delivery(row: sqlite3.Row) -> ChannelDelivery:
    """Return a row of ``alert_delivery``."""
    return ChannelDelivery(
        channel=row["channel"],
        state=DeliveryState(row["state"]),
        tries=row["tries"],
        last_error=row["last_error"],
        next_try_at=optional_time_value(row["next_try_at"]),
    )


def queued_alert(row: sqlite3.Row) -> QueuedAlert:
    """Return a row of ``alert``, without its deliveries."""
    return QueuedAlert(
        alert_id=row["alert_id"],
        alert=Alert(
            dedupe_key=row["dedupe_key"],
            kind=OutcomeKind(row["kind"]),
            name=row["name"],
            summary=row["summary"],
            document=json_mapping(row["document"]),
            raised_at=time_value(row["raised_at"]),
        ),
        state=AlertState(row["state"]),
        raised_count=row["raised_count"],
        last_raised_at=time_value(row["last_raised_at"]),
        settled_at=optional_time_value(row["settled_at"]),
    )


def outbox_counts(waiting: Sequence[sqlite3.Row], fates: Sequence[sqlite3.Row]) -> dict[OutboxClass, OutboxCounts]:
    """Return the numbers of each class, from sums over ``outbox`` and the rows of ``outbox_count``."""
    of_kind = {row["kind"]: row for row in waiting}
    counted: dict[str, dict[OutboxFate, int]] = {row["kind"]: {} for row in (*waiting, *fates)}
    for row in fates:
        counted[row["kind"]][OutboxFate(row["fate"])] = row["number"]
    return {
        kind: OutboxCounts(
            waiting=of_kind[kind]["waiting"] if kind in of_kind else 0,
            dead=of_kind[kind]["dead"] if kind in of_kind else 0,
            size_bytes=of_kind[kind]["size_bytes"] if kind in of_kind else 0,
            oldest_at=optional_time_value(of_kind[kind]["oldest_at"]) if kind in of_kind else None,
            fates=counted[kind],
        )
        for kind in OutboxClass
        if kind in counted
    }


def outbox_row(row: sqlite3.Row) -> OutboxRow:
    """Return a row of ``outbox``."""
    return OutboxRow(
        sequence=row["sequence"],
        entry=OutboxEntry(row["entry_id"], OutboxClass(row["kind"]), time_value(row["created_at"]), row["body"]),
        tries=row["tries"],
        last_error=row["last_error"],
        next_try_at=optional_time_value(row["next_try_at"]),
        dead_at=optional_time_value(row["dead_at"]),
    )


def uplink_state(row: sqlite3.Row) -> UplinkState:
    """Return the row of ``uplink``."""
    return UplinkState(
        failures=row["failures"],
        tried_at=optional_time_value(row["tried_at"]),
        succeeded_at=optional_time_value(row["succeeded_at"]),
        next_try_at=optional_time_value(row["next_try_at"]),
        trouble=row["trouble"],
    )


def dead_action(row: sqlite3.Row) -> tuple[str, DeadAction]:
    """Return a row of ``dead_letter_action``: the entry's id, and what was done."""
    return row["entry_id"], DeadAction(row["action"] == "drop", row["actor"], row["reason"], time_value(row["at"]))


def restoration(row: sqlite3.Row) -> Restoration:
    """Return a row of ``restoration``."""
    return Restoration(
        at=time_value(row["at"]),
        reason=row["reason"],
        kept_as=row["kept_as"],
        snapshot_at=optional_time_value(row["snapshot_at"]),
    )
