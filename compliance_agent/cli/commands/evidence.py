"""``compliance-agent evidence``: list, show, export and verify the signed chain of what was found, done and decided."""

from __future__ import annotations

import json
import re
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.cli.common import ProgressEvents, actor, config_option, settings_for
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson, size
from compliance_agent.domain.evidence.drafts import (
    ActionKind,
    EvidenceDraft,
    EvidenceKind,
    Place,
    action_draft,
    person,
    time_text,
)
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from datetime import datetime

    from compliance_agent.adapters.store.evidence_reads import EvidenceRow, EvidenceStatus
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.evidence.chain import Head, Verification

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group("evidence", help="List, show, export and verify the evidence of what was found and done.")
def command() -> None:
    """Hold the subcommands."""


@command.command("list", help="Show the newest entries, and where the chain ends.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Most entries.")
@click.option("--kind", type=click.Choice([one.value for one in EvidenceKind]), default=None, help="Only these.")
@click.option("-t", "--target", default="", metavar="ID", help="Only of this target.")
@config_option
@format_option
def list_(config: Path | None, limit: int, kind: str | None, target: str, output: str) -> int:
    """List entries; nothing is verified here."""
    from compliance_agent.adapters.store.read_only import open_read_only
    from compliance_agent.app.assemble import state_path

    with open_read_only(state_path(settings_for(config))) as store:
        rows = store.evidence.latest(limit, kind=kind or "", target_id=target)
        status = store.evidence.status()
    documents = [_row_document(row) for row in rows]
    if output == Format.NDJSON:
        print_ndjson(documents)
    elif output == Format.JSON:
        print_json({**_status_document(status), "listed": [*documents]})
    else:
        _show_rows(rows, status)
    return Exit.CLEAN


@command.command("show", help="Show what one entry says, or with --line its signed bytes.")
@click.argument("seq", type=click.IntRange(1))
@click.option("--line", is_flag=True, help="The signed envelope, byte for byte.")
@config_option
def show(seq: int, config: Path | None, *, line: bool) -> int:
    """Show one entry."""
    from compliance_agent.adapters.store.read_only import open_read_only
    from compliance_agent.app.assemble import state_path
    from compliance_agent.domain.text import printable
    from compliance_agent.wire.evidence.chain import read_payload

    with open_read_only(state_path(settings_for(config))) as store:
        row = store.evidence.entry(seq)
    if row is None:
        raise ComplianceAgentError(
            f"there is no entry {seq}", hint="compliance-agent evidence list shows what there is"
        )
    if line:
        click.echo(row.line)
    else:
        click.echo(printable(json.dumps(read_payload(row.line), indent=2, ensure_ascii=False)))
    return Exit.CLEAN


@command.command("head", help="Show the end of the chain, to be kept elsewhere as a witness.")
@config_option
def head(config: Path | None) -> int:
    """Print the head as JSON."""
    from compliance_agent.adapters.store.read_only import open_read_only
    from compliance_agent.app.assemble import state_path

    with open_read_only(state_path(settings_for(config))) as store:
        status = store.evidence.status()
    if status.head is None:
        raise ComplianceAgentError("there is no evidence yet", hint="run apply or run once")
    print_json(status.head.document())
    return Exit.CLEAN


