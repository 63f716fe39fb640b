"""Central Command against its promises: ingest, flat growth, embedded start, promotion.

Each ratio is of two things that were measured in the same run, on the same PostgreSQL.

    python -m benchmarks.central [--quick] [--only ingest,flat,start,promotion] [--rows N] [--write-docs]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.central_load import WRITERS, alone, fill, make_database, promotions, race
from benchmarks.page import rewrite
from central_command.postgres.server import PostgresServer, find_sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.central_load import Race

PARTS: Final = ("ingest", "flat", "start", "promotion", "sync")
_SIZES: Final = (100, 500)


@dataclass(frozen=True, slots=True)
class Line:
    """One promise, and what was measured.

    Attributes:
        what: In words.
        target: As a number, in the unit that ``what`` names; ``None`` where nothing was promised.
        measured: The same, measured.
        at_least: True when more is better.

    """

    what: str
    measured: float
    target: float | None = None
    at_least: bool = True

    @property
    def kept(self) -> bool:
        """Tell whether the promise is kept."""
        if self.target is None:
            return True
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    def cells(self) -> list[str]:
        """Return the line of a table."""
        sign = "at least" if self.at_least else "at most"
        target = "" if self.target is None else f"{sign} {self.target:,g}"
        verdict = "" if self.target is None else ("kept" if self.kept else "MISSED")
        return [
            self.what,
            target,
            f"{self.measured:,.3g}" if self.measured < 1000 else f"{self.measured:,.0f}",
            verdict,
        ]


@dataclass
class Results:
    """What one run measured."""

    about: dict[str, str]
    lines: list[Line] = field(default_factory=list)


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def ingest(server: PostgresServer, options: argparse.Namespace) -> list[Line]:
    """Eight writers, fifty rules in any order, deduplicated: plain, counted, and counted while the fold runs."""
    lines = []
    for size in _SIZES:
        runs: dict[str, list[Race]] = {"plain": [], "counted": [], "folded": []}
        for number in range(options.rounds):
            for kind, into in runs.items():
                conninfo = make_database(server, "ingest")
                counted, folded = kind != "plain", kind == "folded"
                into.append(race(conninfo, size=size, rows=options.rows_a_writer, counted=counted, folded=folded))
                rate = into[-1].rows_a_second
                say(f"ingest, batches of {size}, round {number + 1}, {kind}: {rate:,.0f} rows a second")
        rates = {kind: statistics.median(one.rows_a_second for one in found) for kind, found in runs.items()}
        all_counted = [*runs["counted"], *runs["folded"]]
        what = f"{WRITERS} writers, batches of {size}"
        lines += [
            Line(f"{what}: rows a second, without counters", rates["plain"]),
            Line(f"{what}: counted, times without counters", rates["counted"] / rates["plain"], 0.9),
            Line(f"{what}: counted, and folded meanwhile on the same CPUs, times", rates["folded"] / rates["plain"]),
            Line(f"{what}: deadlocks", sum(one.deadlocks for one in all_counted), 0, at_least=False),
            Line(f"{what}: new rows of a replayed batch", sum(one.replayed for one in all_counted), 0, at_least=False),
            Line(f"{what}: rules that differ from a recount", sum(one.wrong for one in all_counted), 0, at_least=False),
        ]
    return lines


def flat(server: PostgresServer, options: argparse.Namespace) -> list[Line]:
    """One writer and the fold behind it, with nothing in the table and with millions of rows."""
    conninfo = make_database(server, "flat")
    seeds = iter(range(20, 1_000))
    alone(conninfo, seed=next(seeds), rows=options.rows_alone)  # warm

    def rates() -> tuple[float, float]:
        measured = [alone(conninfo, seed=next(seeds), rows=options.rows_alone) for _ in range(options.rounds)]
        return statistics.median(one[0] for one in measured), statistics.median(one[1] for one in measured)

    empty = rates()
    promoted = promotions(make_database(server, "promotion_empty"), patterns=options.patterns)
    lines = [
        Line("one writer, empty table: rows a second", empty[0]),
        Line("the fold, empty table: rows a second", empty[1]),
    ]
    already = 0
    for rows in options.rows:
        fill(conninfo, already=already, rows=rows, say=say)
        already = rows
        full = rates()
        lines += [
            Line(f"one writer, {rows:,} rows: times the rate of an empty table", full[0] / empty[0], 0.8),
            Line(f"the fold, {rows:,} rows: times the rate of an empty table", full[1] / empty[1], 0.8),
        ]
    if "promotion" in options.only:
        later = promotions(conninfo, patterns=options.patterns)
        say("fold to stored rule, ms: " + ", ".join(f"{one * 1000:.0f}" for one in later))
        lines += [
            Line("fold to stored rule, empty table: ms, p95", _p95(promoted) * 1000, 100, at_least=False),
            Line(f"fold to stored rule, {already:,} rows: ms, p95", _p95(later) * 1000, 100, at_least=False),
            Line(
                f"fold to stored rule, {already:,} rows: median, times that of an empty table",
                statistics.median(later) / statistics.median(promoted),
                1.2,
                at_least=False,
            ),
        ]
    return lines


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def start(server: PostgresServer, options: argparse.Namespace) -> list[Line]:
    """An embedded server whose cluster has to be made first, and one whose cluster is there."""
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(options.rounds + 2):
        with tempfile.TemporaryDirectory() as folder:
            for into in (cold, warm):
                embedded = PostgresServer(server.source, cluster=Path(folder) / "cluster")
                into.append(_timed(embedded.start))
                embedded.stop()
    who = "root" if os.geteuid() == 0 else "a user"
    return [
        Line(f"embedded server up, cold, as {who}: seconds", statistics.median(cold), 3.0, at_least=False),
        Line(f"embedded server up, warm, as {who}: seconds", statistics.median(warm), 0.3, at_least=False),
    ]


def _timed(do: Callable[[], None]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def sync(_server: PostgresServer, options: argparse.Namespace) -> list[Line]:
    """An unchanged look for rules, against a bare route and FastAPI's."""
    from benchmarks.central_sync import KINDS, measure  # noqa: PLC0415 - needs the extra bench

    measured: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for number in range(options.rounds):
        for kind in KINDS:
            cpu, rate = measure(kind, options.requests)
            measured[kind].append((cpu, rate))
            say(f"sync, round {number + 1}, {kind}: {cpu:.0f} µs of CPU a request, {rate:,.0f} requests a second")
    cpu_us = {kind: statistics.median(one[0] for one in runs) for kind, runs in measured.items()}
    rates = [rate for _, rate in measured["ours"]]
    return [
        Line("GET /agent/sync, 304 with bearer check: µs of the server's CPU", cpu_us["ours"]),
        Line("GET /agent/sync, 304: requests a second, client beside it", statistics.median(rates)),
        Line("GET /agent/sync, 304: times a bare Starlette route", cpu_us["bare"] / cpu_us["ours"], 0.8),
        Line("GET /agent/sync, 304: times FastAPI with a bearer check", cpu_us["fastapi"] / cpu_us["ours"], 2.0),
    ]


