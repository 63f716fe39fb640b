"""``compliance-agent explain``: why rules do, or do not, match an incident."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.input_files import read_input
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.cli.common import ProgressEvents, settings_for, settings_options
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.explanations import explanation_document, rule_row, show_explanation
from compliance_agent.cli.output import Format, format_option, out_console, print_json, print_ndjson
from compliance_agent.cli.rule_input import LoadedRules, read_rule_file, refuse_settings, rules_file_option, warn_of
from compliance_agent.domain.explanation import Explanation, explain_rule, explain_rules
from compliance_agent.domain.gate import Hold
from compliance_agent.engine.gate import Place, ask_all, wish_for
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.json_document import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from compliance_agent.domain.gate import Wish
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine

LIMIT_DEFAULT: Final = 5


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is asked: some rules, and the engine whose gate answers (``None`` for a rule file alone)."""

    loaded: LoadedRules
    engine: Engine | None
    targets: tuple[Target, ...] = ()


@click.command("explain", help="Say clause by clause why rules do, or do not, match an incident.")
@click.argument(
    "incident_path",
    metavar="INCIDENT.json",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--rule", "rule_id", metavar="ID", help="Only this rule, with every clause.")
@click.option(
    "--limit",
    type=click.IntRange(0, 10_000),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="Most of the nearest misses that are shown, and most of the rules that match too.",
)
@rules_file_option
@settings_options
@format_option
def command(
    *,
    incident_path: Path,
    rule_id: str | None,
    limit: int,
    rules_path: Path | None,
    config: Path | None,
    output: str,
    local: bool,
) -> int:
    """Explain one incident (a JSON object, as ``plan -o json`` shows it under ``incident``)."""
    incident = read_incident(incident_path)
    with _scope(rules_path, config, local=local) as scope:
        explanation = _explain(scope.loaded, incident, rule_id, limit)
        parts = [explanation.winner, *explanation.shadowed, *explanation.nearest]
        gates = {
            one.rule.rule_id: _gate(scope.engine, one.rule, incident, scope.targets)
            for one in parts
            if one is not None and scope.engine is not None and not one.failing
        }
    if output == Format.JSON:
        print_json(explanation_document(explanation, gates, incident, _winner_id(scope.loaded, incident)))
    elif output == Format.NDJSON:
        print_ndjson(rule_row(one, gates, incident) for one in parts if one is not None)
    else:
        show_explanation(
            out_console(), explanation, gates, incident, winner=_winner_id(scope.loaded, incident), asked=rule_id
        )
    return Exit.CLEAN


def read_incident(path: Path) -> Mapping[str, JsonValue]:
    """Read one incident; ``-`` is standard input.

    Raises:
        InputError: It is no JSON object.

    """
    source = "<stdin>" if str(path) == "-" else str(path)
    data = sys.stdin.buffer.read() if str(path) == "-" else read_input(path)
    value = read_json(data, source=source)
    if not isinstance(value, dict):
        raise InputError([InputProblem(source, "an incident is a JSON object", hint="take one from plan -o json")])
    return value


@contextmanager
def _scope(rules_path: Path | None, config: Path | None, *, local: bool) -> Iterator[_Scope]:
    if rules_path is not None:
        refuse_settings(config, local=local)
        loaded = read_rule_file(rules_path)
        warn_of(loaded.aside)
        yield _Scope(loaded, None)
        return
    settings = settings_for(config, local=local)
    access = Access.NONE if local else Access.READ
    with assemble(settings, access=access, events=ProgressEvents(0, verbose=False)) as agent:
        yield _Scope(LoadedRules(agent.engine.rules, tuple(agent.engine.quarantined)), agent.engine, settings.targets())


def _explain(loaded: LoadedRules, incident: Mapping[str, JsonValue], rule_id: str | None, limit: int) -> Explanation:
    if rule_id is None:
        return explain_rules(loaded.rules, incident, limit=limit)
    rule = loaded.find(rule_id)
    if rule is None:
        raise click.UsageError(f"there is no rule {rule_id} that could match; {loaded.why_not(rule_id)}.")
    winner = loaded.rules.first(incident)
    one = explain_rule(rule, incident, winner=winner)
    if winner is rule:
        return Explanation(one, (), ())
    return Explanation(None, (one,), ()) if one.matches else Explanation(None, (), (one,))


def _winner_id(loaded: LoadedRules, incident: Mapping[str, JsonValue]) -> str | None:
    winner = loaded.rules.first(incident)
    return winner.rule_id if winner else None


def _gate(engine: Engine, rule: Rule, incident: Mapping[str, JsonValue], targets: Sequence[Target]) -> list[JsonValue]:
    """Return each gate's answer for the incident's place, as the durable state has it now."""
    place = [incident.get(key) for key in ("site_id", "target_id", "check_id")]
    texts = [part for part in place if isinstance(part, str)]
    if len(texts) != len(place):
        return []
    now = engine.instant(SystemClock().read())
    target = next((one for one in targets if one.target_id == texts[1]), None)
    wish = _wish(engine, rule, texts, incident.get("incident_id"), target)
    return [
        {
            "gate": kind.value,
            "allows": not isinstance(decision, Hold),
            "reason": decision.reason if isinstance(decision, Hold) else decision.note,
            "until": decision.until.isoformat() if isinstance(decision, Hold) and decision.until else None,
            "clear_with": decision.clear_with if isinstance(decision, Hold) else "",
        }
        for kind, decision in ask_all(engine, wish, now)
    ]


def _wish(engine: Engine, rule: Rule, place: list[str], incident_id: JsonValue, target: Target | None) -> Wish:
    """Return what the gate is asked, as the rule's action and the settings tell; parameters are those of the target."""
    site_id, target_id, check_id = place
    runbook = engine.catalogue.get(rule.action.argument)
    parameters = engine.parameters_for(target, runbook) if target is not None and runbook is not None else {}
    return wish_for(
        Place(site_id, target_id, check_id, incident_id if isinstance(incident_id, str) else ""),
        rule,
        runbook,
        tags=target.tags if target is not None else (),
        parameters=parameters,
    )
