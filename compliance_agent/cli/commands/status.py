"""``compliance-agent status``: what the last scans found, what is held, what could not be delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.kill_switch import FileKillSwitch
from compliance_agent.adapters.store.database import open_memory
from compliance_agent.adapters.store.read_only import ReadOnlyStore, open_read_only
from compliance_agent.adapters.store.rows import AlertState
from compliance_agent.adapters.store.snapshot import is_missing, snapshot_path, snapshot_time
from compliance_agent.app.assemble import state_path
from compliance_agent.app.channels import channel_names
from compliance_agent.cli.common import config_option, settings_for
from compliance_agent.cli.exits import Exit, worst
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson
from compliance_agent.cli.standing import Standing, pause_row, waiver_rows
from compliance_agent.domain.gate.people import pause_of_file
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.timeline import place
from compliance_agent.errors import DamagedStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from compliance_agent.adapters.store.evidence_reads import EvidenceStatus
    from compliance_agent.adapters.store.rows import OpenIncident
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.timeline import Reading

Row = dict[str, "JsonValue"]
_RECENT = 10


@click.command("status", help="Show what the last scans found, what is held and what could not be delivered.")
@config_option
@format_option
def command(config: Path | None, output: str) -> int:
    """Show the state without touching it; the exit code is that of what it shows."""
    settings = settings_for(config)
    document = _document_of(settings, SystemClock().read())
    if output == Format.JSON:
        print_json(document)
    elif output == Format.NDJSON:
        for kind in ("targets", "incidents", "waivers", "outcomes", "alerts", "restorations"):
            print_ndjson({"row": kind[:-1], **row} for row in _rows(document, kind))
    else:
        _show(document)
    return int(str(document["exit_code"]))


def _document_of(settings: Settings, reading: Reading) -> Row:
    """Return what the state file says; where it is damaged or gone, what its snapshot says, and what will happen."""
    path = state_path(settings)
    snapshot_at = snapshot_time(path)
    if is_missing(path) and snapshot_at is not None:
        damage = f"state file {path} is gone, but its snapshot is there"
    else:
        try:
            with open_read_only(path) as store:
                return _whole(settings, store, reading) | {"damage": None}
        except DamagedStoreError as error:
            damage = error.message
    try:
        with open_read_only(snapshot_path(path)) as store:
            document = _whole(settings, store, reading)
    except DamagedStoreError:
        snapshot_at, document = None, _of_nothing(settings, reading)
    return document | {"damage": _damage(path, damage, snapshot_at, reading.wall), "exit_code": int(Exit.ERROR)}


def _whole(settings: Settings, store: ReadOnlyStore, reading: Reading) -> Row:
    return _document(settings, store, reading.wall) | _standing(settings, store, reading).document()


def _of_nothing(settings: Settings, reading: Reading) -> Row:
    with ReadOnlyStore(open_memory()) as store:
        return _whole(settings, store, reading)


def _damage(path: Path, what: str, snapshot_at: datetime | None, now: datetime) -> Row:
    keeps = "" if is_missing(path) else f"keeps this file as {path.name}.damaged-TIME and "
    goes_on = (
        f"goes on from the snapshot of {_time(snapshot_at)}; what was recorded after it is lost"
        if snapshot_at
        else "begins anew, since there is no snapshot that can be read"
    )
    return {
        "what": what,
        "snapshot_at": _time(snapshot_at),
        "snapshot_ago": _ago(snapshot_at, now) if snapshot_at else None,
        "next_start": f"the next start of run or apply {keeps}{goes_on}",
    }


def _document(settings: Settings, store: ReadOnlyStore, now: datetime) -> Row:
    seen = {status.target_id: status for status in store.targets()}
    observations = store.latest_observations()
    targets: list[Row] = []
    for target in settings.targets():
        status = seen.get(target.target_id)
        verdicts = [one.verdict for one in observations if one.target_id == target.target_id]
        targets.append(
            {
                "target": target.target_id,
                "address": target.address,
                "scanned_at": _time(status.scanned_at) if status else None,
                "scanned_ago": _ago(status.scanned_at, now) if status else "never",
                "fault": status.fault if status else "",
                "message": status.message if status else "",
                "verdicts": {verdict.value: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts},
            }
        )
    shown = {target.target_id for target in settings.targets()}
    counts = store.counts()
    channels = channel_names(settings)
    return {
        "site": settings.site_id,
        "targets": list(targets),
        "incidents": _incidents(store, settings.site_id, shown),
        "outcomes": _outcomes(store),
        "alerts": _alerts(store, channels),
        "alert_channels": list(channels),
        "unfinished_attempts": counts.unfinished_attempts,
        "restorations": _restorations(store),
        "spool": {
            "waiting": sum(one.waiting for one in counts.outbox.values()),
            "dead": sum(one.dead for one in counts.outbox.values()),
            "trouble": store.uplink().trouble if settings.control_plane else "",
        },
        "dropped": dict(counts.dropped),
        "state_bytes": counts.size_bytes,
        "evidence": _evidence(store.evidence.status()),
        "exit_code": int(_exit(store, settings.site_id, shown)),
    }


def _restorations(store: ReadOnlyStore) -> list[JsonValue]:
    """Return when the state file was damaged or gone, and what was lost by it, newest first."""
    return [
        {
            "at": _time(one.at),
            "summary": one.summary,
            "kept_as": one.kept_as,
            "snapshot_at": _time(one.snapshot_at),
        }
        for one in reversed(store.restorations()[-_RECENT:])
    ]


def _evidence(status: EvidenceStatus) -> Row:
    return {
        "entries": status.entries,
        "bytes": status.size_bytes,
        "refused": status.refused,
        "head": status.head.document() if status.head else None,
    }


def _standing(settings: Settings, store: ReadOnlyStore, reading: Reading) -> Standing:
    """Return what people have decided and still stands."""
    now = place(store.last_instant(), reading)
    order = FileKillSwitch(settings.pause_path).order() if settings.pause_path else None
    by_file = pause_of_file(order, store.noted_pause(), now)
    return Standing(tuple(waiver_rows(store.waivers(), now)), pause_row(store.pause(), by_file, now))


def _standing_lines(document: Row) -> list[str]:
    pause = document["pause"]
    return Standing(tuple(_rows(document, "waivers")), pause if isinstance(pause, dict) else None).lines()


def _open_here(store: ReadOnlyStore, site_id: str, shown: set[str]) -> list[OpenIncident]:
    """Return the open incidents of this site's targets; those of targets taken out since have no end here."""
    return [one for one in store.open_incidents() if one.site_id == site_id and one.target_id in shown]


