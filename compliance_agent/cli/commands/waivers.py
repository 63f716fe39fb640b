"""``compliance-agent waivers``: accepted risks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.cli.acting import acting, check_place_of, looking, reason_option
from compliance_agent.cli.common import config_option
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, print_json, print_ndjson
from compliance_agent.cli.spans import term_of
from compliance_agent.cli.standing import waiver_rows
from compliance_agent.domain.gate.words import when

if TYPE_CHECKING:
    from pathlib import Path


@click.group("waivers", help="List, add and withdraw accepted risks.")
def command() -> None:
    """Group the verbs."""


@command.command("list", help="Every waiver with its reason and end.")
@config_option
@format_option
def list_command(config: Path | None, output: str) -> int:
    """List them, the expired ones too: an accepted risk does not end silently."""
    with looking(config) as (agent, now):
        rows = waiver_rows(agent.store.waivers(), now)
    if output == Format.JSON:
        print_json({"waivers": list(rows)})
    elif output == Format.NDJSON:
        print_ndjson(rows)
    else:
        for row in rows:
            state = "EXPIRED" if row["expired"] else "in force"
            click.echo(f"{row['place']}  {state}, until {row['until']}: {row['reason']} ({row['actor']})")
        click.echo("" if rows else "No risk is accepted.")
    return Exit.CLEAN


@command.command("add", help="Accept the risk of a check on a target until a date.")
@click.argument("place", metavar="TARGET/CHECK")
@click.option("--until", required=True, metavar="WHEN", help="Such as 2026-12-01 or 30d; at most a year.")
@reason_option
@config_option
def add_command(place: str, until: str, reason: str, config: Path | None) -> int:
    """Accept it: nothing is mended there, and every report says so."""
    with acting(config, reason) as (agent, people, now):
        target_id, check_id = check_place_of(agent, place)
        term = term_of(until, now)
        people.waive(target_id, check_id, term)
    click.echo(f"{place} is waived until {when(term.wall)}; every report shows it.")
    return Exit.CLEAN


@command.command("withdraw", help="End a waiver at once.")
@click.argument("place", metavar="TARGET/CHECK")
@reason_option
@config_option
def withdraw_command(place: str, reason: str, config: Path | None) -> int:
    """Withdraw it."""
    target_id, _, check_id = place.partition("/")
    with acting(config, reason) as (_agent, people, _now):
        people.end_waiver(target_id, check_id)
    click.echo(f"{place} is not waived any more.")
    return Exit.CLEAN
