"""Reports count once, for the rule that they name, and fixes only while they last."""

from __future__ import annotations

import random
import threading
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from central_command.store.fold import _ROWS, _TAKE, DURABLE_AFTER, fold
from central_command.store.telemetry import keep_partitions, time_of
from tests.support.central import NOW, add_rule, add_site, execution, report, uuid7

if TYPE_CHECKING:
    from central_command.store.telemetry import Execution

_LATER = NOW + DURABLE_AFTER + timedelta(seconds=1)
_DIFFERENCES = """
SELECT rule_id FROM l1_rule_counts c JOIN l1_rule_recount r USING (site_id, rule_id)
WHERE (c.match_count, c.success_count, c.failure_count, c.not_applicable_count, c.relapse_count)
  IS DISTINCT FROM (r.match_count, r.success_count, r.failure_count, r.not_applicable_count, r.relapse_count)
"""


def _counters(connection: psycopg.Connection, rule_id: str = "RULE-1") -> tuple[int, ...] | None:
    return connection.execute(
        "SELECT match_count, success_count, failure_count, relapse_count, not_applicable_count FROM l1_rules"
        " WHERE rule_id = %s",
        (rule_id,),
    ).fetchone()


def _tallies(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT site_id, appliance_id, successes, failures, not_applicable FROM pattern_tallies ORDER BY 1, 2"
    ).fetchall()


def test_a_report_that_is_sent_again_adds_nothing(agent, fleet) -> None:
    reports = [execution(), execution("failed")]
    assert report(agent, reports) == {one.execution_id for one in reports}
    assert report(agent, reports) == frozenset()
    fold(fleet, now=NOW)
    fold(fleet, now=NOW)
    assert _counters(fleet) == (2, 1, 1, 0, 0)


def test_a_report_that_stands_twice_in_a_batch_counts_once(agent, fleet) -> None:
    one = execution()
    assert report(agent, [one, one]) == {one.execution_id}
    fold(fleet, now=NOW)
    assert _counters(fleet) == (1, 1, 0, 0, 0)


def test_a_batch_that_is_rolled_back_counts_nothing(agent, fleet) -> None:
    with agent.transaction(force_rollback=True):
        assert report(agent, [execution()])
    folded = fold(fleet, now=NOW)
    assert folded is not None
    assert folded.rows == 0
    assert _counters(fleet) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("outcome", "counters"),
    [
        ("remediated", (1, 1, 0, 0, 0)),
        ("failed", (1, 0, 1, 0, 0)),
        ("verify_failed", (1, 0, 1, 0, 0)),
        ("not_applicable", (1, 0, 0, 0, 1)),
        ("unreachable", (1, 0, 0, 0, 0)),
        ("interrupted", (1, 0, 0, 0, 0)),
    ],
)
def test_an_outcome_counts_as_what_it_is(agent, fleet, outcome, counters) -> None:
    report(agent, [execution(outcome)])
    fold(fleet, now=NOW)
    assert _counters(fleet) == counters


def test_what_was_held_back_is_no_run_of_the_rule(agent, fleet) -> None:
    report(agent, [execution("suppressed", attempt_id=None), execution("awaiting_approval", attempt_id=None)])
    fold(fleet, now=NOW)
    assert _counters(fleet) == (0, 0, 0, 0, 0)


def test_the_success_rate_is_made_by_the_database_and_by_nobody_else(agent, fleet) -> None:
    report(agent, [execution(), execution(), execution("failed"), execution("not_applicable")])
    fold(fleet, now=NOW)
    assert str((fleet.execute("SELECT success_rate FROM l1_rules").fetchone() or [None])[0]) == "0.6667"
    with pytest.raises(psycopg.errors.GeneratedAlways):
        fleet.execute("UPDATE l1_rules SET success_rate = 1")


def test_the_exact_view_knows_what_is_not_folded_yet(agent, fleet) -> None:
    report(agent, [execution(), execution("failed")])
    counted = "SELECT match_count, success_count, failure_count FROM l1_rule_counts"
    assert _counters(fleet) == (0, 0, 0, 0, 0)
    assert fleet.execute(counted).fetchone() == (2, 1, 1)
    fold(fleet, now=NOW)
    assert fleet.execute(counted).fetchone() == (2, 1, 1)


def test_a_fix_that_comes_back_in_time_is_a_relapse(agent, fleet) -> None:
    report(agent, [execution(fingerprint="f")])
    fold(fleet, now=NOW)
    report(agent, [execution("suppressed", attempt_id=None, fingerprint="f", opened_at=NOW + timedelta(hours=1))])
    fold(fleet, now=NOW)
    assert _counters(fleet) == (1, 1, 0, 1, 0)


def test_an_incident_that_opened_before_the_fix_is_no_relapse(agent, fleet) -> None:
    report(agent, [execution(fingerprint="f")])
    report(agent, [execution("failed", rule_id=None, fingerprint="f", opened_at=NOW - timedelta(hours=1))])
    fold(fleet, now=NOW)
    assert _counters(fleet) == (1, 1, 0, 0, 0)


