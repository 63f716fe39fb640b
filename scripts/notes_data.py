"""The data of an earlier control plane, with the numbers that its notes tell: ``python -m scripts.notes_data > FILE``.

The notes: 56 patterns (10 pending, 46 promoted); 20 rules, 11 of them with ``AUTO-*`` placeholders for runbooks; 13,135
reports, 12,221 of them L1, 8,745 successful; five rules with these matches and rates; one appliance and four machines.
What the notes leave open is chosen here: which patterns became which rule, how many runs each had, and the names of the
rules that are the appliance's own. Nothing is drawn: each run makes the same bytes.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE: Final = "north-valley"
APPLIANCE: Final = "appliance-1"
REPORTS, REPORTS_L1, SUCCESSES = 13_135, 12_221, 8_745

TOP: Final = (
    ("FIREWALL", 166, 166),
    ("SSH_CONF", 20, 20),
    ("AUDIT_PO", 24, 16),
    ("BACKUP_S", 260, 146),
    ("BITLOCKE", 3_057, 917),
)
"""The five rules with matches: name, matches, successes (100, 100, 67, 56 and 30 %)."""

_OTHERS: Final = ("TIME_SYN", "PATCHING", "LOGGING_", "ACCOUNTS")
SOUND: Final = tuple(f"RB-AUTO-{name}" for name in (*(name for name, _, _ in TOP), *_OTHERS))
"""The nine rules with real runbooks."""
PLACEHOLDERS: Final = tuple(f"RB-AUTO-{name}" for name in (
    "ANTIVIRU", "DEFENDER", "DNS_CONF", "GUEST_AC", "LOCKSCRE", "NETWORK_", "PASSWORD", "RDP_NLA_", "SCHEDULE",
    "SMB_SIGN", "SPOOLER_"))  # fmt: skip
"""The eleven whose runbook is a placeholder."""
RUNBOOKS: Final = tuple(f"NOTES-{name.rstrip('_')}" for name in (*(name for name, _, _ in TOP), *_OTHERS))
"""What the nine run."""

_MACHINES: Final = ("dc", "ws01", "linux", "srv01")
_BEGIN: Final = datetime(2026, 2, 1, tzinfo=UTC)
_STEP: Final = timedelta(seconds=90)
_PROMOTED_SOUND, _PROMOTED, _PENDING = 26, 46, 10


def patterns() -> Iterator[dict[str, Any]]:
    """Yield the 56 patterns: 26 promoted with a real runbook, 20 with a placeholder, 10 pending."""
    for number in range(_PROMOTED_SOUND):
        runs = 18 + number
        yield _pattern(number, "promoted", RUNBOOKS[number % 9], SOUND[number % 9], runs, runs - runs // 12)
    for number in range(_PROMOTED_SOUND, _PROMOTED):
        rule_id = PLACEHOLDERS[number % 11]
        yield _pattern(number, "promoted", rule_id.removeprefix("RB-"), rule_id, 5, 5)
    for number in range(_PROMOTED, _PROMOTED + _PENDING):
        runs = 13 if number == _PROMOTED else 12
        yield _pattern(number, "pending", RUNBOOKS[number % 9], None, runs, 6)


def _pattern(
    number: int, stage: str, runbook_id: str, rule_id: str | None, runs: int, successes: int
) -> dict[str, Any]:
    return {
        "kind": "pattern",
        "pattern_id": str(_uuid(_BEGIN, number)),
        "check_id": f"NOTES-CHECK-{number:02}",
        "platform": "linux",
        "runbook_id": runbook_id,
        "stage": stage,
        "rule_id": rule_id,
        "occurrences": runs,
        "successes": successes,
        "first_at": _BEGIN.isoformat(),
        "last_at": (_BEGIN + timedelta(days=14)).isoformat(),
    }


def rules() -> Iterator[dict[str, Any]]:
    """Yield the 20 rules; what an earlier operator had switched off is off."""
    for rule_id, runbook_id in zip(SOUND, RUNBOOKS, strict=True):
        yield _rule(rule_id, runbook_id, enabled=True)
    for rule_id in PLACEHOLDERS:
        yield _rule(rule_id, rule_id.removeprefix("RB-"), enabled=False)


def _rule(rule_id: str, runbook_id: str, *, enabled: bool) -> dict[str, Any]:
    pattern = {"incident_type": rule_id.removeprefix("RB-AUTO-").lower()}
    since = (_BEGIN - timedelta(days=1)).isoformat()
    return {
        "kind": "rule",
        "rule_id": rule_id,
        "incident_pattern": pattern,
        "runbook_id": runbook_id,
        "enabled": enabled,
        "since": since,
    }


def executions() -> Iterator[dict[str, Any]]:
    """Yield the 13,135 reports in order of time."""
    runs: list[tuple[str, str | None, str, str, bool]] = []
    for (name, matches, successes), runbook_id in zip(TOP, RUNBOOKS, strict=False):
        runs += _spread("L1", f"RB-AUTO-{name}", runbook_id, runbook_id, matches, successes)
    for one in patterns():
        if one["runbook_id"] in RUNBOOKS:
            runs += _spread("L2", None, one["check_id"], one["runbook_id"], one["occurrences"], one["successes"])
    left, good = REPORTS - len(runs), SUCCESSES - sum(success for *_, success in runs)
    runs += _spread("L1", "L1-OWN", RUNBOOKS[0], RUNBOOKS[0], left, good)
    for number, (level, rule_id, check_id, runbook_id, success) in enumerate(runs):
        at = _BEGIN + number * _STEP
        yield {
            "kind": "execution",
            "site_id": SITE,
            "appliance_id": APPLIANCE,
            "execution_id": str(_uuid(at, number)),
            "level": level,
            "rule_id": rule_id,
            "runbook_id": runbook_id,
            "check_id": check_id,
            "platform": "linux",
            "target_id": _MACHINES[number % len(_MACHINES)],
            "success": success,
            "ended_at": at.isoformat(),
        }


def _spread(
    level: str, rule_id: str | None, check_id: str, runbook_id: str, runs: int, successes: int
) -> Iterator[tuple[str, str | None, str, str, bool]]:
    """Yield runs of which the successful ones are spread evenly."""
    for number in range(runs):
        success = (number + 1) * successes // runs > number * successes // runs
        yield level, rule_id, check_id, runbook_id, success


def _uuid(moment: datetime, number: int) -> UUID:
    return UUID(int=round(moment.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62 | number)


def lines() -> Iterator[bytes]:
    """Yield the whole, one JSON object a line: rules, patterns, reports."""
    for part in (rules(), patterns(), executions()):
        for one in part:
            yield json.dumps(one, sort_keys=True).encode() + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.writelines(lines())
