"""``compliance-agent explain``: why rules do, or do not, match an incident."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.input_files import read_input
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.cli.common import ProgressEvents, settings_for, settings_options
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, print_json, print_ndjson
from compliance_agent.domain.gate import Hold, all_decisions, horizon_s
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.json_document import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule
    from compliance_agent.engine.context import Engine


@click.command("explain", help="Say clause by clause why rules do, or do not, match an incident.")
@click.argument(
    "incident_path",
    metavar="INCIDENT.json",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--rule", "rule_id", metavar="ID", help="Only this rule, with every clause.")
@settings_options
@format_option
def command(incident_path: Path, rule_id: str | None, config: Path | None, output: str, *, local: bool) -> int:
    """Explain one incident (a JSON object, as ``plan -o json`` shows it under ``incident``)."""
    incident = _incident(incident_path)
    settings = settings_for(config, local=local)
    access = Access.NONE if local else Access.READ
    with assemble(settings, access=access, events=ProgressEvents(0, verbose=False)) as agent:
        rules = _choose(agent.engine, rule_id)
        rows = [_explain(agent.engine, rule, incident, all_clauses=rule_id is not None) for rule in rules]
    winner = next((row["rule"] for row in rows if row["matches"]), None)
    document: dict[str, JsonValue] = {"winner": winner, "rules": list(rows)}
    if output == Format.JSON:
        print_json(document)
    elif output == Format.NDJSON:
        print_ndjson(rows)
    else:
        _show(rows, winner)
    return Exit.CLEAN


def _incident(path: Path) -> Mapping[str, JsonValue]:
    source = "<stdin>" if str(path) == "-" else str(path)
    data = sys.stdin.buffer.read() if str(path) == "-" else read_input(path)
    value = read_json(data, source=source)
    if not isinstance(value, dict):
        raise InputError([InputProblem(source, "an incident is a JSON object", hint="take one from plan -o json")])
    return value


def _choose(engine: Engine, rule_id: str | None) -> Sequence[Rule]:
    if rule_id is None:
        return engine.rules.rules
    found = [rule for rule in engine.rules.rules if rule.rule_id == rule_id]
    if not found:
        aside = next((rule for rule in engine.quarantined if rule.rule_id == rule_id), None)
        why = f"it is set aside: {aside.reason}" if aside else "see compliance-agent rules list"
        raise click.UsageError(f"there is no rule {rule_id} that could match; {why}.")
    return found


def _explain(
    engine: Engine, rule: Rule, incident: Mapping[str, JsonValue], *, all_clauses: bool
) -> dict[str, JsonValue]:
    clauses = rule.pattern.explain(incident)
    failing = next((clause for clause in clauses if not clause.holds), None)
    shown = clauses if all_clauses else [failing] if failing else []
    return {
        "rule": rule.rule_id,
        "enabled": rule.enabled,
        "priority": rule.priority,
        "source": rule.source.value,
        "action": str(rule.action),
        "matches": failing is None and rule.enabled,
        "clauses": [
            {"field": one.path, "expected": one.expected, "actual": one.actual, "holds": one.holds} for one in shown
        ],
        "gate": _gate(engine, rule, incident) if failing is None else [],
    }


def _gate(engine: Engine, rule: Rule, incident: Mapping[str, JsonValue]) -> list[JsonValue]:
    """Return each gate's answer for the incident's place, as the durable state has it now."""
    from compliance_agent.domain.incident import fingerprint

    place = [incident.get(key) for key in ("site_id", "target_id", "check_id")]
    texts = [part for part in place if isinstance(part, str)]
    if len(texts) != len(place):
        return []
    now = SystemClock().now()
    since = now - timedelta(seconds=horizon_s(engine.policy, rule))
    history = engine.store.history(fingerprint(*texts), since=since)
    return [
        {
            "gate": kind.value,
            "allows": not isinstance(decision, Hold),
            "reason": decision.reason if isinstance(decision, Hold) else "",
            "until": decision.until.isoformat() if isinstance(decision, Hold) else None,
        }
        for kind, decision in all_decisions(engine.policy, rule, history, now=now)
    ]


def _show(rows: Sequence[Mapping[str, JsonValue]], winner: JsonValue) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = out_console()
    console.print(f"Winner: {escape(str(winner))}" if winner else "No rule matches this incident.")
    table = Table(box=None, header_style="bold")
    for title in ("RULE", "ACTION", "MATCHES", "FIELD", "EXPECTED", "ACTUAL"):
        table.add_column(title, overflow="fold")
    for row in rows:
        clauses = row["clauses"]
        assert isinstance(clauses, list)  # noqa: S101 - built above
        first = [str(row["rule"]), str(row["action"]), _verdict(row)]
        for clause in clauses or [{"field": "", "expected": "", "actual": ""}]:
            assert isinstance(clause, dict)  # noqa: S101 - built above
            mark = "" if "holds" not in clause else ("✓ " if clause["holds"] else "✗ ")
            cells = [mark + str(clause["field"]), str(clause["expected"]), str(clause["actual"])]
            table.add_row(*(escape(cell) for cell in (*first, *cells)))
            first = ["", "", ""]
    console.print(table)
    for row in rows:
        gates = row["gate"]
        if isinstance(gates, list) and row["rule"] == winner:
            for gate in gates:
                assert isinstance(gate, dict)  # noqa: S101 - built above
                answer = "allows" if gate["allows"] else f"holds until {gate['until']}: {gate['reason']}"
                console.print(f"  gate {gate['gate']}: {escape(str(answer))}")


def _verdict(row: Mapping[str, JsonValue]) -> str:
    if not row["enabled"]:
        return "- disabled"
    return "✓ yes" if row["matches"] else "✗ no"
