"""A fleet scanned by us and by the peers: real OpenSSH servers, one a target, 20 checks each, curve25519 for everyone.

Each run is a process of its own, its start included; runs of all ways alternate, and a run that did not get every
answer of every target fails the benchmark. Needs root (a network namespace and control groups) and .venv-fleet.

    python -m benchmarks.fleet [--quick] [--sizes 10,50] [--ways ours,asyncssh] [--rounds 3]
                               [--json FILE] [--from-json FILE] [--write-docs]

Exit code: 0 when every promise that was measured is kept, 1 when one was missed, 2 on bad arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.fleet_checks import COUNT, write_work
from benchmarks.fleet_plot import svg
from benchmarks.fleet_report import OURS, TITLES, Cell, Kept, Results, markdown, rows
from benchmarks.fleet_servers import CpuGroup, enter_own_network, servers
from benchmarks.page import PAGE, rewrite

if TYPE_CHECKING:
    from benchmarks.fleet_servers import Fleet

ROOT: Final = Path(__file__).resolve().parent.parent
PLOT: Final = ROOT / "docs" / "fleet.svg"
PEERS_PYTHON: Final = ROOT / ".venv-fleet" / "bin" / "python"
SIZES: Final = (10, 50, 100, 300)
IDLE_CONNECTIONS: Final = 200
_SLOW: Final = {"ansible-shell", "ansible-raw", "ours-connections", "ours-execs"}
"""Ways that are measured up to 50 targets: what they cost a target does not change beyond."""

_SLOW_MAX: Final = 50
_KEPT_MAX: Final = 100
_SAMPLE_S: Final = 0.1
_OWN_MODES: Final = {OURS: "scan", "ours-execs": "execs", "ours-connections": "connections"}


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def command_of(way: str, folder: Path, *options: str) -> list[str]:
    """Return how to start a way."""
    if way in _OWN_MODES:
        return [sys.executable, "-m", "benchmarks.fleet_ours", str(folder), _OWN_MODES[way], *options]
    return [str(PEERS_PYTHON), str(ROOT / "benchmarks" / "fleet_peer.py"), str(folder), way]


def run_client(way: str, fleet: Fleet, *options: str) -> tuple[Cell, dict[str, Any]]:
    """Run a way once over all targets; return what it took, and what it says itself."""
    group = CpuGroup("fleet-client")
    try:
        servers_before, began = fleet.group.cpu_s(), time.monotonic()
        process = subprocess.Popen(
            group.wrap(command_of(way, fleet.folder, *options)), cwd=ROOT, stdout=subprocess.PIPE
        )
        peak_mb = 0.0
        with ThreadPoolExecutor(1) as pool:
            output = pool.submit(process.communicate)
            while not output.done():
                peak_mb = max(peak_mb, group.largest_mb())
                wait([output], timeout=_SAMPLE_S)
        wall_s = time.monotonic() - began
        group.end_all()  # masters of Ansible's connections, too
        fleet.settle()
        client_s, server_s = group.cpu_s(), fleet.group.cpu_s() - servers_before
    finally:
        group.remove()
    text = output.result()[0]
    said: dict[str, Any] = json.loads(text) if process.returncode == 0 and text else {"good": 0}
    if said["good"] != len(fleet.hosts):
        sys.exit(f"{way}: {said['good']} of {len(fleet.hosts)} targets gave every answer")
    return Cell(way, len(fleet.hosts), wall_s, client_s, server_s, peak_mb), said


def measure(options: argparse.Namespace) -> Results:
    """Measure what was asked for."""
    results = Results([], [], about_of(options))
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="fleet-") as name, servers(Path(name), size) as fleet:
            write_work(fleet)
            ways = [way for way in options.ways if size <= _SLOW_MAX or way not in _SLOW]
            for number in range(options.rounds):
                for way in ways:
                    cell, _ = run_client(way, fleet)
                    say(
                        f"{size} targets, round {number + 1}, {way}: {cell.wall_s:.1f} s, CPU {cell.client_s:.1f} + "
                        f"{cell.server_s:.1f} s, {cell.peak_mb:.0f} MB"
                    )
                    results.cells.append(cell)
                if OURS in ways and size <= _KEPT_MAX:
                    results.kept += [kept_scan(fleet, checks) for checks in (COUNT, 1)]
    if OURS in options.ways:
        results.idle = idle_cost(10 if options.quick else IDLE_CONNECTIONS, 10 if options.quick else 60)
    return results


def kept_scan(fleet: Fleet, checks: int) -> Kept:
    """Scan twice in one process."""
    _, said = run_client(OURS, fleet, "--passes", "2", "--checks", str(checks))
    first, second = (one["wall_s"] for one in said["passes"])
    say(f"{len(fleet.hosts)} targets, {checks} checks, twice: {first:.2f} s, then {second:.2f} s")
    return Kept(len(fleet.hosts), checks, first, second)


def idle_cost(connections: int, seconds: int) -> dict[str, float]:
    """Keep connections, do nothing, and see what that costs."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as name, servers(Path(name), connections) as fleet:
        write_work(fleet)
        _, said = run_client(OURS, fleet, "--checks", "1", "--idle", str(seconds))
    if said["kept"] != connections:
        sys.exit(f"{said['kept']} of {connections} connections were kept")
    say(f"{connections} idle connections: {said['idle_share']:.2%} of a core")
    return {"connections": connections, "share": said["idle_share"]}


