"""What people have decided and still stands, as every report shows it: waivers, and what stops all healing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.engine.gate import pause_by_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.app.assemble import Agent
    from compliance_agent.domain.gate.people import Pause, Waiver
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.timeline import Instant


def waiver_rows(waivers: Sequence[Waiver], now: Instant) -> list[dict[str, JsonValue]]:
    """Return a row for each waiver, the expired ones marked."""
    return [
        {
            "place": one.place,
            "target": one.target_id,
            "check": one.check_id,
            "reason": one.reason,
            "actor": one.actor,
            "since": one.at.isoformat(timespec="seconds"),
            "until": one.until.wall.isoformat(timespec="seconds"),
            "expired": one.is_over(now),
        }
        for one in waivers
    ]


def pause_row(pause: Pause | None, by_file: Pause | None, now: Instant) -> dict[str, JsonValue] | None:
    """Return what stops all healing, or ``None``: the file goes first."""
    stands = by_file or pause
    if stands is None or stands.is_over(now):
        return None
    until = now.wall_at(stands.until.elapsed_s).isoformat(timespec="seconds") if stands.until else None
    by = "file" if by_file else "command"
    return {"by": by, "actor": stands.actor, "reason": stands.reason, "until": until}


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands.

    Attributes:
        waivers: As :func:`waiver_rows` returns them.
        pause: As :func:`pause_row` returns it.

    """

    waivers: tuple[dict[str, JsonValue], ...] = ()
    pause: dict[str, JsonValue] | None = None

    def document(self) -> dict[str, JsonValue]:
        """Return it for a JSON report."""
        return {"waivers": list(self.waivers), "pause": self.pause}

    def lines(self) -> list[str]:
        """Return it for people."""
        lines = []
        if self.pause is not None:
            until = f" until {self.pause['until']}" if self.pause["until"] else ""
            file = "the pause file of " if self.pause["by"] == "file" else ""
            who = f" by {file}{self.pause['actor']}"
            lines.append(f"All healing is paused{who}{until}: {self.pause['reason']}")
        for row in self.waivers:
            state = "Waiver EXPIRED" if row["expired"] else "Waived"
            lines.append(f"{state}: {row['place']} until {row['until']}: {row['reason']} ({row['actor']})")
        return lines


NOTHING_STANDS: Final = Standing()


def standing_of(agent: Agent, now: Instant) -> Standing:
    """Return what stands at the agent's site."""
    pause = pause_row(agent.store.pause(), pause_by_file(agent.engine, now), now)
    return Standing(tuple(waiver_rows(agent.store.waivers(), now)), pause)
