"""``compliance-agent scan``: the checks only, without rules and without any state."""

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
from compliance_agent.engine.cycle import Turn
from compliance_agent.engine.scan import scan_target

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.target import Target


@click.command("scan", help="Run the checks only, without rules.")
@settings_options
@targets_option
@format_option
@verbose_option
def command(config: Path | None, only: tuple[str, ...], output: str, *, local: bool, verbose: bool) -> int:
    """Scan every target; the exit code tells 0 clean, 2 drift."""
    settings = settings_for(config, local=local)
    targets = choose_targets(settings, only)
    configure_logs(verbose=verbose)
    events = ProgressEvents(len(targets), verbose=verbose)
    with assemble(settings, access=Access.NONE, events=events) as agent, events.shown():
        now, engine = SystemClock().now(), agent.engine

        def scan(target: Target) -> Turn:
            found = scan_target(engine, target, engine.checks_for(target), now=now)
            return Turn(found, (), (), dry_run=True, at=now)

        turns = side_by_side(targets, scan, workers=settings.schedule.workers)
    write_turns(turns, engine.catalogue, command="scan", output=output, with_plan=False)
    return exit_of(turns)
