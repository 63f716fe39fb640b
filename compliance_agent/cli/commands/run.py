"""``compliance-agent run``: the daemon."""

from __future__ import annotations

import signal
import time
from random import SystemRandom
from typing import TYPE_CHECKING, Final

import click
import structlog

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.logging_setup import LogFormat, configure_logging
from compliance_agent.adapters.notify import Notifier
from compliance_agent.adapters.version import version
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.daemon import Daemon
from compliance_agent.app.reload import Reloader
from compliance_agent.cli.common import config_option, settings_for
from compliance_agent.cli.exits import Exit, exit_of, worst
from compliance_agent.cli.output import plural

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from compliance_agent.engine.cycle import Turn


_ERRORS: Final = frozenset(
    {
        "turn.failed",
        "housekeeping.failed",
        "sending.failed",
        "syncing.failed",
        "settings.refused",
        "store.failed",
        "evidence.refused",
    }
)
_WARNINGS: Final = frozenset(
    {
        "scan.unreached",
        "attempt.interrupted",
        "settings.need_restart",
        "snapshot.failed",
        "state.restored",
        "rules.sync_failed",
    }
)


class LogEvents:
    """Writes every event of the engine to the log: trouble as a warning or an error, the rest as information."""

    def emit(self, event: str, **fields: object) -> None:
        """Write one event."""
        log = structlog.get_logger()
        write = log.error if event in _ERRORS else log.warning if event in _WARNINGS else log.info
        write(event, **fields)


@click.command("run", help="Scan and heal for ever (the daemon).")
@config_option
@click.option("--dry-run", is_flag=True, help="End every turn at the plan: nothing is changed, nothing is stored.")
@click.option("--once", is_flag=True, help="One turn of each target, then end.")
def command(config: Path | None, *, dry_run: bool, once: bool) -> int:
    """Run until SIGTERM or SIGINT; what has begun is finished first. SIGHUP takes up changed settings.

    With ``--once`` the exit code is that of the turns; a turn that never ended well is an error.
    """
    settings = settings_for(config)
    configure_logging(level=settings.log.level, log_format=LogFormat(settings.log.format))
    events, notifier, clock = LogEvents(), Notifier(), SystemClock()
    access = Access.READ if dry_run else Access.TURNS
    codes: list[Exit] = []

    def after_turn(turn: Turn) -> None:
        _log_turn(turn)
        if once:
            codes.append(exit_of([turn]))

    with assemble(settings, access=access, events=events) as agent:
        reloader = Reloader(settings, agent)
        daemon = Daemon(
            work=reloader.work(),
            clock=clock,
            monotonic=time.monotonic,
            rng=SystemRandom(),
            events=events,
            dry_run=dry_run,
            after_turn=after_turn,
            housekeeping=(lambda _now: None) if dry_run else agent.keep_house,
            sending=(
                (lambda _now: None)
                if dry_run
                else (lambda now: agent.send_reports(now, keep_going=lambda: not daemon.stopping))
            ),
            syncing=(lambda _now: None) if dry_run else agent.sync_rules,
            reload=reloader.changed,
        )
        if not dry_run:
            agent.recover(clock.now())
        _on_signals(daemon, notifier, reloader)
        events.emit(
            "daemon.started",
            version=version(),
            site=settings.site_id,
            targets=len(settings.targets()),
            rules=len(agent.engine.rules),
            quarantined=len(agent.engine.quarantined),
            dry_run=dry_run,
        )
        notifier.ready(f"watching {plural(len(settings.targets()), 'target')}")
        daemon.run(once=once)
    events.emit("daemon.stopped")
    return worst([*codes, Exit.ERROR] if once and len(codes) < len(settings.targets()) else codes)


def _on_signals(daemon: Daemon, notifier: Notifier, reloader: Reloader) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        notifier.stopping()
        daemon.stop()

    def take_up(_number: int, _frame: FrameType | None) -> None:
        reloader.force()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, take_up)


def _log_turn(turn: Turn) -> None:
    """Write one summary event a turn, and in a dry run what would have been done."""
    log = structlog.get_logger()
    if turn.dry_run:
        for outcome in turn.outcomes:
            log.info(
                "incident.foretold",
                target=outcome.target_id,
                check=outcome.check_id,
                outcome=outcome.kind.value,
                reason=outcome.reason,
                rule=outcome.rule_id,
            )
    kinds = [outcome.kind.value for outcome in turn.outcomes]
    log.info(
        "turn.finished",
        target=turn.scan.target.target_id,
        dry_run=turn.dry_run,
        reached=turn.scan.unreached is None,
        checks=len(turn.scan.observations),
        outcomes={kind: kinds.count(kind) for kind in sorted(set(kinds))},
    )