def _incidents(store: ReadOnlyStore, site_id: str, shown: set[str]) -> list[JsonValue]:
    return [
        {
            "target": one.target_id,
            "check": one.check_id,
            "opened_at": _time(one.opened_at),
            "last_seen_at": _time(one.last_seen_at),
            "outcome": one.outcome_kind.value if one.outcome_kind else None,
            "reason": one.outcome_reason,
            "until": _time(one.outcome_until),
            "rule": one.rule_id,
            "action": one.action,
        }
        for one in _open_here(store, site_id, shown)
    ]


def _outcomes(store: ReadOnlyStore) -> list[JsonValue]:
    return [
        {
            "at": _time(one.outcome.at),
            "target": one.outcome.target_id,
            "check": one.outcome.check_id,
            "outcome": one.outcome.kind.value,
            "reason": one.outcome.reason,
            "attempt": one.outcome.attempt_id,
            "times": one.seen_count,
        }
        for one in store.recent_outcomes(_RECENT)
    ]


def _alerts(store: ReadOnlyStore, channels: Sequence[str]) -> list[JsonValue]:
    """Return what was not delivered: waiting, or given up."""
    rows: list[JsonValue] = []
    for state in (AlertState.PENDING, AlertState.PARTLY_DELIVERED, AlertState.DEAD):
        for queued in store.alerts(state):
            errors = [f"{one.channel}: {one.last_error}" for one in queued.deliveries if one.last_error]
            rows.append(
                {
                    "alert": queued.alert_id,
                    "state": state.value,
                    "summary": queued.alert.summary,
                    "raised_at": _time(queued.alert.raised_at),
                    "times": queued.raised_count,
                    "trouble": "; ".join(errors) or ("waiting" if channels else "no channel configured"),
                }
            )
    return rows