def test_a_fix_that_comes_back_after_its_time_has_lasted(agent, fleet) -> None:
    report(agent, [execution(fingerprint="f")])
    report(agent, [execution("failed", rule_id=None, fingerprint="f", opened_at=_LATER)])
    folded = fold(fleet, now=_LATER)
    assert folded is not None
    assert [fix.fixed_at for fix in folded.rules["RULE-1"].lasted] == [NOW]
    assert _counters(fleet) == (1, 1, 0, 0, 0)


def test_the_same_check_of_another_site_is_no_relapse(owner, agent, fleet) -> None:
    add_site(owner, "site-2", "a")
    report(agent, [execution(fingerprint="f")])
    report(agent, [execution("failed", rule_id=None, fingerprint="f", opened_at=NOW + timedelta(1))], site_id="site-2")
    fold(fleet, now=NOW)
    assert _counters(fleet) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the return first"])
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
def test_reports_of_a_backlog_tell_the_same_in_any_order(agent, fleet, order, together) -> None:
    fix = execution(fingerprint="f")
    back = execution("failed", fingerprint="f", ended_at=NOW + timedelta(hours=2))
    reports = [(fix, back)[index] for index in order]
    for batch in [reports] if together else [[one] for one in reports]:
        report(agent, batch)
        fold(fleet, now=NOW)
    assert _counters(fleet) == (2, 1, 1, 1, 0)
    assert fleet.execute(_DIFFERENCES).fetchall() == []


def test_a_fix_does_not_last_before_its_appliance_has_told_all_until_then(owner, agent, fleet) -> None:
    owner.execute("UPDATE appliances SET reported_until = %s", (NOW + DURABLE_AFTER - timedelta(seconds=1),))
    report(agent, [execution()])
    folded = fold(fleet, now=_LATER)
    assert folded is not None
    assert folded.rules["RULE-1"].lasted == []
    owner.execute("UPDATE appliances SET reported_until = %s", (NOW + DURABLE_AFTER,))
    folded = fold(fleet, now=_LATER)
    assert folded is not None
    assert [fix.fixed_at for fix in folded.rules["RULE-1"].lasted] == [NOW]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the undo first"])
def test_a_fix_that_a_person_took_back_neither_lasted_nor_came_back(agent, fleet, order) -> None:
    fix = execution(fingerprint="f")
    undo = execution("undone", fingerprint="f", attempt_id=None, opened_at=None, undoes=fix.attempt_id)
    for index in order:
        report(agent, [(fix, undo)[index]])
        fold(fleet, now=NOW)
    report(agent, [execution("unmatched", attempt_id=None, fingerprint="f", opened_at=NOW + timedelta(hours=1))])
    fold(fleet, now=NOW)
    folded = fold(fleet, now=_LATER)
    assert folded is not None
    assert folded.rules == {}
    assert _counters(fleet) == (1, 1, 0, 0, 0)
    assert fleet.execute(_DIFFERENCES).fetchall() == []


def test_what_nobody_registered_is_counted_aside(agent, fleet) -> None:
    report(agent, [execution(rule_id="LOCAL-1"), execution("failed", rule_id="LOCAL-1")])
    fold(fleet, now=NOW)
    aside = fleet.execute("SELECT site_id, rule_id, matches, successes, failures FROM unclaimed_counts").fetchall()
    assert aside == [("site-1", "LOCAL-1", 2, 1, 1)]


def test_a_fix_without_a_rule_becomes_a_pattern_with_a_tally_of_each_appliance(owner, agent, fleet) -> None:
    add_site(owner, "site-2", "b")
    by_hand: dict[str, Any] = {"level": "L3", "rule_id": None}
    report(agent, [execution(**by_hand), execution("failed", **by_hand), execution("not_applicable", **by_hand)])
    report(agent, [execution(level="L2", rule_id=None)], site_id="site-2", appliance_id="b")
    fold(fleet, now=NOW)
    assert _tallies(fleet) == [("site-1", "a", 0, 1, 1)]
    fold(fleet, now=_LATER)
    assert _tallies(fleet) == [("site-1", "a", 1, 1, 1), ("site-2", "b", 1, 0, 0)]
    patterns = fleet.execute("SELECT site_id, incident_pattern, runbook_id, stage FROM patterns").fetchall()
    assert patterns == [("*", {"check_id": "LIN-SSH-001", "platform": "linux"}, "LIN-SSH-001", "observed")]


def test_a_fix_without_a_rule_that_comes_back_is_a_failure_of_its_pattern(agent, fleet) -> None:
    by_hand: dict[str, Any] = {"level": "L3", "rule_id": None, "fingerprint": "f"}
    held = {**by_hand, "attempt_id": None}
    report(agent, [execution("escalated", opened_at=_LATER, **held), execution(**by_hand)])
    report(agent, [execution("escalated", opened_at=NOW + timedelta(1), **held)])
    fold(fleet, now=NOW)
    assert _tallies(fleet) == [("site-1", "a", 0, 1, 0)]


