"""``compliance-agent rules``: the rules in their order, and those set aside with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.app.content import load_content
from compliance_agent.cli.commands import rules_lint, rules_replay, rules_sync, rules_test
from compliance_agent.cli.common import settings_for, settings_options
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson
from compliance_agent.domain.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.app.content import Content
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule


@click.group("rules", help="List, lint, test, replay and sync the rules.")
def command() -> None:
    """Group of commands about rules."""


command.add_command(rules_lint.command)
command.add_command(rules_test.command)
command.add_command(rules_replay.command)
command.add_command(rules_sync.command)


@command.command("list", help="List the rules in order of precedence, then those set aside and why.")
@settings_options
@format_option
def list_rules(config: Path | None, output: str, *, local: bool) -> int:
    """List all rules."""
    content = load_content(settings_for(config, local=local))
    admitted, aside = [*_admitted(content), *_tried(content)], _aside(content)
    if output == Format.JSON:
        print_json({"rules": list(admitted), "quarantined": list(aside)})
    elif output == Format.NDJSON:
        print_ndjson([*admitted, *aside])
    else:
        _show(admitted, aside)
    return Exit.CLEAN


def _admitted(content: Content) -> list[dict[str, JsonValue]]:
    return [_row(rule, "enabled" if rule.enabled else "disabled") for rule in content.rules.rules]


def _tried(content: Content) -> list[dict[str, JsonValue]]:
    """Return the rules that the control plane has tried out elsewhere: they do not act here."""
    return [_row(rule, "tried out") for rule in content.tried]


def _row(rule: Rule, state: str) -> dict[str, JsonValue]:
    return {
        "rule": rule.rule_id,
        "state": state,
        "priority": rule.priority,
        "source": rule.source.value,
        "action": str(rule.action),
        "name": rule.name,
        "pattern": dict(rule.pattern.source),
        "place": rule.place,
    }


def _aside(content: Content) -> list[dict[str, JsonValue]]:
    return [
        {
            "rule": rule.rule_id,
            "state": "quarantined",
            "source": rule.source.value,
            "action": rule.action,
            "reason": rule.reason,
            "place": rule.place,
        }
        for rule in content.quarantined
    ]


def _show(admitted: list[dict[str, JsonValue]], aside: list[dict[str, JsonValue]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = out_console()
    table = Table(box=None, header_style="bold")
    for title in ("PRIORITY", "RULE", "SOURCE", "STATE", "ACTION", "NAME"):
        table.add_column(title, overflow="fold", justify="right" if title == "PRIORITY" else "left")
    for row in admitted:
        cells = (row[key] for key in ("priority", "rule", "source", "state", "action", "name"))
        table.add_row(*(escape(one_line(str(cell))) for cell in cells))
    console.print(table)
    console.print(f"\n{plural(len(admitted), 'rule')}; {plural(len(aside), 'rule')} set aside.")
    for row in aside:
        rule, action, reason, place = (escape(one_line(str(row[key]))) for key in ("rule", "action", "reason", "place"))
        console.print(f"[yellow]! {rule}[/] {action}: {reason}")
        console.print(f"    {place}", style="dim")
