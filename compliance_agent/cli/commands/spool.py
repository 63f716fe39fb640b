"""``compliance-agent spool``: what waits for the control plane, what became of the rest, and what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.store.read_only import open_read_only
from compliance_agent.adapters.store.rows import DeadAction
from compliance_agent.app.assemble import open_recording, state_path
from compliance_agent.app.reporting import outbox_numbers
from compliance_agent.cli.common import ProgressEvents, actor, config_option, settings_for
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson
from compliance_agent.domain.evidence.drafts import ActionKind, Place, action_draft
from compliance_agent.domain.outbox import OutboxClass, OutboxFate
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from compliance_agent.adapters.store.read_only import ReadOnlyStore
    from compliance_agent.adapters.store.rows import OutboxRow
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.uplink import UplinkState

_FATES = tuple(fate for fate in OutboxFate if fate is not OutboxFate.REVIVED)


@click.group("spool", help="Show what waits for the control plane, and what became of the rest.")
def command() -> None:
    """Group the commands about the outbox."""


@command.command("status", help="Count all that waits, was delivered, late, duplicate, dropped or given up.")
@config_option
@format_option
def status(config: Path | None, output: str) -> int:
    """Show the honesty report without touching anything; exit 1 when the line fails or something was given up."""
    settings = settings_for(config)
    with open_read_only(state_path(settings)) as store:
        document = _document(settings, store, SystemClock().now())
    if output == Format.JSON:
        print_json(document)
    elif output == Format.NDJSON:
        print_ndjson({"row": "class", "class": name, **numbers} for name, numbers in _classes(document).items())
    else:
        _show(document)
    return int(str(document["exit_code"]))


@command.group("dead", help="List, retry or drop what the control plane can never take as it is.")
def dead() -> None:
    """Group the commands about dead entries."""


@dead.command("list", help="List dead entries, each with the reason.")
@config_option
@format_option
def list_(config: Path | None, output: str) -> int:
    """List them, oldest first."""
    settings = settings_for(config)
    with open_read_only(state_path(settings)) as store:
        rows = [_row(row) for row in store.dead_entries()]
    if output == Format.JSON:
        print_json({"dead": list(rows)})
    elif output == Format.NDJSON:
        print_ndjson(rows)
    elif rows:
        _table(
            rows,
            (("ENTRY", "entry"), ("CLASS", "class"), ("CREATED", "created_at"), ("BYTES", "bytes"), ("WHY", "why")),
        )
    else:
        click.echo("Nothing is dead.")
    return Exit.CLEAN


@dead.command("retry", help="Put dead entries back, to be sent again.")
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--reason", default="", help="Why; kept with the record.")
@config_option
def retry(entries: tuple[str, ...], reason: str, config: Path | None, *, every: bool) -> int:
    """Put them back in their old place."""
    return _act(config, entries, every=every, reason=reason, is_drop=False)


@dead.command("drop", help="Remove dead entries for good.")
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--reason", required=True, help="Why; kept with the record.")
@config_option
def drop(entries: tuple[str, ...], reason: str, config: Path | None, *, every: bool) -> int:
    """Remove them; who did so and why is kept, and they are counted as discarded."""
    return _act(config, entries, every=every, reason=reason, is_drop=True)


def _act(config: Path | None, entries: Sequence[str], *, every: bool, reason: str, is_drop: bool) -> int:
    if every == bool(entries):
        raise click.UsageError("name entries, or say --all.")
    settings = settings_for(config)
    path = state_path(settings)
    if not path.exists():
        raise StoreError(f"there is no state file {path} yet", hint="the first run makes it")
    action = DeadAction(is_drop, actor(), reason, SystemClock().now())
    with open_recording(settings, ProgressEvents(0, verbose=False)) as store:
        done = store.act_on_dead(None if every else entries, action, attachments=_evidence(settings, action, entries))
    click.echo(f"{plural(len(done), 'entry', 'entries')} {'dropped' if is_drop else 'put back'}.")
    return Exit.CLEAN


def _evidence(settings: Settings, action: DeadAction, entries: Sequence[str]) -> Attachments:
    """Return the entry that says who gave up reports, or put them back."""
    draft = action_draft(
        ActionKind.OUTBOX_CHANGED,
        Place(settings.site_id),
        actor=action.actor,
        reason=action.reason,
        at=action.at,
        details={"deed": "drop" if action.is_drop else "retry", "entries": [*entries] or ["all"]},
    )
    return Attachments(evidence=(draft,))


def _document(settings: Settings, store: ReadOnlyStore, now: datetime) -> dict[str, JsonValue]:
    counts, line = store.counts(), store.uplink()
    control_plane = settings.control_plane
    found = outbox_numbers(counts)
    empty: dict[str, JsonValue] = {"waiting": 0, "dead": 0, "bytes": 0, "oldest_at": None, "fates": {}}
    return {
        "control_plane": control_plane.url if control_plane else None,
        "state": _state(line, now, configured=control_plane is not None),
        "trouble": line.trouble,
        "failures": line.failures,
        "tried_at": _time(line.tried_at),
        "succeeded_at": _time(line.succeeded_at),
        "next_try_at": _time(line.next_try_at),
        "limits": {"rows_max": settings.outbox.rows_max, "bytes_max": settings.outbox.bytes_max},
        "classes": {kind.value: found.get(kind.value, empty) for kind in reversed(OutboxClass)},
        "actions": [
            {
                "entry": entry_id,
                "action": "drop" if one.is_drop else "retry",
                "actor": one.actor,
                "reason": one.reason,
                "at": _time(one.at),
            }
            for entry_id, one in store.dead_actions()
        ],
        "exit_code": int(
            Exit.ERROR
            if any(numbers.dead for numbers in counts.outbox.values()) or (control_plane and line.failures)
            else Exit.CLEAN
        ),
    }


def _state(line: UplinkState, now: datetime, *, configured: bool) -> str:
    if not configured:
        return "off"
    if line.failures:
        return "waiting" if not line.is_due(now) else "failing"
    return "ok" if line.succeeded_at else "not tried yet"


def _row(row: OutboxRow) -> dict[str, JsonValue]:
    return {
        "entry": row.entry.entry_id,
        "class": row.entry.kind.value,
        "created_at": _time(row.entry.created_at),
        "dead_at": _time(row.dead_at),
        "bytes": len(row.entry.body),
        "tries": row.tries,
        "why": row.last_error,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _classes(document: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    classes = document["classes"]
    assert isinstance(classes, dict)  # noqa: S101 - made above
    return {name: dict(numbers) for name, numbers in classes.items() if isinstance(numbers, dict)}


def _show(document: Mapping[str, JsonValue]) -> None:
    console = out_console()
    where = document["control_plane"] or "no control plane is configured: nothing is sent, nothing waits"
    console.print(f"{where}", markup=False)
    if document["control_plane"]:
        console.print(f"line: {document['state']}; last answer: {document['succeeded_at'] or 'never'}", markup=False)
    if document["trouble"]:
        console.print(
            f"trouble: {document['trouble']} ({document['failures']} in a row; next try {document['next_try_at']})",
            markup=False,
        )
    rows = []
    for name, numbers in _classes(document).items():
        fates = numbers["fates"] if isinstance(numbers["fates"], dict) else {}
        rows.append({"class": name, **numbers, **{fate.value: fates.get(fate.value, 0) for fate in _FATES}})
        rows[-1]["dead"] = numbers["dead"]
        rows[-1]["oldest_at"] = str(numbers["oldest_at"] or "")[:16].replace("T", " ")
    console.print()
    _table(
        rows,
        (
            ("CLASS", "class"),
            ("WAITING", "waiting"),
            ("OLDEST (UTC)", "oldest_at"),
            ("IN ALL", "enqueued"),
            ("SENT", "delivered"),
            ("LATE", "late"),
            ("TWICE", "duplicate"),
            ("DEAD", "dead"),
            ("DISCARDED", "discarded"),
            ("FULL", "dropped_full"),
            ("TOO OLD", "dropped_age"),
            ("TOO LARGE", "dropped_size"),
        ),
    )
    console.print("\nFULL, TOO OLD and TOO LARGE were dropped and never reached the control plane.", markup=False)


def _table(rows: Sequence[Mapping[str, JsonValue]], columns: Sequence[tuple[str, str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title, _ in columns:
        table.add_column(title, overflow="fold", no_wrap=title in {"ENTRY", "CLASS"})
    for row in rows:
        table.add_row(*(escape("" if row.get(key) is None else str(row.get(key))) for _, key in columns))
    out_console().print(table)