@command.command("export", help="Write all evidence, with reports, to a folder or a .zip that verifies offline.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--since", type=_DAY, default=None, help="First day (UTC) that the reports are about.")
@click.option("--until", type=_DAY, default=None, help="First day (UTC) after them.")
@config_option
def export(path: Path, since: datetime | None, until: datetime | None, config: Path | None) -> int:
    """Export; the export itself becomes an entry, since somebody took evidence out."""
    from compliance_agent.adapters.evidence_export import refuse_existing, write_export
    from compliance_agent.adapters.version import version
    from compliance_agent.app.assemble import open_recording, state_path
    from compliance_agent.app.evidence import key_store
    from compliance_agent.domain.turn_end import Attachments

    settings = settings_for(config)
    _refuse_without_state(settings)
    now = SystemClock().now()
    with open_recording(settings, ProgressEvents(0, verbose=False)) as store:
        status = store.evidence.status()
        if status.head is None:
            raise ComplianceAgentError("there is no evidence yet", hint="run apply or run once")
        refuse_existing(path)  # before an entry says that evidence was taken out
        place, who = Place(status.site_id), actor()
        entry = action_draft(ActionKind.EXPORTED, place, actor=who, reason=f"exported to {path}", at=now)
        store.attach(Attachments(evidence=(entry,)))
        signer = key_store(settings.evidence, state_path(settings).parent).of(status.key_id)
        verification = write_export(
            store.evidence,
            path,
            signer,
            now=now,
            agent_version=version(),
            since=_utc(since),
            until=_utc(until),
        )
    entries = plural(verification.entries, "entry", "entries")
    click.echo(f"{path}: {entries}; verify it with: compliance-agent evidence verify {path}")
    return _report_findings(verification)


@command.command("verify", help="Verify an export, offline: needs no settings and no state.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--key", "keys", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--head", "witness", default=None, metavar="FILE|SEQ:SHA256", help="The chain's end as recorded elsewhere."
)
@format_option
def verify(path: Path, keys: tuple[Path, ...], witness: str | None, output: str) -> int:
    """Verify; 0 when it is whole, 2 when it was tampered with, 1 when it cannot be read."""
    from compliance_agent.adapters.evidence_check import verify_export
    from compliance_agent.wire.evidence.chain import Head
    from compliance_agent.wire.evidence.dsse import EnvelopeError, read_public_key

    try:
        trusted = [read_public_key(key.read_bytes()) for key in keys]
    except EnvelopeError as error:
        raise click.UsageError(f"--key: {error}.") from error
    recorded = _read_witness(witness) if witness else None
    if isinstance(recorded, tuple):  # a head without the chain's id is taken to be of this chain
        chain = verify_export(path, trusted, None).chain
        recorded = Head(chain, *recorded)
    verification = verify_export(path, trusted, recorded)
    exit_code = Exit.DRIFT if verification.findings else Exit.CLEAN
    if output == Format.TABLE:
        _report_findings(verification, to_stderr=False)
        _show_verdict(verification)
    else:
        print_json({**_verification_document(verification), "exit_code": int(exit_code)})
    return exit_code


@command.command("rotate-key", help="Sign with a new key from now on; the old one vouches for it.")
@click.option("--reason", required=True, help="Why; becomes part of the entry.")
@click.option("--new-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A key made elsewhere.")
@config_option
def rotate_key(reason: str, new_key: Path | None, config: Path | None) -> int:
    """Rotate the key."""
    return _change_key(settings_for(config), reason, new_key, lost=False)


@command.command("replace-key", help="Go on with a new key because the old one is lost; an auditor will see it.")
@click.option("--reason", required=True, help="What became of the old one; becomes part of the entry.")
@click.option("--new-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A key made elsewhere.")
@config_option
def replace_key(reason: str, new_key: Path | None, config: Path | None) -> int:
    """Replace a lost key."""
    return _change_key(settings_for(config), reason, new_key, lost=True)


def _change_key(settings: Settings, reason: str, new_key: Path | None, *, lost: bool) -> int:
    from compliance_agent.app.assemble import open_recording, state_path
    from compliance_agent.app.evidence import change_key, key_store

    _refuse_without_state(settings)
    kind = EvidenceKind.KEY_REPLACED if lost else EvidenceKind.KEY_ROTATED
    draft = EvidenceDraft(kind, SystemClock().now(), settings.site_id, {"reason": reason}, person(actor()))
    keys = key_store(settings.evidence, state_path(settings).parent)
    with open_recording(settings, ProgressEvents(0, verbose=False), needs_key=not lost) as store:
        changed = change_key(keys, store, draft, new_key, lost=lost)
    click.echo(f"Entry {changed.seq} names the key {changed.key_id}.")
    if changed.to_install is not None:
        click.echo(f"The old key is still at {changed.to_install}: put the new one in its place before the next run.")
    return Exit.CLEAN


