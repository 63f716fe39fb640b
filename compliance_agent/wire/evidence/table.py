"""Evidence as CSV (RFC 4180): one row for each check of each scan, each incident's turn, and each action."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.json_value import JsonValue

COLUMNS: Final = (
    "seq",
    "at",
    "kind",
    "target",
    "check",
    "title",
    "severity",
    "hipaa",
    "nist_800_53",
    "verdict",
    "reason",
    "outcome",
    "outcome_reason",
    "rule",
    "attempt",
    "gate",
    "actor",
    "action",
    "until",
    "agent_version",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class _Sink(Protocol):
    def write(self, text: str, /) -> object: ...


class TableWriter:
    """Writes rows into something that takes text."""

    def __init__(self, sink: _Sink) -> None:
        """Write the header."""
        self._writer = csv.DictWriter(sink, COLUMNS, lineterminator="\r\n")
        self._writer.writeheader()

    def take(self, payload: Mapping[str, JsonValue]) -> None:
        """Write the rows of one verified payload."""
        for row in rows_of(payload):
            self._writer.writerow({name: _cell(value) for name, value in row.items()})


def rows_of(payload: Mapping[str, JsonValue]) -> Iterator[dict[str, str]]:
    """Yield the rows of one entry."""
    body, actor, agent = _object(payload["body"]), _object(payload["actor"]), _object(payload["agent"])
    base = {
        "seq": str(payload["seq"]),
        "at": str(payload["at"]),
        "kind": str(payload["kind"]),
        "target": str(body.get("target_id", "")),
        "actor": str(actor.get("name", "")),
        "agent_version": str(agent.get("version", "")),
    }
    if payload["kind"] == "scan":
        for check in _rows(body.get("checks")):
            yield {**base, **_check(check), "verdict": str(check["verdict"]), "reason": str(check["reason"])}
    elif payload["kind"] == "incident":
        yield {**base, **_incident(body)}
    else:
        yield {
            **base,
            "check": str(body.get("check_id", "")),
            "reason": str(body.get("reason") or body.get("message") or ""),
            "action": str(body.get("action", "")),
            "until": str(body.get("until") or ""),
        }


def _incident(body: Mapping[str, JsonValue]) -> dict[str, str]:
    incident, outcome, gate = _object(body["incident"]), _object(body["outcome"]), _object(body["gate"])
    before = _object(body.get("before"))
    return {
        **_check(_object(body["check"])),
        "target": str(incident["target_id"]),
        "verdict": str(before.get("verdict", "")),
        "reason": str(before.get("reason", "")),
        "outcome": str(outcome["kind"]),
        "outcome_reason": str(outcome["reason"]),
        "rule": str(_object(body.get("rule")).get("rule_id", "")),
        "attempt": str(_object(body.get("attempt")).get("attempt_id", "")),
        "gate": str(gate.get("hold") or gate.get("answer", "")),
        "until": str(gate.get("until") or ""),
    }


def _check(row: Mapping[str, JsonValue]) -> dict[str, str]:
    return {
        "check": str(row["check_id"]),
        "title": str(row.get("title", "")),
        "severity": str(row.get("severity", "")),
        "hipaa": " ".join(str(one) for one in _list(row.get("hipaa"))),
        "nist_800_53": " ".join(str(one) for one in _list(row.get("nist_800_53"))),
    }


def _cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, Mapping) else {}


def _list(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _rows(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    return [row for row in _list(value) if isinstance(row, Mapping)]
