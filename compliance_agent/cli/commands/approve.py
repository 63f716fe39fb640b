"""``compliance-agent approve``: a person's word for a plan that disrupts work, given or withdrawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.cli.acting import acting, looking
from compliance_agent.cli.common import config_option
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, print_json, print_ndjson
from compliance_agent.cli.spans import term_of
from compliance_agent.domain.gate.words import when
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compliance_agent.domain.gate.people import ApprovalRequest
    from compliance_agent.domain.json_value import JsonValue


@click.command("approve", help="Approve a plan that waits for a person; without INCIDENT, list them.")
@click.argument("incident", required=False)
@click.option("--for", "span", metavar="SPAN", help="How long it is good for. Default: gate.approval_valid_s.")
@click.option("--withdraw", is_flag=True, help="Take an approval back that was not used yet.")
@click.option("--reason", help="Why; kept with your name. Needed with INCIDENT.")
@config_option
@format_option
def command(
    incident: str | None, span: str | None, reason: str | None, config: Path | None, output: str, *, withdraw: bool
) -> int:
    """Approve exactly what waits: once, and only while the plan stays as it is."""
    if incident is None:
        if withdraw:
            raise click.UsageError("--withdraw needs the INCIDENT whose approval is taken back.")
        return _list(config, output)
    if not reason:
        raise click.UsageError("Missing option '--reason'.")
    if withdraw:
        if span is not None:
            raise click.UsageError("--withdraw and --for exclude each other.")
        return _withdraw(incident, reason, config)
    with acting(config, reason) as (agent, people, now):
        request = _find(agent.store.requests(), incident)
        until = term_of(span or f"{max(1, agent.settings.gate.approval_valid_s // 60)}min", now)
        people.approve(request, until)
    click.echo(f"Approved until {when(until.wall)}, once: {request.summary} on {request.target_id}.")
    click.echo("The next turn carries it out; a changed plan asks again.")
    return Exit.CLEAN


def _withdraw(incident: str, reason: str, config: Path | None) -> int:
    with acting(config, reason) as (_agent, people, _now):
        approval = people.withdraw_approval(incident)
    click.echo(f"The approval of {approval.incident_id} by {approval.actor} is withdrawn; the plan waits again.")
    return Exit.CLEAN


def _find(requests: Sequence[ApprovalRequest], text: str) -> ApprovalRequest:
    """Return the request whose incident id begins so.

    Raises:
        ComplianceAgentError: None does, or several do.

    """
    found = [one for one in requests if one.incident_id.startswith(text)]
    if not found:
        raise ComplianceAgentError(f"no plan waits for incident {text}", hint="compliance-agent approve lists them")
    if len(found) > 1:
        raise ComplianceAgentError(f"{len(found)} plans wait for incidents {text}...", hint="give more of the id")
    return found[0]


def _list(config: Path | None, output: str) -> int:
    with looking(config) as (agent, now):
        requests = agent.store.requests()
        approved = {one.incident_id: one for one in agent.store.approvals() if not one.until.is_over(now)}
    rows: list[JsonValue] = [
        {
            "incident": one.incident_id,
            "target": one.target_id,
            "check": one.check_id,
            "plan": one.summary,
            "plan_digest": one.plan_digest,
            "asked_at": one.at.isoformat(timespec="seconds"),
            "approved_by": approved[one.incident_id].actor if one.incident_id in approved else None,
        }
        for one in requests
    ]
    if output == Format.JSON:
        print_json({"requests": rows})
    elif output == Format.NDJSON:
        print_ndjson(row for row in rows if isinstance(row, dict))
    else:
        for one in requests:
            word = approved.get(one.incident_id)
            given = f"; approved by {word.actor} until {when(word.until.wall)}" if word else ""
            click.echo(f"{one.incident_id}  {one.target_id}/{one.check_id}: {one.summary}, since {when(one.at)}{given}")
        click.echo("" if requests else "No plan waits for a person.")
    return Exit.HELD if requests else Exit.CLEAN
