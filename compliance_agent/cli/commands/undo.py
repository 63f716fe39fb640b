"""``compliance-agent undo``: run the rollback of one past attempt."""

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
    config_option,
    configure_logs,
    settings_for,
    verbose_option,
)
from compliance_agent.cli.exits import Exit
from compliance_agent.domain.outcome import FinishedAttempt
from compliance_agent.engine.reporter import Reversal
from compliance_agent.engine.undo import undo
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.outcome import Attempt
    from compliance_agent.domain.turn_end import Attachments
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.undo import Undone


@click.command("undo", help="Run the rollback of one past attempt.")
@click.argument("attempt_id", metavar="ATTEMPT")
@click.option("--reason", required=True, help="Why; kept with the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@verbose_option
def command(attempt_id: str, reason: str, config: Path | None, *, yes: bool, verbose: bool) -> int:
    """Undo one attempt; the agent then leaves that incident alone for the gate's window."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: standard input is no terminal. Add --yes to go on unasked.")
    if not reason.strip():
        raise click.UsageError("a reason is needed: --reason TEXT")
    settings = settings_for(config)
    configure_logs(verbose=verbose)
    events = ProgressEvents(1, verbose=verbose)
    with assemble(settings, access=Access.TURNS, events=events) as agent:
        past = _find(agent.store, attempt_id)
        attempt = past.attempt
        target = next((one for one in settings.targets() if one.target_id == attempt.target_id), None)
        if target is None:
            raise ComplianceAgentError(f"{attempt.target_id} is no target any more", hint="add it again to undo there")
        what = attempt.runbook_id or attempt.action
        click.echo(f"{what} on {target.target_id} ({target.address}), {past.finished_at:%Y-%m-%d %H:%M} UTC")
        if not yes:
            click.confirm("Put back what it changed?", default=False, abort=True)
        instant = agent.engine.instant(SystemClock().read())
        now = instant.wall
        assert isinstance(agent.store, SqliteStore)  # noqa: S101 - Access.TURNS opens no other
        try:
            with events.shown():
                done = undo(agent.engine, target, attempt, now=now)
        except ComplianceAgentError:  # it may have begun: the try is kept
            failed = Undo(attempt_id, succeeded=False, actor=actor(), reason=reason, at=now)
            agent.store.record_undo(failed, attachments=_attachments(agent.engine, failed, attempt, ()))
            raise
        succeeded = not done.execution.trouble
        record = Undo(attempt_id, succeeded, actor(), reason, now, done.execution.records)
        agent.store.record_undo(
            record,
            observations=done.verification.observations,
            at_s=instant.elapsed_s,
            attachments=_attachments(agent.engine, record, attempt, done.verification.observations),
        )
    return _report(done)


def _attachments(engine: Engine, undo: Undo, attempt: Attempt, after: Sequence[Observation]) -> Attachments:
    """Return what commits with it: the entry of evidence, and the report to the control plane."""
    reversal = Reversal(attempt, undo.succeeded, undo.actor, undo.reason, undo.at, undo.steps, after)
    return engine.reporter.of_undo(reversal)


def _find(store: object, attempt_id: str) -> FinishedAttempt:
    from compliance_agent.adapters.store.reads import Reader

    assert isinstance(store, Reader)  # noqa: S101 - Access.TURNS opens no other
    found = store.attempt(attempt_id)
    if found is None:
        raise ComplianceAgentError(f"there is no attempt {attempt_id}", hint="see compliance-agent status")
    if not isinstance(found, FinishedAttempt):
        raise ComplianceAgentError(f"attempt {attempt_id} has not ended yet", hint="wait for it, then try again")
    if found.undone_at is not None:
        raise ComplianceAgentError(f"attempt {attempt_id} was undone already, {found.undone_at:%Y-%m-%d %H:%M} UTC")
    return found


def _report(done: Undone) -> int:
    if done.digest_changed:
        click.echo("note: the runbook has changed since then; today's rollback ran", err=True)
    if done.execution.trouble:
        click.echo(f"error: the rollback did not get through: {done.execution.trouble}", err=True)
        return Exit.ERROR
    click.echo("Put back.")
    for seen in done.verification.observations:
        click.echo(f"  {seen.check_id} is now {seen.verdict.value}: {seen.reason}")
    if done.verification.unreached is not None:
        click.echo(f"  the machine could not be asked afterwards: {done.verification.unreached.message}")
    return Exit.CLEAN
