"""What the benchmark of Central Command does to a database: writers, a fill of millions of rows, promotions."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
import uuid
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg

from central_command.flywheel.promotion import PromotionPolicy
from central_command.flywheel.stages import StagePolicy
from central_command.store.catalogue import read_runbooks, store_runbooks
from central_command.store.counts import differences
from central_command.store.fold import DURABLE_AFTER, fold
from central_command.store.promoter import Promoter
from central_command.store.telemetry import INGEST
from compliance_agent.adapters.runbook_files import builtin_runbooks_path
from tests.support import central

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Barrier

    from central_command.postgres.server import PostgresServer
    from central_command.store.folded import Folded
    from central_command.store.telemetry import Execution

WRITERS: Final = 8
RULES: Final = 50
NOW: Final = datetime.now(UTC).replace(microsecond=0)

_statement = INGEST.as_string(None)
_appended = _statement.index(", appended AS (")
PLAIN: Final = (
    _statement[:_appended] + _statement[_statement.index(") SELECT execution_id FROM inserted", _appended) + 1 :]
)
"""The same ingest without the row for the fold: what deduplicates and counts nothing."""

_FILL: Final = """
INSERT INTO execution_telemetry (site_id, appliance_id, execution_id, ended_at, outcome, success, level, rule_id,
  runbook_id, runbook_digest, action, target_id, check_id, incident_type, platform, distro, severity, incident_id,
  fingerprint, opened_at, attempt_id, begun_at, reason)
SELECT 'old', 'a' || i %% 500, id, at, CASE WHEN i %% 10 = 0 THEN 'failed' ELSE 'remediated' END, i %% 10 <> 0, 'L1',
  'RULE-' || i %% 50, 'LIN-SSH-001', repeat('ab', 32), 'run_linux_runbook:LIN-SSH-001', 'server-' || i %% 40,
  'LIN-SSH-001', 'ssh_config', 'linux', 'debian', 'high', id::text, md5((i %% 20000)::text), at, id, at, 'done'
FROM (
  SELECT i, %(start)s::timestamptz + i * %(step)s::interval AS at,
    (lpad(to_hex((extract(epoch FROM %(start)s::timestamptz + i * %(step)s::interval) * 1000)::bigint), 12, '0')
      || '7' || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid AS id
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) i
) rows
"""
_FILL_STEP: Final = 500_000


def make_database(server: PostgresServer, name: str) -> str:
    """Make a database as a server finds it that has just been set up, with fifty rules; return how to reach it."""
    conninfo = central.make_database(server, name, now=NOW)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        store_runbooks(connection, read_runbooks(builtin_runbooks_path()))
        for number in range(RULES):
            central.add_rule(connection, f"RULE-{number}", stage_since=NOW - timedelta(days=30))
        for number in range(WRITERS):
            central.add_site(connection, f"clinic-{number}", "a")
    return conninfo


def an_execution(number: int, *, at: datetime = NOW, **changes: Any) -> Execution:  # noqa: ANN401 - of its fields
    """Return a report with this number; no two have one id."""
    execution_id = central.uuid7(at, number)
    mine: dict[str, Any] = {
        "execution_id": execution_id,
        "attempt_id": execution_id,
        "ended_at": at,
        "opened_at": at - timedelta(minutes=1),
        "rule_id": f"RULE-{number % RULES}",
        "target_id": f"server-{number % 40}",
        "fingerprint": f"fingerprint-{number}",
    }
    return central.execution(**(mine | changes))


def batches_of(seed: int, rows: int, size: int) -> Iterator[list[list[Any]]]:
    """Yield batches as the statement takes them, with the rules in a different order in each."""
    draw = random.Random(seed)
    numbers = list(range(seed * 10_000_000, seed * 10_000_000 + rows))
    draw.shuffle(numbers)
    for start in range(0, rows, size):
        part = [an_execution(number) for number in numbers[start : start + size]]
        yield [list(column) for column in zip(*map(astuple, part), strict=True)]


def send(connection: psycopg.Connection, site_id: str, columns: list[list[Any]], *, counted: bool) -> int:
    """Send one batch as the appliance's route does; return how many rows were new."""
    with connection.transaction():
        connection.execute("SELECT set_config('central.site_id', %s, true)", (site_id,))
        connection.execute("SET LOCAL ROLE central_agent")
        if counted:
            return connection.execute(INGEST, [site_id, "a", *columns, site_id, "a"]).rowcount
        return connection.execute(PLAIN, [site_id, "a", *columns]).rowcount


@dataclass(frozen=True, slots=True)
class Race:
    """What eight writers did at once.

    Attributes:
        rows_a_second: Of all together.
        deadlocks: Batches that PostgreSQL broke off.
        replayed: New rows when every first batch was sent again.
        drain_s: Seconds until the last report was folded, behind the last commit.
        wrong: Rules whose counters differ from a recount.

    """

    rows_a_second: float
    deadlocks: int
    replayed: int
    drain_s: float
    wrong: int


