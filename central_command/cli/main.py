"""The commands of Central Command."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import psycopg
import structlog
from psycopg import sql
from rich.console import Console
from rich.table import Column, Table

from central_command.api.app import make_app
from central_command.api.publisher import Publisher
from central_command.api.requests import Services
from central_command.api.serve import Server
from central_command.cli import operators
from central_command.cli.keys import keys
from central_command.errors import CentralError, DatabaseError
from central_command.flywheel.promotion import PromotionPolicy
from central_command.flywheel.stages import STAGES
from central_command.postgres.server import URL_VARIABLE, PostgresServer, find_sources
from central_command.signing.repository import Repository
from central_command.store import counts
from central_command.store.access import issue_enrolment_token
from central_command.store.backup import back_up
from central_command.store.backup import restore as restore_backup
from central_command.store.catalogue import read_runbooks, store_runbooks
from central_command.store.database import Database
from central_command.store.fold import DURABLE_AFTER, fold
from central_command.store.ids import new_id
from central_command.store.migrate import migrate as run_migrations
from central_command.store.promoter import CHANNEL, Promoter, audit
from central_command.store.telemetry import keep_partitions
from compliance_agent.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from central_command.flywheel.stages import Step
    from central_command.store.folded import Folded

FOLD_EVERY_S: Final = 1.0
PUBLISH_EVERY_S: Final = 5.0
"""Longest wait between two looks at what is served; a change that is announced is published at once."""
_PARTITIONS_EVERY_S: Final = 3_600.0
_WARN_EVERY_S: Final = 86_400.0
_log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--database", envvar=URL_VARIABLE, help=f"How to reach PostgreSQL, as libpq takes it; or {URL_VARIABLE}.")
@click.option(
    "--embedded",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run a PostgreSQL of our own, with its data in this folder. For trials, not for production.",
)
@click.pass_context
def main(context: click.Context, database: str | None, embedded: Path | None) -> None:
    """Central Command: rules out, outcomes in, and only fixes that last become rules."""
    context.obj = _Where(database, embedded)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        message = f"PostgreSQL does not answer: {str(error).strip()}"
        raise DatabaseError(message, hint="is it running, and is the address right?") from error


class _Where:
    """Which database a command works on."""

    def __init__(self, database: str | None, embedded: Path | None) -> None:
        self._database = database
        self._embedded = embedded

    def open(self, stack: ExitStack) -> str:
        """Return how to reach the database, with its server started where it is ours, and its tables up to date."""
        conninfo = self.reach(stack)
        with _reachable():
            run_migrations(conninfo)
            with psycopg.connect(conninfo, autocommit=True) as owner:
                keep_partitions(owner, now=_now())
        return conninfo

    def reach(self, stack: ExitStack) -> str:
        """Return how to reach the database, with its server started where it is ours, and nothing in it touched."""
        if (self._database is None) == (self._embedded is None):
            message = "name one database"
            raise DatabaseError(message, hint=f"--database URL, {URL_VARIABLE}=URL, or --embedded FOLDER for a trial")
        if self._embedded is None:
            return self._database or ""
        source = find_sources({})[0]
        return stack.enter_context(PostgresServer(source, cluster=self._embedded / "cluster")).conninfo

    def database(self, stack: ExitStack) -> Database:
        """Return the database, open."""
        return stack.enter_context(Database(self.open(stack)))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; TLS is the proxy's.")
@click.option("--port", default=8480, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--durable-after", "durable_s", default=DURABLE_AFTER.total_seconds(), help="Seconds a fix has to hold.")
@click.option(
    "--signing",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the online keys and the signed rules (central-command keys init); without it none are served.",
)
@click.pass_obj
def serve(where: _Where, host: str, port: int, durable_s: float, signing: Path | None) -> None:
    """Answer appliances, fold what they report, and move rules from stage to stage."""
    log_plainly()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        conninfo = where.open(stack)
        database = stack.enter_context(Database(conninfo))
        publisher = None if signing is None else Publisher(Repository(signing), database, STAGES.canary_shares)
        services = Services(database=database, now=_now, monotonic_s=time.monotonic, new_id=new_id, publisher=publisher)
        if publisher is not None:
            publisher.publish(now=_now())
            threading.Thread(
                target=_publish_until, args=(stop, conninfo, publisher), name="publish", daemon=True
            ).start()
        folder = threading.Thread(
            target=_fold_until, args=(stop, conninfo, timedelta(seconds=durable_s)), name="fold", daemon=True
        )
        folder.start()
        with Server(make_app(services), host=host, port=port) as server:
            click.echo(f"listening on {server.url}")
            stop.wait()
        folder.join(10)


def log_plainly() -> None:
    """Log one JSON object a line on standard error; tracebacks without the values of variables, which hold tokens."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _fold_until(stop: threading.Event, conninfo: str, durable_after: timedelta) -> None:
    """Fold once a second, at most; while the database is away, try again."""
    promoter = Promoter(PromotionPolicy(), STAGES, new_id)
    while not stop.is_set():
        try:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                _fold_on(connection, stop, promoter, durable_after)
        except Exception as error:  # noqa: BLE001 - whatever it is: a thread that ends would fold no more, unseen
            _log.error("fold.failed", error=f"{type(error).__name__}: {str(error).strip()}")
            stop.wait(5)


