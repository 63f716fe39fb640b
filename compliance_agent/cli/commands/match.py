"""``compliance-agent match``: recorded incidents against a rule file, offline. A stable interface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.input_files import open_lines, read_input
from compliance_agent.app.long_lived import long_lived
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, print_json, print_ndjson
from compliance_agent.domain.pattern_index.index import PatternIndex
from compliance_agent.wire.document import read_document
from compliance_agent.wire.incident_matcher import IncidentMatcher
from compliance_agent.wire.json_document import each_of_ndjson
from compliance_agent.wire.rule_document import read_offline_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.rule_document import OfflineRule


@click.command("match", help="Match recorded incidents against a rule file, offline.")
@click.option(
    "--rules",
    "rules_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON or YAML: {rules: [{rule_id, incident_pattern, action, priority}]}.",
)
@click.option(
    "--incidents",
    "incidents_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="One JSON object a line; - reads standard input.",
)
@format_option
def command(rules_path: Path, incidents_path: Path, output: str) -> int:
    """For each incident, in input order, tell which rules match, in order of precedence."""
    with long_lived():
        index = PatternIndex((rule.pattern, rule.rule_id) for rule in _rules(rules_path))
    rows = _rows(index, incidents_path)
    if output == Format.NDJSON:
        print_ndjson(rows)
    elif output == Format.JSON:
        print_json({"matches": list(rows)})
    else:
        _show(rows)
    return Exit.CLEAN


def _rules(path: Path) -> list[OfflineRule]:
    """Read the rules and put the enabled ones in order of precedence: priority (low first), then id.

    A file that begins with a brace is JSON whatever its name: numbers are exact there.
    """
    document = read_document(read_input(path), source=str(path), by_content=True)
    rules = [rule for rule in read_offline_rules(document) if rule.enabled]
    return sorted(rules, key=lambda rule: (rule.priority, rule.rule_id))


def _rows(index: PatternIndex[str], incidents_path: Path) -> Iterator[dict[str, JsonValue]]:
    with open_lines(incidents_path) as (lines, source):
        matcher = IncidentMatcher(index, source=source)
        for number, found in each_of_ndjson(lines, matcher.matching):
            yield {"incident": number, "rules": list(found)}


def _show(rows: Iterator[dict[str, JsonValue]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("INCIDENT", justify="right")
    table.add_column("RULES, FIRST WINS")
    for row in rows:
        rules = row["rules"]
        names = [str(name) for name in rules] if isinstance(rules, list) else []
        table.add_row(str(row["incident"]), escape(", ".join(names)) or "(none)")
    out_console().print(table)
