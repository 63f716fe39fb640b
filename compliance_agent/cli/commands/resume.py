"""``compliance-agent resume``: the end of a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.cli.acting import acting, reason_option
from compliance_agent.cli.common import config_option
from compliance_agent.cli.exits import Exit
from compliance_agent.engine.gate import pause_by_file

if TYPE_CHECKING:
    from pathlib import Path


@click.command("resume", help="Let healing go on after pause.")
@reason_option
@config_option
def command(config: Path | None, reason: str) -> int:
    """Resume; a pause file stays where it is, and is named."""
    with acting(config, reason) as (agent, people, now):
        people.resume()
        if pause_by_file(agent.engine, now) is not None:
            click.echo(f"note: the pause file {agent.settings.pause_path} still stops all healing", err=True)
            return Exit.HELD
    click.echo("Healing goes on.")
    return Exit.CLEAN