def _fold_on(
    connection: psycopg.Connection, stop: threading.Event, promoter: Promoter, durable_after: timedelta
) -> None:
    partitions_at = time.monotonic()
    while not stop.is_set():
        if time.monotonic() >= partitions_at:
            connection.execute("RESET ROLE")
            keep_partitions(connection, now=_now())
            connection.execute("SET ROLE central_fleet")
            partitions_at = time.monotonic() + _PARTITIONS_EVERY_S
        now = _now()

        def move(folded: Folded, now: datetime = now) -> None:
            _tell(promoter.apply(connection, folded, now=now))

        folded = fold(connection, now=now, durable_after=durable_after, then=move)
        if not (folded and folded.rows):
            stop.wait(FOLD_EVERY_S)


def _publish_until(stop: threading.Event, conninfo: str, publisher: Publisher) -> None:
    """Publish when rules change, and now and then for what ages or was changed past us; trouble is told."""
    while not stop.is_set():
        try:
            with psycopg.connect(conninfo, autocommit=True) as listener:
                listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                _publish_on(listener, stop, publisher)
        except Exception as error:  # noqa: BLE001 - whatever it is: a thread that ends would publish no more, unseen
            _log.error("publish.failed", error=f"{type(error).__name__}: {str(error).strip()}")
            stop.wait(PUBLISH_EVERY_S)


def _publish_on(listener: psycopg.Connection, stop: threading.Event, publisher: Publisher) -> None:
    warned_s = -math.inf
    while not stop.is_set():
        now = _now()
        if publisher.publish(now=now):
            _log.info("rules.published")
        if time.monotonic() - warned_s >= _WARN_EVERY_S:
            warned_s = time.monotonic()
            for role, ends in publisher.repository.ending(now=now).items():
                hint = "central-command keys renew; when it has ended, appliances keep the rules that they have"
                _log.warning("keys.ending", role=role, ends=ends.isoformat(), hint=hint)
        for _ in listener.notifies(timeout=PUBLISH_EVERY_S, stop_after=1):
            pass


def _tell(moved: Sequence[tuple[str, Step]]) -> None:
    for rule_id, step in moved:
        _log.info("rule.stage", rule=rule_id, stage=step.stage.value, reason=step.reason)


@main.command()
@click.pass_obj
def migrate(where: _Where) -> None:
    """Bring the database to this release's tables, and its catalogue to this release's runbooks."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        runbooks = read_runbooks(_content())
        store_runbooks(connection, runbooks)
    click.echo(f"up to date; {len(runbooks)} runbooks in the catalogue")


def _content() -> Path:
    """Return the folder of the runbooks: of the package, else of the checkout."""
    packaged = Path(__file__).parents[2] / "compliance_agent" / "_runbooks"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "runbooks"


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def backup(where: _Where, file: Path) -> None:
    """Write all that the database holds to a new FILE, while the server works. Keys that sign are not in it."""
    with ExitStack() as stack, _reachable():
        size = back_up(where.reach(stack), file)
    click.echo(
        f"{file}: {size:,} bytes; try it: createdb trial && central-command --database dbname=trial restore {file}"
    )


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def restore(where: _Where, file: Path) -> None:
    """Fill a new, empty database from a backup. Exit code 2 when its counters are not what its rows say."""
    with ExitStack() as stack, _reachable():
        found = restore_backup(where.reach(stack), file)
    click.echo(f"restored: {found.appliances:,} appliances, {found.rules:,} rules, {found.reports:,} reports")
    click.echo("the counters are what the rows say" if not found.differing else f"{found.differing} rules differ")
    if found.differing:
        sys.exit(2)


@main.group()
def sites() -> None:
    """Sites and their appliances."""


@sites.command("add")
@click.argument("site_id")
@click.option("--name", default="", help="For people.")
@click.pass_obj
def add_site(where: _Where, site_id: str, name: str) -> None:
    """Add a site."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        new = connection.execute(
            "INSERT INTO sites (site_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING", (site_id, name)
        ).rowcount
        if new:
            audit(connection, new_id(), actor=_actor(), what="site_added", subject=site_id, site_id=site_id)
    click.echo(f"{site_id} was added" if new else f"{site_id} is there already")


