"""What stands in the pause file: a reason, and until when. Whatever stands there, the file stops healing.

    auditors in the house
    until: 2026-12-01T18:00

The first line that is neither ``until: ...`` nor empty is the reason; it may begin with ``reason:``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.gate.words import read_time
from compliance_agent.domain.text import one_line

if TYPE_CHECKING:
    from datetime import datetime

REASON_MAX: Final = 200
"""Most characters of a line that are kept."""


@dataclass(frozen=True, slots=True)
class PauseText:
    """What the file says.

    Attributes:
        reason: In the words of who wrote it; may be empty.
        until: When it ends by itself, UTC; ``None``: when the file is removed.
        trouble: What of it cannot be understood; empty when all can.

    """

    reason: str = ""
    until: datetime | None = None
    trouble: str = ""


def read_pause_file(content: bytes) -> PauseText:
    """Return what a pause file says. Never fails: what cannot be understood is told, and ends nothing."""
    lines = [line for line in map(str.strip, content.decode("utf-8", "replace").splitlines()) if line]
    ends = [line.partition(":")[2].strip() for line in lines if _is_until(line)]
    rest = [line for line in lines if not _is_until(line)]
    reason = rest[0] if rest else ""
    if reason.lower().startswith("reason:"):
        reason = reason.partition(":")[2].strip()
    until, trouble = _end_of(ends)
    return PauseText(one_line(reason)[:REASON_MAX], until, trouble)


def _is_until(line: str) -> bool:
    return line.partition(":")[0].strip().lower() == "until" and ":" in line


def _end_of(ends: list[str]) -> tuple[datetime | None, str]:
    if not ends:
        return None, ""
    if len(ends) > 1:
        return None, "it says until more than once"
    try:
        return read_time(ends[0]), ""
    except ValueError:
        return None, f"its until {one_line(ends[0])[:REASON_MAX]!r} is no time like 2026-12-01T18:00"
