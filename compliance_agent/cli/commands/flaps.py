"""``compliance-agent flaps``: what is suppressed, why, until when, and how to clear it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.cli.acting import acting, check_place_of, looking, place_of, reason_option
from compliance_agent.cli.common import config_option
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, print_json, print_ndjson
from compliance_agent.cli.spans import term_of
from compliance_agent.domain.gate.flap import Phase
from compliance_agent.domain.gate.suppression import notice, reason
from compliance_agent.domain.gate.words import when
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from compliance_agent.app.assemble import Agent
    from compliance_agent.domain.gate.flap import FlapRow
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.timeline import Instant


@click.group("flaps", help="List, explain and clear what keeps coming back.")
def command() -> None:
    """Group the verbs."""


@command.command("list", help="What is suppressed; with --all also what came back but is not.")
@click.option("--all", "every", is_flag=True, help="Also what is not suppressed.")
@config_option
@format_option
def list_command(config: Path | None, output: str, *, every: bool) -> int:
    """List the flaps; the exit code is 3 while something is suppressed."""
    with looking(config) as (agent, now):
        found = agent.store.flaps()
        rows = [row for row in found if every or row.state.phase is not Phase.CLOSED]
        documents = [_document(agent, row, now) for row in rows]
        notices = [_notice(agent, row, now) for row in rows]
    if output == Format.JSON:
        print_json({"flaps": list(documents)})
    elif output == Format.NDJSON:
        print_ndjson(documents)
    else:
        for text in notices:
            click.echo(text)
        click.echo("" if rows else "Nothing is suppressed.")
    return Exit.HELD if any(row.state.phase is Phase.OPEN for row in found) else Exit.CLEAN


@command.command("explain", help="One flap with its scores, its times and what follows.")
@click.argument("place", metavar="TARGET/CHECK")
@config_option
@format_option
def explain_command(place: str, config: Path | None, output: str) -> int:
    """Explain one."""
    with looking(config) as (agent, now):
        target_id, check_id = check_place_of(agent, place)
        row = _find(agent.store.flaps(), target_id, check_id)
        document = _document(agent, row, now)
        text = _notice(agent, row, now)
    if output != Format.TABLE:
        print_json(document)
    else:
        click.echo(text)
        click.echo("\n".join(_details(row, document)))
    return Exit.HELD if row.state.phase is Phase.OPEN else Exit.CLEAN


@command.command("clear", help="Let it be tried again (TARGET/CHECK), or close a target's circuit breaker (TARGET).")
@click.argument("place", metavar="TARGET[/CHECK]")
@click.option("--once", is_flag=True, help="Allow one try and keep the score: a return pauses it for longer.")
@click.option("--until", metavar="WHEN", help="Hold it until then instead, such as 12h or 2026-12-01.")
@click.option("--undo", is_flag=True, help="Put it back as it was before it was cleared last.")
@reason_option
@config_option
def clear_command(place: str, until: str | None, reason: str, config: Path | None, *, once: bool, undo: bool) -> int:
    """Clear it; kept with your name and reason, and undone by --undo."""
    if sum((once, undo, until is not None)) > 1:
        raise click.UsageError("--once, --until and --undo exclude each other.")
    with acting(config, reason) as (agent, people, now):
        target_id, check_id = place_of(agent, place)
        if not check_id:
            if once or undo or until:
                raise click.UsageError("a target's circuit breaker is closed as a whole: no --once, --until or --undo.")
            people.clear_target(target_id)
            click.echo(f"The failures on {target_id} count no more.")
            return Exit.CLEAN
        if undo:
            people.undo_clear(target_id, check_id)
            click.echo(f"{place} is as it was before it was cleared.")
            return Exit.CLEAN
        term = term_of(until, now) if until else None
        people.clear(target_id, check_id, once=once, until=term)
    if term is not None:
        click.echo(f"{place} is held until {when(term.wall)}.")
    else:
        click.echo(f"{place} is tried {'once' if once else 'again'} at the next scan that finds it failing.")
    click.echo(f"To take this back: compliance-agent flaps clear {place} --undo --reason ...")
    return Exit.CLEAN


def _find(rows: Iterable[FlapRow], target_id: str, check_id: str) -> FlapRow:
    for row in rows:
        if (row.target_id, row.check_id) == (target_id, check_id):
            return row
    raise ComplianceAgentError(f"{target_id}/{check_id} never came back", hint="see compliance-agent flaps list --all")


def _unattended(agent: Agent, row: FlapRow) -> bool:
    compiled = agent.engine.catalogue.get(row.check_id)
    effects = compiled.runbook.effects if compiled else None
    return effects is None or not agent.engine.policy.needs_person(effects.disruption, effects.reboot)


def _notice(agent: Agent, row: FlapRow, now: Instant) -> str:
    policy = agent.engine.policy.flap
    if row.state.phase is Phase.OPEN:
        return notice(row.state, policy, place=row.place, now=now, unattended=_unattended(agent, row))
    if row.state.phase is Phase.HALF_OPEN:
        return f"{row.place}: the single try after a pause was made; if it does not last, it is paused for longer."
    return f"{row.place}: not suppressed."


def _document(agent: Agent, row: FlapRow, now: Instant) -> dict[str, JsonValue]:
    state, policy = row.state, agent.engine.policy.flap
    fast, slow = state.scores(policy, now.elapsed_s)
    is_open = state.phase is Phase.OPEN
    next_try = now.wall_at(state.until_s) if is_open and _unattended(agent, row) else None
    return {
        "place": row.place,
        "target": row.target_id,
        "check": row.check_id,
        "phase": state.phase.value,
        "suppressed": is_open,
        "reason": reason(state, policy) if is_open else "",
        "score_when_opened": f"{state.score:.3f}",
        "score_now": f"{fast:.3f}",
        "slow_score_now": f"{slow:.3f}",
        "limit": f"{policy.fast.suppress:.0f}",
        "came_back": state.total,
        "relapses": [at.isoformat(timespec="seconds") for at in state.relapses],
        "likely_writer": state.writer or None,
        "next_try": next_try.isoformat(timespec="seconds") if next_try else None,
        "clear_with": f"compliance-agent flaps clear {row.place} --reason ...",
    }


def _details(row: FlapRow, document: dict[str, JsonValue]) -> list[str]:
    lines = [
        (
            f"  score now {document['score_now']} (quick loops), {document['slow_score_now']} (daily loops), "
            f"limit {document['limit']}; each return adds 1000"
        )
    ]
    lines += [f"  came back {when(at)}" for at in row.state.relapses]
    return lines