MEASURES: Final[dict[str, Callable[[PostgresServer, argparse.Namespace], list[Line]]]] = {
    "start": start,
    "ingest": ingest,
    "flat": flat,
    "sync": sync,
}


def measure(options: argparse.Namespace) -> Results:
    """Measure what was asked for, on the newest server that is here."""
    source = find_sources()[-1]
    with tempfile.TemporaryDirectory() as folder, PostgresServer(source, cluster=Path(folder) / "cluster") as server:
        about = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python "
            f"{platform.python_version()}, PostgreSQL {server.version} with its own settings, durable",
            "load": f"{os.getloadavg()[0]:.1f}",
        }
        results = Results(about)
        for name, of in MEASURES.items():
            if name in options.only or (name == "flat" and "promotion" in options.only):
                results.lines += of(server, options)
    return results


def markdown(results: Results) -> str:
    """Return the block of docs/PERFORMANCE.md."""
    rows = [["what", "target", "measured", "verdict"], ["---"] * 4, *(line.cells() for line in results.lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"`make bench-central`, {results.about['date']}, {results.about['machine']}.\n\n{table}"


def show(results: Results) -> None:
    """Print the table."""
    table = Table(title="Central Command", title_justify="left")
    for name in ("what", "target", "measured", "verdict"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for line in results.lines:
        table.add_row(*line.cells())
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(f"{results.about['date']}, {results.about['machine']}; load {results.about['load']}", markup=False)


def write_docs(results: Results) -> None:
    """Rewrite the marked block of docs/PERFORMANCE.md."""
    rewrite("bench-central", markdown(results))


def _parts(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if unknown := [part for part in found if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 rows, one round; a minute")
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--rows", type=int, nargs="*", help="sizes of the table (1000000 10000000; 5 GB of disk)")
    parser.add_argument("--rounds", type=int, help="runs of each; medians count (5, quick: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON, too")
    parser.add_argument("--write-docs", action="store_true", help="rewrite the block of docs/PERFORMANCE.md")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.rows = options.rows or ([100_000] if options.quick else [1_000_000, 10_000_000])
    options.rows_a_writer = 2_000 if options.quick else 10_000
    options.rows_alone = 5_000 if options.quick else 20_000
    options.requests = 4_000 if options.quick else 20_000
    options.patterns = 3 if options.quick else 20
    results = measure(options)
    if options.json:
        document: dict[str, Any] = {"about": results.about, "lines": [asdict(line) for line in results.lines]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    show(results)
    if options.write_docs:
        write_docs(results)
    sys.exit(0 if all(line.kept for line in results.lines) else 1)


if __name__ == "__main__":
    main()
