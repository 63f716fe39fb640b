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
from compliance_agent.domain.evidence.drafts import ActionKind, Place, action_draft
from compliance_agent.domain.outcome import FinishedAttempt
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.engine.undo import undo
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.outcome import Attempt
    from compliance_agent.engine.undo import Undone
    from compliance_agent.engine.verify import Verification


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
            agent.store.record_undo(failed, attachments=_evidence(failed, attempt, None))
            raise
        succeeded = not done.execution.trouble
        record = Undo(attempt_id, succeeded, actor(), reason, now, done.execution.records)
        agent.store.record_undo(
            record,
            observations=done.verification.observations,
            at_s=instant.elapsed_s,
            attachments=_evidence(record, attempt, done.verification),
        )
    return _report(done)


def _evidence(undo: Undo, attempt: Attempt, verification: Verification | None) -> Attachments:
    """Return the entry that says who undid what, and what a fresh check found."""
    after: list[JsonValue] = [
        {"check_id": seen.check_id, "verdict": seen.verdict.value, "reason": seen.reason}
        for seen in (verification.observations if verification else ())
    ]
    steps: list[JsonValue] = [
        {"step_id": step.step_id, "exit_code": step.exit_code, "output": step.output, "error": step.error}
        for step in undo.steps
    ]
    details: dict[str, JsonValue] = {
        "attempt_id": attempt.attempt_id,
        "runbook_id": attempt.runbook_id,
        "succeeded": undo.succeeded,
        "steps": steps,
        "after": after,
    }
    place = Place(attempt.site_id, attempt.target_id, attempt.check_id)
    draft = action_draft(ActionKind.UNDONE, place, actor=undo.actor, reason=undo.reason, at=undo.at, details=details)
    return Attachments(evidence=(draft,))


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
