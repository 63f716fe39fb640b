"""The commands by which operators ask why, and decide."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, Protocol

import click
from rich.console import Console
from rich.table import Table

from central_command.flywheel.promotion import PromotionPolicy
from central_command.flywheel.stages import STAGES
from central_command.store.alarms import end_alarm, standing_alarms
from central_command.store.diagnose import diagnose
from central_command.store.explain import explain, status
from central_command.store.hands import Decision, Deed, decide
from central_command.store.ids import new_id
from central_command.store.imports import import_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from central_command.store.database import Database
    from central_command.store.explain import Document


class Where(Protocol):
    """Which database a command works on."""

    def database(self, stack: ExitStack) -> Database:
        """Return the database, open."""


_output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
_reason = click.option("--reason", required=True, help="Why; kept in the audit log.")
_actor = click.option("--actor", default=lambda: _login(), help="Who; the login by default.")  # noqa: PLW0108 - asked late


def _login() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


def register(main: click.Group, rules: click.Group) -> None:
    """Add the commands of this module to those of the program."""
    main.add_command(_flywheel)
    main.add_command(_evidence)
    main.add_command(_import)
    rules.add_command(_diagnose)
    for deed in Deed:
        rules.add_command(_deed_command(deed))


def _json(value: object) -> None:
    click.echo(
        json.dumps(value, indent=2, default=lambda one: one.isoformat() if isinstance(one, datetime) else str(one))
    )


@click.group("flywheel")
def _flywheel() -> None:
    """How fixes become rules, and rules end."""


@_flywheel.command("status")
@_output
@click.option("--imported", is_flag=True, help="Only patterns that an earlier control plane had promoted.")
@click.pass_obj
def _status(where: Where, output: str, *, imported: bool) -> None:
    """Show how many rules and patterns stand in each stage, and what each waits for."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        lines = status(connection, PromotionPolicy(), STAGES, now=datetime.now(UTC))
    lines = [line for line in lines if not imported or line.imported_stage == "promoted"]
    stages = Counter(f"{line.kind} {line.stage}" for line in lines)
    if output == "json":
        _json({"stages": dict(sorted(stages.items())), "lines": [asdict(line) for line in lines]})
        return
    counted = Table("stage", box=None, pad_edge=False)
    counted.add_column("how many", justify="right")
    for stage, count in sorted(stages.items()):
        counted.add_row(stage, f"{count:,}")
    waiting = Table("what", "stage", "waits for", box=None, pad_edge=False)
    for line in lines:
        if line.waits_for:
            waiting.add_row(line.id, line.stage, "; ".join(line.waits_for))
    Console().print(counted, "", waiting)


@_flywheel.command("explain")
@click.argument("subject", metavar="RULE|PATTERN")
@_output
@click.pass_obj
def _explain(where: Where, subject: str, output: str) -> None:
    """Show every reason why a rule or a pattern stands where it does, and what it lacks."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        document = explain(connection, subject, PromotionPolicy(), STAGES, now=datetime.now(UTC))
    if output == "json":
        _json(document)
        return
    table = Table("what", "how", box=None, pad_edge=False, show_header=False)
    _add_rows(table, document)
    Console().print(table)


def _add_rows(table: Table, document: Document, prefix: str = "") -> None:
    """Add a row for each value; what nests is named with its parents."""
    for name, value in document.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict) and name not in ("incident_pattern", "details"):
            _add_rows(table, value, f"{label} ")
        elif isinstance(value, list | tuple):
            for number, one in enumerate(value or ["-"]):
                table.add_row(label if not number else "", _told(one))
        else:
            table.add_row(label, _told(value))


def _told(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(_told(one) for one in value.values() if one not in (None, "", {}))
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "-" if value is None or value == "" else str(value)


@click.command("diagnose")
@click.argument("rule_id", metavar="RULE")
@_output
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Most causes to show.")
@click.pass_obj
def _diagnose(where: Where, rule_id: str, output: str, limit: int) -> None:
    """Show a rule's failures by cause: what was said, how often, and where."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        found = diagnose(connection, rule_id, limit=limit)
    if output == "json":
        _json(asdict(found))
        return
    click.echo(
        f"{found.rule_id}: {found.attempts:,} attempts, {found.successes:,} verified fixes,"
        f" {found.not_applicable:,} not applicable, {found.unfinished:,} unfinished"
    )
    table = Table("outcome", "said", box=None, pad_edge=False)
    for name in ("count", "share", "sites", "machines"):
        table.add_column(name, justify="right")
    for name in ("most on", "platforms", "last"):
        table.add_column(name)
    for one in found.causes:
        table.add_row(
            one.outcome,
            one.reason or "-",
            f"{one.count:,}",
            f"{one.share:.0%}",
            f"{one.sites:,}",
            f"{one.targets:,}",
            f"{one.worst_target} ({one.worst_count:,})",
            ", ".join(one.platforms),
            f"{one.last_at:%Y-%m-%d}",
        )
    Console().print(table)


