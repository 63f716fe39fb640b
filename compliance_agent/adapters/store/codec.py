"""Values <-> columns, and the trimming and scrubbing of what machines said before it is kept."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.outcome import StepRecord
from compliance_agent.domain.scrub import scrub
from compliance_agent.wire.json_document import read_json, write_json

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Alert, Outcome

REASON_MAX: Final = 2_000
"""Most characters of a reason or message that are kept."""

STREAM_MAX: Final = 8_192
"""Most characters of one step's output or error that are kept."""

_CUT: Final = " [cut]"


def time_text(at: datetime) -> str:
    """Return a time as fixed-width UTC text, so that text order is time order.

    Raises:
        ValueError: The time has no time zone.

    """
    if at.tzinfo is None:
        message = f"a time without time zone: {at.isoformat()}"
        raise ValueError(message)
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def optional_time_text(at: datetime | None) -> str | None:
    """Return :func:`time_text`, or ``None`` for ``None``."""
    return None if at is None else time_text(at)


def time_value(text: str) -> datetime:
    """Return the time that :func:`time_text` wrote."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def optional_time_value(text: str | None) -> datetime | None:
    """Return :func:`time_value`, or ``None`` for ``None``."""
    return None if text is None else time_value(text)


def json_mapping(text: str) -> dict[str, JsonValue]:
    """Return a JSON object of the state file; numbers come back as ``int`` and ``Decimal``.

    Raises:
        InputError: It is no JSON.
        TypeError: It is no object.

    """
    value = read_json(text, source="the state file")
    if not isinstance(value, dict):
        message = "not a JSON object"
        raise TypeError(message)
    return value


def steps_text(steps: Sequence[StepRecord]) -> str:
    """Return step records as JSON."""
    return write_json([[step.step_id, step.exit_code, step.output, step.error] for step in steps])


def steps_value(text: str) -> tuple[StepRecord, ...]:
    """Return the step records that :func:`steps_text` wrote."""
    return tuple(StepRecord(*fields) for fields in json.loads(text))


def alert_id_for(dedupe_key: str, raised_at: datetime) -> str:
    """Return the id of the alert raised then: a UUIDv8 (RFC 9562) of both.

    Derived, not drawn, so that the store needs no source of chance.
    """
    digest = bytearray(hashlib.sha256(f"{dedupe_key}\x1f{time_text(raised_at)}".encode(errors="replace")).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def clean_text(text: str, length_max: int = REASON_MAX) -> str:
    """Return text as it may be kept: scrubbed, of bounded length, encodable, without NUL.

    Scrubbed before it is cut: half a secret would no longer look like one.
    """
    safe = _safe(_head(text, length_max))
    return safe if len(safe) <= length_max else safe[: length_max - len(_CUT)] + _CUT


def _head(text: str, length_max: int) -> str:
    """Return the start of a flood, so that scrubbing it takes no time: cut at a space, well beyond what is kept."""
    if len(text) <= 4 * length_max:
        return text
    head = text[: 4 * length_max]
    return head[: max(head.rfind(" "), head.rfind("\n"), 2 * length_max)]


def _safe(text: str) -> str:
    return scrub(text).replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def clean_steps(steps: Sequence[StepRecord]) -> tuple[StepRecord, ...]:
    """Return step records as they may be kept."""
    return tuple(
        replace(step, output=clean_text(step.output, STREAM_MAX), error=clean_text(step.error, STREAM_MAX))
        for step in steps
    )


def clean_outcome(outcome: Outcome) -> Outcome:
    """Return an outcome as it may be kept."""
    return replace(
        outcome,
        reason=clean_text(outcome.reason),
        steps=clean_steps(outcome.steps),
        at=outcome.at.astimezone(UTC),
        until=None if outcome.until is None else outcome.until.astimezone(UTC),
    )


def clean_observation(observation: Observation) -> Observation:
    """Return an observation as it may be kept."""
    return replace(observation, reason=clean_text(observation.reason), facts=_clean_object(observation.facts))


def clean_alert(alert: Alert) -> Alert:
    """Return an alert as it may be kept."""
    return replace(alert, summary=clean_text(alert.summary), document=_clean_object(alert.document))


def _clean_object(document: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {_safe(key): _clean_value(value) for key, value in document.items()}


def _clean_value(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return _safe(value)
    if isinstance(value, Mapping):
        return _clean_object(value)
    if isinstance(value, Sequence):
        return [_clean_value(item) for item in value]
    return value