def race(conninfo: str, *, size: int, rows: int, counted: bool, folded: bool = False) -> Race:
    """Have eight writers send ``rows`` reports each, ``size`` at once.

    Args:
        conninfo: A database of ``make_database``.
        size: Reports of one batch.
        rows: Reports of each writer.
        counted: Whether each statement says what is new; then all is folded, and compared with a recount.
        folded: Whether that is done while they write, on the same CPUs, or after them.

    """
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(WRITERS + 1), context.Queue()
    writers = [
        context.Process(target=_write, args=(conninfo, number, size, rows, counted, barrier, results))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    stop = threading.Event()
    folder = threading.Thread(target=_fold_on, args=(conninfo, stop))
    if folded:
        folder.start()
    barrier.wait()
    started = time.perf_counter()
    told = [results.get() for _ in writers]
    took = max(ended for ended, _, _ in told) - started
    for writer in writers:
        writer.join()
    stop.set()
    wrong, drain_s = 0, 0.0
    if folded:
        folder.join()
    if counted:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            _drain(connection)
            drain_s = time.perf_counter() - started - took
            connection.execute("SET ROLE central_fleet")
            wrong = len(differences(connection))
    return Race(WRITERS * rows / took, sum(one[1] for one in told), sum(one[2] for one in told), drain_s, wrong)


def _write(
    conninfo: str,
    number: int,
    size: int,
    rows: int,
    counted: bool,  # noqa: FBT001 - passed to a process by position
    barrier: Barrier,
    results: Any,  # noqa: ANN401 - a queue of a context
) -> None:
    batches, deadlocks = list(batches_of(number + 1, rows, size)), 0
    with psycopg.connect(conninfo, autocommit=True) as connection:
        barrier.wait()
        for batch in batches:
            while True:
                try:
                    send(connection, f"clinic-{number}", batch, counted=counted)
                    break
                except psycopg.errors.DeadlockDetected:
                    deadlocks += 1
        ended = time.perf_counter()  # the machine's own clock, the same in every process
        replayed = send(connection, f"clinic-{number}", batches[0], counted=counted)
    results.put((ended, deadlocks, replayed))


def _fold_on(conninfo: str, stop: threading.Event) -> None:
    """Fold as the server does: at once while there is something, else once a second."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET ROLE central_fleet")
        while not stop.is_set():
            folded = fold(connection, now=datetime.now(UTC))
            if not (folded and folded.rows):
                stop.wait(1.0)


def _drain(connection: psycopg.Connection, now: datetime | None = None) -> None:
    connection.execute("SET ROLE central_fleet")
    while (folded := fold(connection, now=now or datetime.now(UTC))) is None or folded.rows:
        pass
    connection.execute("RESET ROLE")


def fill(conninfo: str, *, already: int, rows: int, say: Callable[[str], None]) -> None:
    """Have the table of reports hold this many rows, spread over the last two months."""
    step = timedelta(days=60) / max(rows, 1)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        if not already:
            connection.execute("INSERT INTO sites (site_id) VALUES ('old')")
            connection.execute(
                "INSERT INTO appliances (site_id, appliance_id) SELECT 'old', 'a' || i FROM generate_series(0, 499) i"
            )
        for first in range(already, rows, _FILL_STEP):
            last = min(first + _FILL_STEP, rows) - 1
            values = {"start": NOW - timedelta(days=60), "step": step, "first": first, "last": last}
            connection.execute(_FILL, values)
            say(f"{last + 1:,} of {rows:,} rows")
        connection.execute("VACUUM ANALYZE execution_telemetry")


def alone(conninfo: str, *, seed: int, rows: int, size: int = 500) -> tuple[float, float]:
    """Return the rows a second of one writer, and those of the fold behind it."""
    batches = list(batches_of(seed, rows, size))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        started = time.perf_counter()
        for batch in batches:
            send(connection, "clinic-0", batch, counted=True)
        sent = time.perf_counter()
        _drain(connection)
        folded = time.perf_counter()
    return rows / (sent - started), rows / (folded - sent)


def promotions(conninfo: str, *, patterns: int) -> list[float]:
    """Have that many patterns become eligible, one after another; return the seconds from the fold to the stored rule.

    Each pattern is a check with a runbook of its own whose fixes held on twelve appliances. What is timed is the
    transaction of the fold in which their time is up, from its start to its commit.
    """
    taken = []
    with psycopg.connect(conninfo, autocommit=True) as connection:
        runbooks = connection.execute(
            "SELECT runbook_id FROM runbooks WHERE remedies AND platforms = '{linux}' AND runbook_id <> 'LIN-SSH-001'"
            " ORDER BY runbook_id LIMIT %s",
            (patterns,),
        ).fetchall()
        later = NOW + DURABLE_AFTER + timedelta(seconds=1)
        _drain(connection, later)  # what other measurements left lasts by then, and is none of ours
        for number in range(12):
            central.add_site(connection, f"learning-{number}", "a")
        for place, (runbook_id,) in enumerate(runbooks):
            for number in range(12):
                part = [
                    an_execution(
                        9 * 10**9 + place * 1000 + number * 10 + nth,
                        at=NOW - timedelta(days=nth),
                        level="L2",
                        rule_id=None,
                        runbook_id=runbook_id,
                        check_id=runbook_id,
                        action=f"run_linux_runbook:{runbook_id}",
                        fingerprint=f"{runbook_id}-{number}-{nth}",
                        target_id=f"server-{nth}",
                    )
                    for nth in range(5)
                ]
                columns = [list(column) for column in zip(*map(astuple, part), strict=True)]
                send(connection, f"learning-{number}", columns, counted=True)
            _drain(connection)
            taken.append(_promote(connection, later))
    return taken


def _promote(connection: psycopg.Connection, later: datetime) -> float:
    promoter = Promoter(
        PromotionPolicy(days_min=1), StagePolicy(shadow_time=timedelta(days=2)), new_id=lambda: str(uuid.uuid4())
    )

    def then(folded: Folded) -> None:
        promoter.apply(connection, folded, now=later)

    connection.execute("SET ROLE central_fleet")
    before = connection.execute("SELECT count(*) FROM l1_rules").fetchone()
    started = time.perf_counter()
    fold(connection, now=later, then=then)
    took = time.perf_counter() - started
    after = connection.execute("SELECT count(*) FROM l1_rules").fetchone()
    connection.execute("RESET ROLE")
    if not (before and after and after[0] == before[0] + 1):
        message = f"no rule came of the pattern: {before} rules before, {after} after"
        raise RuntimeError(message)
    return took
