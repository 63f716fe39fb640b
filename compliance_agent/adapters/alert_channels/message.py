"""What an alert looks like on its way: one JSON document, one subject line, one plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from compliance_agent.adapters.store import QueuedAlert
    from compliance_agent.domain.json_value import JsonValue

ALERT_SCHEMA: Final = "alert/v1"
_SUBJECT_MAX: Final = 150


def document(queued: QueuedAlert) -> dict[str, JsonValue]:
    """Return the alert as JSON: ``schema alert_id kind name summary raised_at raised_count details``."""
    alert = queued.alert
    return {
        "schema": ALERT_SCHEMA,
        "alert_id": queued.alert_id,
        "kind": alert.kind.value,
        "name": alert.name,
        "summary": alert.summary,
        "raised_at": alert.raised_at.isoformat(),
        "raised_count": queued.raised_count,
        "details": dict(alert.document),
    }


def one_line(queued: QueuedAlert) -> str:
    """Return the alert on one line, without control characters."""
    text = f"{queued.alert.kind.value} {queued.alert.name}: {queued.alert.summary}"
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def subject(queued: QueuedAlert) -> str:
    """Return the alert as a mail's subject."""
    line = f"[compliance-agent] {one_line(queued)}"
    return line if len(line) <= _SUBJECT_MAX else f"{line[: _SUBJECT_MAX - 3]}..."


def plain_text(queued: QueuedAlert) -> str:
    """Return the alert as text for people, one detail a line."""
    alert = queued.alert
    lines = [alert.summary, "", f"What: {alert.kind.value} {alert.name}", f"Raised: {alert.raised_at.isoformat()}"]
    lines += [f"Times raised: {queued.raised_count}", f"Alert: {queued.alert_id}", ""]
    lines += [
        f"{key}: {value if isinstance(value, str) else write_json(value)}" for key, value in alert.document.items()
    ]
    return "\n".join(lines) + "\n"