def _refuse_without_state(settings: Settings) -> None:
    """Make no state file, and no key, only to say that there is no evidence."""
    from compliance_agent.app.assemble import state_path

    if not state_path(settings).exists():
        raise ComplianceAgentError("there is no evidence yet", hint="run apply or run once")


def _utc(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def _read_witness(text: str) -> Head | tuple[int, str]:
    """Return a head from a file, or (sequence number, hash) from ``SEQ:SHA256``."""
    from compliance_agent.wire.evidence.chain import read_head

    seq, _, sha256 = text.partition(":")
    if seq.isdecimal() and sha256:
        if re.fullmatch("[0-9a-fA-F]{64}", sha256) is None:
            raise click.UsageError("--head: after SEQ: stands a SHA-256, 64 hex digits, as evidence head prints it.")
        return int(seq), sha256.lower()
    try:
        return read_head(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--head: {error}.") from error


def _report_findings(verification: Verification, *, to_stderr: bool = True) -> int:
    for finding in verification.findings:
        click.echo(f"✗ {finding.kind.value}: {finding.message}", err=to_stderr)
    return Exit.DRIFT if verification.findings else Exit.CLEAN


def _show_verdict(verification: Verification) -> None:
    for note in verification.notes:
        click.echo(f"note: {note}")
    end = verification.head
    what = plural(verification.entries, "entry", "entries")
    if verification.findings:
        click.echo(f"Tampered with, or damaged: {plural(len(verification.findings), 'finding')} in {what}.")
    else:
        click.echo(f"✓ Whole: {what}, the last one is {end.seq if end else 0} ({end.sha256 if end else 'none'}).")


def _row_document(row: EvidenceRow) -> dict[str, JsonValue]:
    return {
        "seq": row.seq,
        "at": time_text(row.at),
        "kind": row.kind,
        "target": row.target_id,
        "check": row.check_id,
        "actor": row.actor,
        "sha256": row.sha256,
        "bytes": len(row.line),
    }


def _status_document(status: EvidenceStatus) -> dict[str, JsonValue]:
    return {
        "head": status.head.document() if status.head else None,
        "key_id": status.key_id,
        "entries": status.entries,
        "bytes": status.size_bytes,
        "refused": status.refused,
        "pruned": status.pruned,
        "first_at": time_text(status.first_at) if status.first_at else None,
        "last_at": time_text(status.last_at) if status.last_at else None,
    }


def _verification_document(verification: Verification) -> dict[str, JsonValue]:
    return {
        "whole": not verification.findings,
        "findings": [{"kind": one.kind.value, "seq": one.seq, "message": one.message} for one in verification.findings],
        "notes": [*verification.notes],
        "entries": verification.entries,
        "chain": verification.chain,
        "head": verification.head.document() if verification.head else None,
        "keys": [*verification.keys],
    }


def _show_rows(rows: list[EvidenceRow], status: EvidenceStatus) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = out_console()
    if status.head is None:
        console.print("There is no evidence yet; apply and run make it.")
        return
    table = Table(box=None, header_style="bold")
    for title in ("SEQ", "AT (UTC)", "KIND", "TARGET", "CHECK", "WHO"):
        table.add_column(title, no_wrap=title != "WHO")
    for row in rows:
        cells = (str(row.seq), f"{row.at:%Y-%m-%d %H:%M}", row.kind, row.target_id, row.check_id, row.actor)
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    console.print(
        f"\n{plural(status.entries, 'entry', 'entries')}, {size(status.size_bytes)}; "
        f"the last one is {status.head.seq}:\n{status.head.sha256}"
    )
    if status.refused:
        console.print(f"{plural(status.refused, 'entry', 'entries')} could not be made safe to sign (--kind refused).")
