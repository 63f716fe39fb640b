"""What people have decided and still stands, as every report shows it: waivers, and what stops all healing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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


def pause_row(pause: Pause | None, file_reason: str | None, now: Instant) -> dict[str, JsonValue] | None:
    """Return what stops all healing, or ``None``."""
    if file_reason is not None:
        return {"by": "file", "actor": "", "reason": file_reason, "until": None}
    if pause is None or pause.is_over(now):
        return None
    until = now.wall_at(pause.until.elapsed_s).isoformat(timespec="seconds") if pause.until else None
    return {"by": "command", "actor": pause.actor, "reason": pause.reason, "until": until}


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
            who = f" by {self.pause['actor']}" if self.pause["actor"] else " by the pause file"
            lines.append(f"All healing is paused{who}{until}: {self.pause['reason']}")
        for row in self.waivers:
            state = "Waiver EXPIRED" if row["expired"] else "Waived"
            lines.append(f"{state}: {row['place']} until {row['until']}: {row['reason']} ({row['actor']})")
        return lines


NOTHING_STANDS: Final = Standing()


def standing_of(agent: Agent, now: Instant) -> Standing:
    """Return what stands at the agent's site."""
    pause = pause_row(agent.store.pause(), agent.engine.kill_switch.reason(), now)
    return Standing(tuple(waiver_rows(agent.store.waivers(), now)), pause)
