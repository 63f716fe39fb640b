"""A batch of reports as bytes, and the answer to it. ``docs/reference/control-plane.md`` specifies both."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.uplink import EntryAnswer, EntryFate
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.json_document import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.outbox import OutboxEntry

BATCH_SCHEMA: Final = "report-batch/v1"
_FATES: Final = {
    "accepted": EntryFate.TAKEN,
    "duplicate": EntryFate.HAD,
    "retry": EntryFate.AGAIN,
    "rejected": EntryFate.HOPELESS,
}
_REASON_MAX: Final = 500


def write_batch(entries: Sequence[OutboxEntry], *, site_id: str, appliance_id: str, sent_at: datetime) -> bytes:
    """Return the body of one POST. Each entry's own body stands in it byte for byte."""
    head = write_json(
        {
            "schema": BATCH_SCHEMA,
            "site_id": site_id,
            "appliance_id": appliance_id,
            "sent_at": sent_at.isoformat(),
        }
    )
    return b'%s,"entries":[%s]}' % (head[:-1].encode(), b",".join(_write_entry(entry) for entry in entries))


def _write_entry(entry: OutboxEntry) -> bytes:
    head = write_json({"id": entry.entry_id, "kind": entry.kind.value, "created_at": entry.created_at.isoformat()})
    return b'%s,"body":%s}' % (head[:-1].encode(), entry.body)


def batch_key(entries: Sequence[OutboxEntry]) -> str:
    """Return the idempotency key of a batch: the same for the same entries, 32 hex digits of SHA-256."""
    return hashlib.sha256("\n".join(entry.entry_id for entry in entries).encode()).hexdigest()[:32]


def read_answer(body: bytes, *, source: str) -> dict[str, EntryAnswer]:
    """Return what the receiver said of single entries, by id. Of an id that stands twice the last one counts.

    Raises:
        InputError: It is not the answer to a batch.

    """
    document = read_json(body, source=source)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list):
        raise InputError([InputProblem(source, "is no answer to a batch of reports: results is missing")])
    return dict(_read_result(result, source) for result in results)


def _read_result(result: JsonValue, source: str) -> tuple[str, EntryAnswer]:
    fields = result if isinstance(result, dict) else {}
    entry_id, status, reason = fields.get("id"), fields.get("status"), fields.get("reason", "")
    fate = _FATES.get(status) if isinstance(status, str) else None
    if not isinstance(entry_id, str) or fate is None or not isinstance(reason, str):
        raise InputError([InputProblem(source, "is no answer to a batch of reports: results needs id and status")])
    return entry_id, EntryAnswer(fate, reason[:_REASON_MAX])
