"""Matching: our index beside every peer that installs, on workloads W and H, by CPU time of one thread.

Each cell is the best of 3 to 9 passes over up to 5,000 incidents; a slow engine's pass ends after 0.4
CPU seconds. The passes of all engines alternate in one process, and before them the answers are
compared with the reference engine. Progress goes to standard error.

    python -m benchmarks.matching [--quick] [--workload w|h|both] [--sizes 20,200] [--engines naive,parsed]
                                  [--json FILE] [--from-json FILE] [--write-docs]

Exit code: 0 when every promise that was measured is kept, 1 when one was missed, 2 on bad arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.matching_costs import Costs, costs
from benchmarks.matching_engines import ORJSON, OWN, PARSED
from benchmarks.matching_measure import PASSES_MAX, PASSES_MIN, Cell, forms_of, measure
from benchmarks.matching_peers import PEERS
from benchmarks.matching_plot import svg
from benchmarks.matching_report import Results, markdown, remarks, tables
from benchmarks.page import PAGE, rewrite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.matching_engines import Engine

ROOT: Final = Path(__file__).resolve().parent.parent
PLOT: Final = ROOT / "docs" / "matching.svg"

ENGINES: Final = {engine.key: engine for engine in (*OWN, *PEERS)}
SIZES: Final = {"w": (20, 200, 2_000, 20_000), "h": (200, 2_000, 20_000)}
_QUICK_SIZES: Final = (200, 2_000)


def say(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def engines_of(names: str) -> list[Engine]:
    """Return the engines named, in the order of measurement; those not installed are told and left out."""
    wanted = names.split(",") if names else list(ENGINES)
    unknown = [name for name in wanted if name not in ENGINES]
    if unknown:
        sys.exit(f"no engine is called {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    found = []
    for engine in ENGINES.values():
        if engine.key in wanted and engine.installed():
            found.append(engine)
        elif engine.key in wanted:
            say(f"{engine.title}: not installed ({engine.needs}); left out")
    return found


def run(options: argparse.Namespace) -> Results:
    """Measure what was asked for."""
    engines = engines_of(options.engines)
    workloads = ["w", "h"] if options.workload == "both" else [options.workload]
    cells: list[Cell] = []
    index_costs: list[Costs] = []
    for workload in workloads:
        forms = forms_of(workload, 1_000 if options.quick else 5_000)
        for size in options.sizes or (_QUICK_SIZES if options.quick else SIZES[workload]):
            cells += measure(workload, size, engines, forms, say, passes=PASSES_MIN if options.quick else PASSES_MAX)
        if PARSED in engines and not options.quick and not options.no_costs:
            say(f"{workload}: what the index costs")
            index_costs.append(costs(workload, list(forms.fresh("exact", 500))))
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}",
        "load": [round(one, 1) for one in os.getloadavg()],
        "command": "make bench-matching",
        "orjson_w": orjson_on_w(cells),
    }
    return Results(cells, index_costs, about)


def orjson_on_w(cells: Sequence[Cell]) -> float | None:
    """Return the incidents of W that ``orjson.loads`` decodes in a CPU second: its best cell, or measured now."""
    found = [cell.rate for cell in cells if cell.workload == "w" and cell.engine == ORJSON.key]
    if found or not ORJSON.installed():
        return max(found, default=None)
    forms = forms_of("w", 1_000)
    return measure("w", 20, [ORJSON], forms, lambda _: None)[0].rate


def show(results: Results) -> None:
    """Print the tables."""
    console = Console(width=max(140, Console().width))
    for title, header, rows in tables(results):
        table = RichTable(title=title, title_justify="left")
        for place, name in enumerate(header):
            table.add_column(name, justify="left" if place == 0 else "right")
        for row in rows:
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console.print(table)
    for line in remarks(results):
        console.print(line, markup=False)
    about = results.about
    console.print(f"{about['date']}, {about['machine']}; load {about['load']}", markup=False)


def write_docs(results: Results) -> None:
    """Rewrite the plot and the marked block of docs/PERFORMANCE.md."""
    PLOT.write_text(svg(results))
    rewrite("bench-matching", markdown(results))
    say(f"written: docs/{PAGE.name} and docs/{PLOT.name}")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _read(path: Path) -> Results:
    value: dict[str, Any] = json.loads(path.read_text())
    return Results([Cell(**cell) for cell in value["cells"]], [Costs(**one) for one in value["costs"]], value["about"])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 incidents, 200 and 2,000 rules; about a minute")
    parser.add_argument("--workload", choices=["w", "h", "both"], default="both")
    parser.add_argument("--sizes", type=_sizes, help="numbers of rules, e.g. 20,200")
    parser.add_argument("--engines", default="", help=f"some of {','.join(ENGINES)}")
    parser.add_argument("--no-costs", action="store_true", help="leave out building, memory and replacing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as JSON, too")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="measure nothing: show an earlier run")
    parser.add_argument("--write-docs", action="store_true", help="rewrite docs/PERFORMANCE.md's block and the plot")
    options = parser.parse_args()
    began = time.monotonic()
    results = _read(options.from_json) if options.from_json else run(options)
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    show(results)
    if options.write_docs:
        write_docs(results)
    say(f"took {time.monotonic() - began:.0f} s")
    sys.exit(0 if all(verdict.kept for verdict in results.verdicts()) else 1)


if __name__ == "__main__":
    main()
