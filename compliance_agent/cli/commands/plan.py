"""``compliance-agent plan``: the live path, cut short before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.fleet import side_by_side
from compliance_agent.cli.common import (
    ProgressEvents,
    choose_targets,
    configure_logs,
    settings_for,
    settings_options,
    targets_option,
    verbose_option,
)
from compliance_agent.cli.exits import exit_of
from compliance_agent.cli.output import format_option
from compliance_agent.cli.render import write_turns
from compliance_agent.cli.standing import standing_of
from compliance_agent.engine.cycle import plan_turn
from compliance_agent.engine.plan import Ready

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compliance_agent.engine.cycle import Turn


@click.command("plan", help="Scan and show what would be done. Writes nothing.")
@settings_options
@targets_option
@format_option
@verbose_option
def command(config: Path | None, only: tuple[str, ...], output: str, *, local: bool, verbose: bool) -> int:
    """Plan every target; the exit code tells 0 clean, 2 something would change."""
    settings = settings_for(config, local=local)
    targets = choose_targets(settings, only)
    configure_logs(verbose=verbose)
    access = Access.NONE if local else Access.READ
    events = ProgressEvents(len(targets), verbose=verbose)
    with assemble(settings, access=access, events=events) as agent, events.shown():
        now = SystemClock().read()
        turns = side_by_side(
            targets, lambda target: plan_turn(agent.engine, target, now=now), workers=settings.schedule.workers
        )
        catalogue = agent.engine.catalogue
        standing = standing_of(agent, agent.engine.instant(now))
    nothing = "Nothing was written: not on any target, not to the store."
    footer = [nothing, next_step(turns, local=local, config=config)]
    write_turns(turns, catalogue, command="plan", output=output, footer=footer, standing=standing)
    return exit_of(turns)


def next_step(turns: Sequence[Turn], *, local: bool, config: Path | None) -> str:
    """Return one line: what to try next."""
    settings = f"-c {config}" if config else "-c FILE"
    drift = next((item for turn in turns for item in turn.items), None)
    if drift is None:
        return "Next: compliance-agent runbooks list"
    if local:
        return f"Next: compliance-agent runbooks show {drift.incident.check_id}   (what it checks, what it would do)"
    if any(isinstance(item.disposition, Ready) for turn in turns for item in turn.items):
        return f"Next: compliance-agent apply {settings}   (shows this plan, asks, then heals and verifies)"
    return f"Next: compliance-agent status {settings}"
