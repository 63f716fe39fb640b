"""``compliance-agent runbooks test``: one runbook or all of them on one machine, read-only or as a rehearsal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.store.rows import Undo
from compliance_agent.adapters.store.sqlite import SqliteStore
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.cli.common import (
    ProgressEvents,
    actor,
    choose_targets,
    configure_logs,
    finishing_what_has_begun,
    settings_for,
    settings_options,
    verbose_option,
)
from compliance_agent.cli.output import (
    Format,
    err_console,
    format_option,
    out_console,
    plural,
    print_json,
    print_ndjson,
)
from compliance_agent.cli.rehearsals import exit_of_tests, report, row_of, show_tests
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.engine.rehearse import Order, examine, rehearse, restoration_entry, unrehearsed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compliance_agent.app.assemble import Agent
    from compliance_agent.domain.catalogue import Catalogue, CompiledRunbook
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.rehearse import Examination, Rehearsal


@click.command("test", help="Try a runbook on one machine: detect only, or with --heal mend, verify and take it back.")
@click.argument("runbook_id", metavar="[ID]", required=False)
@click.option("--all", "every", is_flag=True, help="All runbooks that fit the machine.")
@click.option("-t", "--target", "target_id", metavar="NAME", help="The machine, by its id in the settings.")
@click.option("--heal", is_flag=True, help="Mend what fails, verify, take it back, and prove that all is as it was.")
@click.option("--read-only", is_flag=True, help="Only detect. So it is without --heal, too; refuses --heal beside it.")
@click.option("--yes", is_flag=True, help="With --heal: do not ask for the machine's name.")
@click.option("--reason", default="rehearsal", show_default=True, help="With --heal: why; kept with your name.")
@settings_options
@format_option
@verbose_option
def command(  # noqa: PLR0913 - one parameter an option
    *,
    runbook_id: str | None,
    every: bool,
    target_id: str | None,
    heal: bool,
    read_only: bool,
    yes: bool,
    reason: str,
    config: Path | None,
    output: str,
    local: bool,
    verbose: bool,
) -> int:
    """Test runbooks; see docs/reference/cli.md for the exit codes."""
    _refuse(runbook_id, target_id, every=every, heal=heal, read_only=read_only, local=local, yes=yes)
    if not reason.strip():
        raise click.UsageError("a reason is needed: --reason TEXT")
    settings = settings_for(config, local=local)
    (target,) = choose_targets(settings, [target_id] if target_id else [])
    configure_logs(verbose=verbose)
    events, at = ProgressEvents(1, verbose=verbose), SystemClock().now()
    access = Access.TURNS if heal else Access.NONE
    tried: Sequence[Rehearsal | Examination]
    with assemble(settings, access=access, events=events) as agent:
        chosen = _choose(agent, target, runbook_id)
        events.expect(len(chosen))
        with events.shown():
            tried = _examine_all(agent, target, chosen)
        if heal:
            agent.recover(at)
            tried = _rehearse_all(agent, target, tried, order=Order(actor(), reason.strip()), yes=yes, events=events)
    if output == Format.JSON:
        print_json(report(tried, target, at=at, heal=heal))
    elif output == Format.NDJSON:
        print_ndjson(row_of(one) for one in tried)
    else:
        show_tests(out_console(), tried, target, whole=not every, heal=heal)
    return exit_of_tests(tried)


def _refuse(
    runbook_id: str | None, target_id: str | None, *, every: bool, heal: bool, read_only: bool, local: bool, yes: bool
) -> None:
    if every == (runbook_id is not None):
        raise click.UsageError("name one runbook, or write --all.")
    if local == (target_id is not None):
        raise click.UsageError("name one machine with --target NAME, or this one with --local.")
    if heal and read_only:
        raise click.UsageError("--heal and --read-only exclude each other.")
    if heal and local:
        raise click.UsageError("--heal keeps a record, and --local has none: use -c FILE and --target NAME.")
    if heal and not yes and not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: standard input is no terminal. Add --yes to go on unasked.")


def _choose(agent: Agent, target: Target, runbook_id: str | None) -> list[CompiledRunbook]:
    catalogue: Catalogue = agent.engine.catalogue
    if runbook_id is None:
        return [one for one in catalogue if target.platform.value in one.runbook.platforms]
    compiled = catalogue.get(runbook_id)
    if compiled is None:
        raise click.UsageError(f"there is no runbook {runbook_id}; known: {', '.join(one.id for one in catalogue)}.")
    if target.platform.value not in compiled.runbook.platforms:
        raise click.UsageError(f"{runbook_id} is for {', '.join(compiled.runbook.platforms)}, not {target.platform}.")
    return [compiled]


def _examine_all(agent: Agent, target: Target, chosen: Sequence[CompiledRunbook]) -> list[Examination]:
    """Run each check by itself over the kept connection; a machine that is not reached is asked once."""
    found: list[Examination] = []
    for compiled in chosen:
        found.append(examine(agent.engine, target, compiled, now=SystemClock().now()))
        if found[-1].scan.unreached is not None:
            break
    return found


def _rehearse_all(
    agent: Agent, target: Target, found: Sequence[Examination], *, order: Order, yes: bool, events: ProgressEvents
) -> list[Rehearsal | Examination]:
    """Ask, then rehearse what was shown: what fails and can be mended. The rest is left alone."""
    due = [one for one in found if one.work is not None]
    if due and not yes:
        _ask(target, due)
    tried: list[Rehearsal | Examination] = []
    with events.shown(), finishing_what_has_begun() as keep_going:
        for one in found:
            if one.work is None:
                tried.append(unrehearsed(one))
            elif keep_going():
                tried.append(_rehearse_one(agent, target, one.runbook, order))
            else:
                tried.append(one)
    return tried


def _ask(target: Target, due: Sequence[Examination]) -> None:
    console = err_console()
    for one in due:
        effects = one.runbook.runbook.effects
        what = (
            f"{one.runbook.id}: {one.runbook.runbook.title} (disruption {effects.disruption}, reboot {effects.reboot})"
        )
        console.print(f"  {what}", markup=False)
    count = plural(len(due), "remedy", "remedies")
    click.echo(f"{count} would run on {target.target_id} ({target.address}), then be taken back.", err=True)
    typed = click.prompt("Type the machine's id to go on", default="", show_default=False, err=True)
    if typed.strip() != target.target_id:
        raise click.UsageError(f"{typed.strip()!r} is not {target.target_id}; nothing was changed.")


def _rehearse_one(agent: Agent, target: Target, compiled: CompiledRunbook, order: Order) -> Rehearsal:
    instant = agent.engine.instant(SystemClock().read())
    done = rehearse(agent.engine, target, compiled, order=order, instant=instant)
    if done.attempt is not None and done.outcome is not None and done.outcome.kind is OutcomeKind.REMEDIATED:
        assert isinstance(agent.store, SqliteStore)  # noqa: S101 - Access.TURNS opens no other
        succeeded = done.undone is not None and not done.undone.execution.trouble
        steps = done.undone.execution.records if done.undone else ()
        at = SystemClock().now()
        agent.store.record_undo(
            Undo(done.attempt.attempt_id, succeeded, order.actor, order.reason, at, steps),
            attachments=restoration_entry(done, done.attempt, order, at=at),
        )
    return done
