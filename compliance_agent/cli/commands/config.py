"""``compliance-agent config``: check the settings, show them with their origin, write an example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compliance_agent.app.content import load_content
from compliance_agent.app.settings import load_settings
from compliance_agent.cli.common import config_option, settings_for
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

EXAMPLE = """\
# Settings of compliance-agent. Every key: docs/reference/settings.md
site_id: my-clinic
mode: observe            # observe only reports; enforce heals
state_dir: /var/lib/compliance-agent

targets:
  - id: this-appliance
    transport: local
  # - id: front-desk
  #   transport: ssh
  #   host: 192.0.2.10
  #   user: compliance
  #   identity_file: /etc/compliance-agent/id_ed25519   # mode 0600
  #   become: sudo

alerts:
  syslog: {address: /dev/log, facility: daemon}
"""


@click.group("config", help="Check the settings, or show each with where it comes from.")
def command() -> None:
    """Group of commands about settings."""


@command.command("check", help="Check a settings file with everything that it names; needs no network.")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(path: Path) -> int:
    """Check one file; every problem is shown with file, line and remedy."""
    settings = load_settings(path)
    content = load_content(settings)
    for rule in content.quarantined:
        click.echo(f"warning: {rule.place}: rule {rule.rule_id} is set aside: {rule.reason}", err=True)
    click.echo(
        f"{path}: no problem found; {plural(len(settings.targets()), 'target')}, "
        f"{plural(len(content.rules), 'rule')}, {plural(len(content.catalogue), 'runbook')}."
    )
    return Exit.CLEAN


@command.command("show", help="Show every setting in force, with where it comes from.")
@config_option
@format_option
def show(config: Path | None, output: str) -> int:
    """Show settings; there is no secret among them, since secrets are paths."""
    rows = settings_for(config).origins()
    documents: list[dict[str, JsonValue]] = [
        {"setting": name, "value": value, "origin": origin} for name, value, origin in rows
    ]
    if output == Format.JSON:
        print_json({"settings": list(documents)})
    elif output == Format.NDJSON:
        print_ndjson(documents)
    else:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, header_style="bold")
        for title in ("SETTING", "VALUE", "FROM"):
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        out_console().print(table)
    return Exit.CLEAN


@command.command("example", help="Print a settings file to start from.")
def example() -> int:
    """Print an example."""
    click.echo(EXAMPLE, nl=False)
    return Exit.CLEAN