_HELP = {
    Deed.PIN: "Keep a rule in its stage: what would demote it is shown, not acted on.",
    Deed.UNPIN: "Let the numbers decide again.",
    Deed.VETO: "Serve a rule to nobody, and never promote its pattern again, until it is enabled.",
    Deed.DISABLE: "Serve a rule to nobody; enabled again, it goes on where it stood.",
    Deed.ENABLE: "End a veto or a disabling; what was vetoed or demoted begins anew in shadow.",
}


def _deed_command(deed: Deed) -> click.Command:
    @click.argument("rule_id", metavar="RULE")
    @_reason
    @click.option("--site", "site_id", default="*", help="For this site alone; the whole fleet by default.")
    @_actor
    @click.pass_obj
    def run(where: Where, rule_id: str, reason: str, site_id: str, actor: str) -> None:
        decision = Decision(deed, actor, reason, datetime.now(UTC))
        with ExitStack() as stack, where.database(stack).fleet() as connection:
            after = decide(connection, rule_id, decision, new_id=new_id, site_id=site_id)
        click.echo(f"{rule_id} is {after}" + (f" at {site_id}" if site_id != "*" else ""))

    make: Callable[..., click.Command] = click.command(deed.value, help=_HELP[deed])
    return make(run)


@click.group("evidence")
def _evidence() -> None:
    """Evidence of the appliances."""


@_evidence.group("alarms")
def _alarms() -> None:
    """Chains with a gap, a fork, or an entry that was tampered with."""


@_alarms.command("list")
@_output
@click.pass_obj
def _alarms_list(where: Where, output: str) -> None:
    """Show the alarms that nobody has ended. Exit code 2 where there is any."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        alarms = standing_alarms(connection)
    if output == "json":
        _json([asdict(one) for one in alarms])
    else:
        table = Table("id", "since", "sound until entry", "what", box=None, pad_edge=False)
        for one in alarms:
            table.add_row(one.id, f"{one.since:%Y-%m-%d %H:%M}", str(one.seq), one.reason)
        Console().print(table if alarms else "no alarm stands")
    if alarms:
        sys.exit(2)


@_alarms.command("end")
@click.argument("alarm_id", metavar="ID")
@_reason
@_actor
@click.pass_obj
def _alarms_end(where: Where, alarm_id: str, reason: str, actor: str) -> None:
    """End an alarm; the audit log keeps it."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        alarm = end_alarm(connection, alarm_id, actor=actor, reason=reason, audit_id=new_id())
    click.echo(f"the alarm of {alarm.id} is over: {alarm.reason}")


@click.command("import")
@click.argument("file", type=click.File("rb"))
@_actor
@click.pass_obj
def _import(where: Where, file: BinaryIO, actor: str) -> None:
    """Take rules, patterns and reports of an earlier control plane, one JSON object a line, and judge them anew."""
    with ExitStack() as stack:
        told = import_lines(where.database(stack), file, actor=actor, now=datetime.now(UTC), new_id=new_id)
    for what, count in sorted(told.items()):
        click.echo(f"{count:,} {what}")