@sites.command("token")
@click.argument("site_id")
@click.option("--hours", default=24.0, show_default=True, type=click.FloatRange(0.1, 24), help="How long it is valid.")
@click.option(
    "--signing",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the signed rules: print the fingerprint of their root, too, for enroll --root-sha256.",
)
@click.pass_obj
def site_token(where: _Where, site_id: str, hours: float, signing: Path | None) -> None:
    """Print a token with which one appliance can enrol, once; with --signing the fingerprint of the root below."""
    fingerprint = "" if signing is None else hashlib.sha256(Repository(signing).trusted_root()).hexdigest()
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        if connection.execute("SELECT 1 FROM sites WHERE site_id = %s", (site_id,)).fetchone() is None:
            message = f"there is no site {site_id}"
            raise CentralError(message, hint=f"central-command sites add {site_id}")
        valid_for = timedelta(hours=hours)
        token = issue_enrolment_token(connection, site_id=site_id, created_by=_actor(), now=_now(), valid_for=valid_for)
        audit(connection, new_id(), actor=_actor(), what="enrolment_token", subject=site_id, site_id=site_id)
    click.echo(token)
    if fingerprint:
        click.echo(fingerprint)


@main.group()
def rules() -> None:
    """What the rules do."""


@rules.command("top")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@click.option("--limit", default=20, show_default=True)
@click.pass_obj
def rules_top(where: _Where, output: str, limit: int) -> None:
    """Show the rules, those whose fixes surely last first."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        lines = counts.top(connection, limit=limit)
    if output == "json":
        click.echo(json.dumps([asdict(line) for line in lines], indent=2))
        return
    table = Table(Column("rule", overflow="fold"), "stage", box=None, pad_edge=False)
    for name in ("matches", "success", "lasted", "at least", "relapses"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.rule_id,
            line.stage,
            f"{line.matches:,}",
            "-" if line.rate is None else f"{line.rate:.0%}",
            "-" if line.durable_rate is None else f"{line.durable_rate:.0%}",
            f"{line.wilson:.0%}",
            f"{line.relapses:,}",
        )
    Console().print(table)


@main.command()
@click.option("--check", "mode", flag_value="check", default=True, help="Only compare. The default.")
@click.option("--repair", "mode", flag_value="repair", help="Set counters that differ right.")
@click.pass_obj
def recount(where: _Where, mode: str) -> None:
    """Compare the counters of all rules with the rows that they count. Exit code 2 when they differ."""
    with ExitStack() as stack, where.database(stack).fleet() as connection:
        found = counts.repair(connection) if mode == "repair" else counts.differences(connection)
        if found and mode == "repair":
            details = {one.rule_id: [one.counted, one.recounted] for one in found}
            audit(connection, new_id(), actor=_actor(), what="counters_repaired", subject="l1_rules", details=details)
    for one in found:
        click.echo(f"{one.rule_id}: counted {one.counted}, the rows say {one.recounted}")
    click.echo("repaired" if found and mode == "repair" else f"{len(found)} rules differ")
    if found and mode == "check":
        sys.exit(2)


main.add_command(keys)


def _actor() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"uid {os.getuid()}"


operators.register(main, rules)


def run(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit code: 0, 1 for an error, 2 for a difference, 64 for a wrong command line."""
    try:
        main.main(arguments, prog_name="central-command", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 64
    except click.exceptions.Exit as error:
        return error.exit_code
    except (CentralError, InputError) as error:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        return 1
    except SystemExit as error:
        return int(error.code or 0)
    return 0
