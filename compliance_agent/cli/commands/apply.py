"""``compliance-agent apply``: plan, ask, heal, verify."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.fleet import side_by_side
from compliance_agent.cli.common import (
    ProgressEvents,
    choose_targets,
    config_option,
    configure_logs,
    finishing_what_has_begun,
    settings_for,
    targets_option,
    verbose_option,
)
from compliance_agent.cli.exits import Exit, exit_of
from compliance_agent.cli.output import (
    err_console,
    format_option,
    plural,
)
from compliance_agent.cli.render import presentable, write_turns
from compliance_agent.cli.standing import standing_of
from compliance_agent.cli.tables import show_turns
from compliance_agent.engine.cycle import apply_turn, plan_turn
from compliance_agent.engine.plan import Ready

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from compliance_agent.app.assemble import Agent
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.cycle import Turn

PLAN_AGE_MAX_S = 60
"""A plan that waited longer than this for its answer is made again, and must be the same."""


@click.command("apply", help="Plan, ask, then heal and verify.")
@config_option
@targets_option
@format_option
@verbose_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(config: Path | None, only: tuple[str, ...], output: str, *, verbose: bool, yes: bool) -> int:
    """Heal what the plan shows; the exit code tells 0 all healed, 1 something failed, 2 drift is left."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: standard input is no terminal. Add --yes to go on unasked.")
    settings = settings_for(config)
    targets = choose_targets(settings, only)
    configure_logs(verbose=verbose)
    events = ProgressEvents(len(targets), verbose=verbose)
    with assemble(settings, access=Access.TURNS, events=events) as agent:
        agent.recover(SystemClock().now())
        agent.look_after_decisions()
        with events.shown():
            turns = _plan(agent, targets, settings)
        if not yes and not _agreed(turns, agent):
            return exit_of(turns)
        with events.shown(), finishing_what_has_begun() as keep_going:
            turns = _apply(agent, targets, settings, turns, keep_going)
            agent.look_after_decisions()
            agent.deliver_alerts()
            agent.send_reports(SystemClock().now())
            agent.take_snapshot(SystemClock().now())
        catalogue = agent.engine.catalogue
        standing = standing_of(agent, agent.engine.instant(SystemClock().read()))
    write_turns(turns, catalogue, command="apply", output=output, standing=standing)
    return exit_of(turns)


def _plan(agent: Agent, targets: Sequence[Target], settings: Settings) -> list[Turn]:
    now = SystemClock().read()
    return side_by_side(
        targets, lambda target: plan_turn(agent.engine, target, now=now), workers=settings.schedule.workers
    )


def _ready(turns: Sequence[Turn]) -> set[tuple[str, str]]:
    """Return what would be done: fingerprint and action of each item that is ready."""
    return {
        (item.incident.fingerprint, item.action)
        for turn in turns
        for item in turn.items
        if isinstance(item.disposition, Ready) and not item.disposition.observe
    }


def _agreed(planned: Sequence[Turn], agent: Agent) -> bool:
    """Show the plan and ask. With nothing to do there is nothing to ask."""
    console = err_console()
    show_turns(console, [presentable(turn) for turn in planned], agent.engine.catalogue)
    console.print()
    count = len(_ready(planned))
    if count == 0:
        console.print("There is nothing to do.")
        return True
    return click.confirm(f"Do {plural(count, 'thing')} as shown?", default=False, err=True)


def _apply(
    agent: Agent,
    targets: Sequence[Target],
    settings: Settings,
    planned: list[Turn],
    keep_going: Callable[[], bool],
) -> list[Turn]:
    now = SystemClock().read()
    if (now.wall - planned[0].at).total_seconds() > PLAN_AGE_MAX_S:
        again = _plan(agent, targets, settings)
        if _ready(again) != _ready(planned):
            click.echo("The machines changed while the plan waited for its answer; nothing was done.", err=True)
            click.echo("hint: run apply again and look at the new plan", err=True)
            raise click.exceptions.Exit(Exit.ERROR)
        planned = again
    return side_by_side(
        planned,
        lambda turn: apply_turn(agent.engine, turn, now=now, keep_going=keep_going),
        workers=settings.schedule.workers,
    )