def test_a_runbook_outside_the_catalogue_makes_no_pattern(agent, fleet) -> None:
    report(agent, [execution(level="L3", rule_id=None, runbook_id="AUTO-SSH")])
    fold(fleet, now=NOW)
    assert fleet.execute("SELECT count(*) FROM patterns").fetchone() == (0,)


def test_a_second_folder_leaves_the_first_alone(conninfo, agent, fleet) -> None:
    report(agent, [execution()])
    seen = []

    def meanwhile(_folded: object) -> None:
        with psycopg.connect(conninfo, autocommit=True) as other:
            other.execute("SET ROLE central_fleet")
            seen.append(fold(other, now=NOW))

    fold(fleet, now=NOW, then=meanwhile)
    assert seen == [None]
    assert _counters(fleet) == (1, 1, 0, 0, 0)


def test_a_fold_that_fails_has_folded_nothing(agent, fleet) -> None:
    report(agent, [execution()])

    def fail(_folded: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        fold(fleet, now=NOW, then=fail)
    assert _counters(fleet) == (0, 0, 0, 0, 0)
    fold(fleet, now=NOW)
    assert _counters(fleet) == (1, 1, 0, 0, 0)


def test_eight_writers_with_shuffled_rules_count_exactly_at_any_time_and_never_deadlock(owner, fleet, conninfo) -> None:
    for number in range(2, 51):
        add_rule(owner, f"RULE-{number}")
    for number in range(8):
        add_site(owner, f"writer-{number}", "a")
    troubles: list[BaseException] = []

    def write(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - a test's data
        try:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                for _ in range(12):
                    batch = [_random_execution(chance) for _ in range(50)]
                    for _ in range(2):  # each batch is sent again, in another order
                        chance.shuffle(batch)
                        report(connection, batch, site_id=f"writer-{number}")
        except BaseException as trouble:  # noqa: BLE001 - told by the test below
            troubles.append(trouble)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        fold(fleet, now=NOW)
        assert fleet.execute(_DIFFERENCES).fetchall() == []
    for writer in writers:
        writer.join()
    fold(fleet, now=NOW, batches=10_000)
    assert troubles == []
    assert fleet.execute(_DIFFERENCES).fetchall() == []
    assert fleet.execute("SELECT sum(match_count) FROM l1_rules").fetchone() == (8 * 12 * 50,)


def _random_execution(chance: random.Random) -> Execution:
    return execution(
        chance.choice(["remediated", "remediated", "failed", "verify_failed", "not_applicable"]),
        execution_id=uuid.UUID(int=uuid7(NOW, 0).int | chance.getrandbits(61)),
        rule_id=f"RULE-{chance.randrange(1, 51)}",
        fingerprint=f"fingerprint-{chance.randrange(40)}",
        ended_at=NOW + timedelta(minutes=chance.randrange(600)),
    )


def test_partitions_are_months_and_an_id_finds_the_one_of_its_time(owner, agent) -> None:
    assert keep_partitions(owner, now=NOW) == []
    assert keep_partitions(owner, now=NOW + timedelta(days=31)) == ["execution_telemetry_2026_05"]
    old = execution(execution_id=uuid7(NOW - timedelta(days=60), 1))
    report(agent, [old, execution()])
    where = owner.execute("SELECT tableoid::regclass::text FROM execution_telemetry ORDER BY 1").fetchall()
    assert where == [("execution_telemetry_2026_01",), ("execution_telemetry_2026_03",)]


def test_the_time_of_an_id_is_read_from_a_version_seven_alone() -> None:
    assert time_of(uuid7(NOW, 5)) == NOW
    assert time_of(uuid.UUID(int=uuid.uuid4().int)) is None


def test_the_fold_finds_what_it_takes_by_its_key_however_many_reports_there_are(agent, fleet, owner) -> None:
    """Once it joined the other way round, and took ten seconds for five thousand reports beside a hundred thousand."""
    add_site(owner, "old", "b")
    owner.execute(
        "INSERT INTO execution_telemetry (site_id, appliance_id, execution_id, ended_at, outcome, success, target_id,"
        " check_id, fingerprint) SELECT 'old', 'b', (%s || lpad(to_hex(i), 12, '0'))::uuid, %s, 'failed', false,"
        " 'server', 'LIN-SSH-001', 'f' FROM generate_series(1, 20000) i",
        (str(uuid7(NOW, 0))[:24], NOW),
    )
    owner.execute("ANALYZE execution_telemetry")
    report(agent, [execution() for _ in range(50)])
    fold(fleet, now=NOW)
    report(agent, [execution() for _ in range(50)])
    fleet.execute(_ROWS)
    line: Any
    (line,) = fleet.execute("EXPLAIN (FORMAT JSON) " + _TAKE, {"batches": 500}).fetchone() or ("",)
    full = f"execution_telemetry_{NOW:%Y_%m}"
    scans = [node for node in _nodes(line[0]["Plan"]) if node.get("Relation Name") == full]
    assert scans
    for scan in scans:
        assert "Index" in scan["Node Type"], scan
        assert all(name in scan["Index Cond"] for name in ("site_id", "appliance_id", "execution_id")), scan


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in _nodes(part))]
