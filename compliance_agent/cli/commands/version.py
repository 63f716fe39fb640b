"""``compliance-agent version``: what runs here."""

from __future__ import annotations

import platform

import click

from compliance_agent.adapters.version import version
from compliance_agent.cli.output import Format, format_option, print_json


@click.command("version", help="Show the version.")
@format_option
def command(output: str) -> None:
    """Show the version of the agent, and of Python."""
    if output == Format.TABLE:
        click.echo(f"compliance-agent {version()} (Python {platform.python_version()})")
    else:
        print_json({"compliance_agent": version(), "python": platform.python_version()})