def about_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return when, where and how."""
    sshd = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.split(",")[0]
    cores = len(os.sched_getaffinity(0))
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{cores} cores, Linux {platform.release()}, Python {platform.python_version()}, {sshd}",
        "cores": cores,
        "checks": COUNT,
        "rounds": options.rounds,
        "load": [round(one, 1) for one in os.getloadavg()],
        "command": "make bench-fleet" + (' FLEET="--quick"' if options.quick else ""),
    }


def show(results: Results) -> None:
    """Print the tables."""
    console = Console(width=max(120, Console().width))
    header = ("way", "wall s", "client CPU s", "servers' CPU s", "peak MB")
    tables = [(f"{size} targets", header, rows(results, size)) for size in results.sizes()]
    promises = [[one.promise, one.need, one.got, "reached" if one.kept else "missed"] for one in results.verdicts()]
    for title, names, body in (*tables, ("Promises", ("promise", "needed", "measured", ""), promises)):
        table = RichTable(title=title, title_justify="left")
        for place, name in enumerate(names):
            table.add_column(name, justify="left" if place == 0 else "right")
        for row in body:
            table.add_row(*row)
        console.print(table)
    console.print(f"{results.about['date']}, {results.about['machine']}; load {results.about['load']}", markup=False)


def write_docs(results: Results) -> None:
    """Rewrite the plot and the marked block of docs/PERFORMANCE.md."""
    PLOT.write_text(svg(results))
    rewrite("bench-fleet", markdown(results))
    say(f"written: docs/{PAGE.name} and docs/{PLOT.name}")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _ways(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    unknown = [way for way in found if way not in TITLES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no way is called {', '.join(unknown)}; there are {', '.join(TITLES)}")
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 targets, one round; a minute or two")
    parser.add_argument("--sizes", type=_sizes, help="numbers of targets, e.g. 10,50")
    parser.add_argument("--ways", type=_ways, default=tuple(TITLES), help=f"some of {','.join(TITLES)}")
    parser.add_argument("--rounds", type=int, help="runs of each way; medians count (3, quick: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON, too")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="measure nothing: show an earlier run")
    parser.add_argument("--write-docs", action="store_true", help="rewrite docs/PERFORMANCE.md's block and the plot")
    options = parser.parse_args()
    options.sizes = options.sizes or ((5,) if options.quick else SIZES)
    options.rounds = options.rounds or (1 if options.quick else 3)
    if options.from_json:
        results = Results.from_json(json.loads(options.from_json.read_text()))
    else:
        if any(way not in _OWN_MODES for way in options.ways) and not PEERS_PYTHON.exists():
            sys.exit("the peers are not installed: make set-up-fleet")
        enter_own_network()
        results = measure(options)
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    show(results)
    if options.write_docs:
        write_docs(results)
    sys.exit(0 if all(verdict.kept for verdict in results.verdicts()) else 1)


if __name__ == "__main__":
    main()
