"""``compliance-agent choose``: a person's answer to an incident that no rule matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.cli.acting import acting, check_place_of, looking
from compliance_agent.cli.common import config_option
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, print_json, print_ndjson
from compliance_agent.cli.spans import term_of
from compliance_agent.domain.gate.words import when
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.rule import CHOSEN
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.adapters.store.rows import OpenIncident
    from compliance_agent.app.assemble import Agent
    from compliance_agent.domain.gate.people import Choice
    from compliance_agent.domain.json_value import JsonValue


@click.command(
    "choose", help="Choose a runbook for an incident that no rule matches; without PLACE, list such incidents."
)
@click.argument("place", metavar="[TARGET/CHECK]", required=False)
@click.argument("runbook", metavar="[RUNBOOK]", required=False)
@click.option(
    "--for", "span", metavar="SPAN", default="24h", show_default=True, help="How long it may wait for a turn."
)
@click.option("--withdraw", is_flag=True, help="Take back what was chosen and has not run yet.")
@click.option("--reason", help="Why; kept with your name. Needed with PLACE.")
@config_option
@format_option
def command(
    place: str | None,
    runbook: str | None,
    span: str,
    reason: str | None,
    config: Path | None,
    output: str,
    *,
    withdraw: bool,
) -> int:
    """Have it run once, through the gate; Central Command learns from what people choose and what lasts."""
    if place is None:
        return _list(config, output)
    if not reason:
        raise click.UsageError("Missing option '--reason'.")
    if (runbook is None) != withdraw:
        raise click.UsageError("name the RUNBOOK to run, or --withdraw what was chosen.")
    with acting(config, reason) as (agent, people, now):
        target_id, check_id = check_place_of(agent, place)
        if runbook is None:
            choice = people.withdraw_choice(target_id, check_id)
            click.echo(f"{choice.runbook_id} will not run on {place}; it was chosen by {choice.actor}.")
            return Exit.CLEAN
        until = term_of(span, now)
        people.choose(_incident(agent, target_id, check_id), _fitting(agent, runbook), until)
    click.echo(f"{runbook} runs once on {place} at its next turn, if the gate lets it; good until {when(until.wall)}.")
    click.echo(f"To take it back: compliance-agent choose {place} --withdraw --reason ...")
    return Exit.CLEAN


def _incident(agent: Agent, target_id: str, check_id: str) -> OpenIncident:
    for one in agent.store.open_incidents():
        if (one.site_id, one.target_id, one.check_id) == (agent.settings.site_id, target_id, check_id):
            if not _is_open_question(one):
                state = f"{one.outcome_kind or 'not judged yet'}" + (f" (rule {one.rule_id})" if one.rule_id else "")
                raise ComplianceAgentError(
                    f"{target_id}/{check_id} is {state}: {one.outcome_reason or 'no turn has ended yet'}",
                    hint="a choice is for what no rule matches; compliance-agent status shows what is",
                )
            return one
    raise ComplianceAgentError(
        f"no incident of {check_id} is open on {target_id}", hint="compliance-agent choose lists what waits"
    )


def _is_open_question(incident: OpenIncident) -> bool:
    """Tell whether no rule answers it: neither yet, nor after a choice that came to nothing."""
    return incident.outcome_kind is OutcomeKind.UNMATCHED or incident.rule_id == CHOSEN


def _fitting(agent: Agent, runbook_id: str) -> str:
    """Return the runbook's id.

    Raises:
        ComplianceAgentError: There is none of this id, or it mends nothing.

    """
    compiled = agent.engine.catalogue.get(runbook_id)
    if compiled is None or compiled.runbook.remediate is None:
        what = "there is no runbook" if compiled is None else "there is no remedy in"
        raise ComplianceAgentError(f"{what} {runbook_id}", hint="compliance-agent runbooks list shows them")
    return runbook_id


def proposals(agent: Agent, check_id: str) -> list[str]:
    """Return the runbooks that may mend what a check found: its own, then others of its kind on its platform."""
    check = agent.engine.catalogue.get(check_id)
    if check is None:
        return []
    fitting = [
        one.id
        for one in agent.engine.catalogue
        if one.runbook.remediate is not None
        and one.runbook.check_type == check.runbook.check_type
        and set(one.runbook.platforms) & set(check.runbook.platforms)
    ]
    return sorted(fitting, key=lambda runbook_id: (runbook_id != check_id, runbook_id))


def _list(config: Path | None, output: str) -> int:
    with looking(config) as (agent, now):
        chosen = {(one.target_id, one.check_id): one for one in agent.store.choices() if not one.until.is_over(now)}
        shown = {target.target_id for target in agent.settings.targets()}
        rows = [
            _row(agent, one, chosen.get((one.target_id, one.check_id)))
            for one in agent.store.open_incidents()
            if one.site_id == agent.settings.site_id and one.target_id in shown and _is_open_question(one)
        ]
    if output == Format.JSON:
        print_json({"incidents": list(rows)})
    elif output == Format.NDJSON:
        print_ndjson(rows)
    else:
        for row in rows:
            said = f"{row['chosen']} was chosen by {row['chosen_by']}" if row["chosen"] else _said(row["proposals"])
            click.echo(f"{row['target']}/{row['check']}  since {row['opened_at']}: {said}")
        click.echo("" if rows else "Every open incident has a rule.")
    return Exit.DRIFT if rows else Exit.CLEAN


def _row(agent: Agent, incident: OpenIncident, choice: Choice | None) -> dict[str, JsonValue]:
    return {
        "target": incident.target_id,
        "check": incident.check_id,
        "opened_at": incident.opened_at.isoformat(timespec="seconds"),
        "proposals": list(proposals(agent, incident.check_id)),
        "chosen": choice.runbook_id if choice else None,
        "chosen_by": choice.actor if choice else None,
    }


def _said(found: JsonValue) -> str:
    names = [str(one) for one in found] if isinstance(found, list) else []
    return f"could run {', '.join(names)}" if names else "no runbook here mends it"
