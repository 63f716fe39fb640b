"""One turn for one target, top to bottom as the picture in docs/ARCHITECTURE.md.

    scan -> observations -> incidents -> rules -> gate -> plan -- a dry run ends here --
         -> dispatch by handler prefix -> fresh detect -> outcome, stored in one transaction

The clock is read once, by the caller: everything below gets ``now``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.timeline import reading_of
from compliance_agent.engine.heal import foretell, settle
from compliance_agent.engine.notices import tell_ended_suppressions
from compliance_agent.engine.plan import make_plan
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.engine.scan import scan_target
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from compliance_agent.domain.outcome import Outcome
    from compliance_agent.domain.target import Target
    from compliance_agent.domain.timeline import Moment
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.plan import PlanItem
    from compliance_agent.engine.scan import TargetScan


_LOST: Final = frozenset({OutcomeKind.UNREACHABLE, OutcomeKind.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn found, planned and did.

    Attributes:
        scan: Observations, or why the target was not reached.
        items: One plan item for each drift.
        outcomes: How each item ended, in the order of ``items``; foretold ones in a dry run.
        dry_run: Whether the turn ended at the plan.
        at: Time of the turn, UTC.
        trouble: Why the turn ended early, where the state could not be written; what is left of it
            waits for the next turn.

    """

    scan: TargetScan
    items: tuple[PlanItem, ...]
    outcomes: tuple[Outcome, ...]
    dry_run: bool
    at: datetime
    trouble: str = ""


def plan_turn(engine: Engine, target: Target, *, now: Moment) -> Turn:
    """Scan and plan. Writes nothing: not on the target, not to the store."""
    instant, now = engine.instant(now), reading_of(now).wall
    scan = scan_target(engine, target, engine.checks_for(target), now=now)
    items = make_plan(engine, scan, now=now, instant=instant)
    outcomes = tuple(foretell(item, now=now) for item in items)
    return Turn(scan, items, outcomes, dry_run=True, at=now)


def apply_turn(engine: Engine, turn: Turn, *, now: Moment, keep_going: Callable[[], bool] = lambda: True) -> Turn:
    """Carry out what ``plan_turn`` planned: the rest of the live path.

    Args:
        engine: The engine that made the plan.
        turn: Its plan.
        now: Time of the deed, by all clocks or by the wall alone; the observations keep the time of the plan, so
            that an incident has one id in both.
        keep_going: Asked before each item; ``False`` (a stop was requested) leaves the rest for
            the next turn. What has begun is always finished.

    """
    outcomes: list[Outcome] = []
    trouble = ""
    instant, now = engine.instant(now), reading_of(now).wall
    try:
        _record(engine, turn, now=now)
        engine.store.keep_instant(instant)
        tell_ended_suppressions(engine, turn.scan, instant)
        for item in turn.items:
            if not keep_going():
                break
            outcomes.append(settle(engine, turn.scan.target, item, now=now, instant=instant))
            if outcomes[-1].kind in _LOST:  # the rest waits for the next turn, which asks the machine afresh
                break
    except StoreError as error:  # a full disk: nothing is done that could not be recorded first
        trouble = str(error)
        engine.events.emit("store.failed", target=turn.scan.target.target_id, error=trouble)
    return Turn(turn.scan, turn.items[: len(outcomes)], tuple(outcomes), dry_run=False, at=now, trouble=trouble)


def _record(engine: Engine, turn: Turn, *, now: datetime) -> None:
    """Store what the scan saw, after ending what an earlier turn left open.

    A full disk or a fault of ours may have left an attempt open; this process alone runs turns.
    """
    target, unreached = turn.scan.target, turn.scan.unreached
    interrupt_unfinished(engine.store, now=now, target_id=target.target_id, reporter=engine.reporter)
    if unreached is None:
        attachments = engine.reporter.of_scan(target, turn.scan.observations, now=turn.at)
        engine.store.record_scan(
            target.target_id,
            turn.scan.observations,
            site_id=target.site_id,
            now=turn.at,
            attachments=attachments,
        )
    else:
        fault, message = unreached.fault.value, unreached.message
        attachments = engine.reporter.of_unreachable(target, fault=fault, message=message, now=now)
        engine.store.record_unreachable(
            target.target_id, fault=fault, message=message, now=now, attachments=attachments
        )


def run_turn(
    engine: Engine,
    target: Target,
    *,
    now: Moment,
    dry_run: bool,
    keep_going: Callable[[], bool] = lambda: True,
) -> Turn:
    """Run one whole turn; a dry run is the live path cut short at the plan."""
    turn = plan_turn(engine, target, now=now)
    return turn if dry_run else apply_turn(engine, turn, now=now, keep_going=keep_going)