def _exit(store: ReadOnlyStore, site_id: str, shown: set[str]) -> Exit:
    """Return the code of what is shown. A target that was never reached is not clean: silence is no success."""
    statuses = {status.target_id: status for status in store.targets()}
    reached = {name for name, status in statuses.items() if status.scanned_at is not None and not status.fault}
    codes = [Exit.UNREACHABLE for name in shown if name not in reached]
    seen = (one for one in store.latest_observations() if one.target_id in shown)
    codes += [Exit.ERROR for one in seen if one.verdict is Verdict.ERROR]
    held = {OutcomeKind.SUPPRESSED, OutcomeKind.AWAITING_APPROVAL}
    codes += [Exit.HELD if one.outcome_kind in held else Exit.DRIFT for one in _open_here(store, site_id, shown)]
    return worst(codes)


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _ago(at: datetime | None, now: datetime) -> str:
    """Return the age for people; a time in the future (the clock was set back) is said to be one."""
    if at is None:
        return "never"
    seconds = int((now - at).total_seconds())
    if seconds < 0:
        return "in the future: the clock was set back"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _rows(document: Mapping[str, JsonValue], kind: str) -> list[Row]:
    rows = document[kind]
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _show(document: Row) -> None:
    from rich.markup import escape

    console = out_console()
    console.print(f"[bold]{escape(str(document['site']))}[/]")
    damage = document["damage"]
    if isinstance(damage, dict):
        below = f"Below: the snapshot, {damage['snapshot_ago']}." if damage["snapshot_at"] else "There is no snapshot."
        for line in (f"Damaged: {damage['what']}.", f"As it is, {damage['next_start']}.", below):
            console.print(escape(line), style="red")
    columns = {
        "targets": (("TARGET", "target"), ("ADDRESS", "address"), ("LAST SCAN", "scanned_ago"), ("FOUND", "found")),
        "incidents": (
            ("TARGET", "target"),
            ("CHECK", "check"),
            ("SINCE (UTC)", "opened_at"),
            ("STATE", "outcome"),
            ("WHY", "why"),
        ),
        "outcomes": (
            ("AT (UTC)", "at"),
            ("TARGET", "target"),
            ("CHECK", "check"),
            ("OUTCOME", "outcome"),
            ("WHY", "why"),
        ),
        "alerts": (("RAISED (UTC)", "raised_at"), ("STATE", "state"), ("ALERT", "summary"), ("TROUBLE", "trouble")),
    }
    titles = {
        "targets": "Targets",
        "incidents": "Open incidents",
        "outcomes": f"Last {_RECENT} outcomes",
        "alerts": "Undelivered alerts",
    }
    for kind, title in titles.items():
        rows = [_for_people(row) for row in _rows(document, kind)]
        if rows:
            console.print(f"\n[bold]{title}[/]")
            _table(rows, columns[kind])
    for line in _standing_lines(document):
        console.print(f"\n{escape(line)}", style="yellow")
    console.print(
        f"\n{plural(len(_rows(document, 'incidents')), 'open incident')}, "
        f"{plural(len(_rows(document, 'alerts')), 'undelivered alert')}; "
        f"alerts go to: {', '.join(str(one) for one in _list(document['alert_channels'])) or 'no channel configured'}."
    )
    spool = document["spool"]
    if isinstance(spool, dict) and (spool["waiting"] or spool["dead"] or spool["trouble"]):
        trouble = f"; trouble: {spool['trouble']}" if spool["trouble"] else ""
        console.print(
            f"For the control plane: {spool['waiting']} waiting, {spool['dead']} given up{trouble} "
            "(see compliance-agent spool status).",
            markup=False,
        )
    evidence = document["evidence"]
    if isinstance(evidence, dict) and evidence["refused"]:
        console.print(
            f"Evidence: {evidence['refused']} of {evidence['entries']} entries could not be made safe to sign "
            "(see compliance-agent evidence list --kind refused)."
        )
    for row in _rows(document, "restorations"):
        console.print(f"State restored {_minute(str(row['at']))} UTC: {row['summary']}.", markup=False)
    if document["dropped"]:
        console.print(f"Dropped over time, for want of room or by age: {document['dropped']}")


def _list(value: JsonValue) -> list[JsonValue]:
    return list(value) if isinstance(value, list) else []


def _for_people(row: Row) -> Row:
    times = {key: _minute(str(row[key])) for key in ("at", "opened_at", "raised_at") if row.get(key)}
    why = str(row.get("reason") or "")
    if row.get("until"):
        why += f" (until {_minute(str(row['until']))} UTC)"
    if row.get("attempt"):
        why += f" [attempt {row['attempt']}]"
    if row.get("times") not in {None, 1}:
        why += f" ({row['times']} times)"
    found = str(row.get("fault") or "") or _found(row.get("verdicts"))
    if row.get("message"):
        found += f": {row['message']}"
    return {**row, **times, "why": why, "found": found}


def _minute(at: str) -> str:
    """Return ``2026-01-15 12:00`` of a time as JSON has it."""
    return at[:16].replace("T", " ")


def _found(verdicts: JsonValue) -> str:
    counts = verdicts if isinstance(verdicts, dict) else {}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _table(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title, _ in columns:
        table.add_column(title, overflow="fold", no_wrap=title in {"TARGET", "CHECK", "STATE", "OUTCOME"})
    for row in rows:
        table.add_row(*(escape(str(row.get(key) or "")) for _, key in columns))
    out_console().print(table)
