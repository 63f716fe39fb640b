"""``compliance-agent pause``: the kill switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.cli.acting import acting, reason_option
from compliance_agent.cli.common import config_option
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.spans import term_of
from compliance_agent.domain.gate.words import when

if TYPE_CHECKING:
    from pathlib import Path


@click.command("pause", help="Stop all healing for a while; scanning and reporting go on.")
@click.option("--for", "span", metavar="SPAN", help="Such as 30min, 2h or 7d. Default: until resume.")
@reason_option
@config_option
def command(config: Path | None, span: str | None, reason: str) -> int:
    """Pause; a daemon that runs obeys before its next attempt."""
    with acting(config, reason) as (_agent, people, now):
        until = term_of(span, now) if span else None
        people.pause(until)
    click.echo(f"Healing is paused until {when(until.wall)}." if until else "Healing is paused until resume.")
    click.echo("Next: compliance-agent resume --reason ...")
    return Exit.CLEAN
