"""Which sessions a scan, a remedy and a verification ask for, and what is said twice when a connection breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.engine.scan import scan_target
from compliance_agent.errors import TransportError, TransportFault
from tests.support.turns import NOON, make_world, unreachable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.turns import World

CHECK = "TEST-FILE-001"


def _verdicts(world: World) -> list[Verdict]:
    scan = scan_target(world.engine, world.target, world.engine.checks_for(world.target), now=NOON)
    return [seen.verdict for seen in scan.observations]


def test_a_scan_over_a_kept_connection_that_breaks_goes_over_a_new_one(tmp_path: Path) -> None:
    world = make_world(tmp_path, CHECK)
    world.transport.kept, world.transport.cuts = {1}, {1}
    assert set(_verdicts(world)) == {Verdict.PASS}
    assert (world.transport.opens, world.transport.fresh) == (2, [2])


def test_the_second_try_is_the_last(tmp_path: Path) -> None:
    world = make_world(tmp_path, CHECK)
    world.transport.kept, world.transport.cuts = {1, 2}, {1, 2}
    assert _verdicts(world) == []
    assert world.transport.opens == 2


def test_a_scan_over_a_new_connection_that_breaks_is_not_repeated(tmp_path: Path) -> None:
    world = make_world(tmp_path, CHECK)
    world.transport.cuts = {1}
    assert _verdicts(world) == []
    assert world.transport.opens == 1


def test_a_kept_connection_that_is_only_slow_is_not_asked_twice(tmp_path: Path) -> None:
    world = make_world(tmp_path, CHECK)
    world.transport.kept = {1}

    def time_out(_number: int) -> None:
        raise TransportError(TransportFault.TIMED_OUT, "no answer", retryable=True)

    world.transport.before_run = time_out
    assert _verdicts(world) == []
    assert world.transport.opens == 1


def test_a_remedy_whose_kept_connection_breaks_is_not_repeated_but_looked_at_over_a_new_login(tmp_path: Path) -> None:
    world = make_world(tmp_path, CHECK)
    world.say(CHECK, "bad")
    world.transport.kept, world.transport.cuts = {1, 2, 3}, {2}  # 1 scans, 2 heals and breaks, 3 verifies
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.REMEDIATED
    assert (world.transport.opens, world.transport.fresh) == (3, [3])


def test_a_verification_logs_in_anew_and_what_it_finds_shut_is_no_success(tmp_path: Path) -> None:
    world = make_world(tmp_path, CHECK)
    world.say(CHECK, "bad")
    world.transport.trouble = {3: unreachable()}
    assert world.outcome().kind is OutcomeKind.INTERRUPTED
    assert world.transport.opens == 3
