"""What the measurements mean: the targets with their verdicts, the tables, the block in docs/PERFORMANCE.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.matching_engines import BYTES, NAIVE, ORJSON, OWN, PARSED
from benchmarks.matching_peers import FIELD_NOTE, FIELD_NOTE_ORJSON, PEERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.matching_costs import Costs
    from benchmarks.matching_measure import Cell

FROM_NOTE: Final = " (field note, normalised)"
"""Stands behind the name of an engine that was not measured live."""

_TITLES: Final = {engine.key: engine.title for engine in (*OWN, *PEERS)}

# What our index must do: against the naive scan (parsed incidents), and against orjson.loads alone (from bytes).
_PARSED_TARGETS: Final = {
    "w": {20: 12.0, 200: 60.0, 2_000: 550.0, 20_000: 2_200.0},
    "h": {200: 30.0, 2_000: 100.0, 20_000: 200.0},
}
_BYTES_TARGETS: Final = {20: 1.3, 200: 0.8, 2_000: 0.5, 20_000: 0.18}
_PEER_TARGETS: Final = (
    ("w", 200, "quamina", 1.3),
    ("w", 2_000, "quamina", 1.5),
    ("w", 2_000, "event-ruler", 9.0),
    ("w", 20_000, "quamina", 3.5),
    ("w", 20_000, "event-ruler", 28.0),
    ("h", 20_000, "event-ruler", 8.0),
)
_FLAT_TARGET: Final = 8.0
_BUILD_TARGET_S, _MEMORY_TARGET_MB, _ADD_TARGET_MS = 1.5, 150.0, 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise: what was asked, what was measured.

    Attributes:
        what: The promise, for people.
        workload: ``w`` or ``h``.
        rules: Number of rules.
        target: As a number, in the unit that ``what`` names.
        measured: The same, measured.
        at_least: True when more is better.

    """

    what: str
    workload: str
    rules: int
    target: float
    measured: float
    at_least: bool = True

    @property
    def kept(self) -> bool:
        """Tell whether the promise holds."""
        return self.measured >= self.target if self.at_least else self.measured <= self.target


class Results:
    """All measurements of one run."""

    def __init__(self, cells: Sequence[Cell], costs: Sequence[Costs], about: dict[str, Any]) -> None:
        """Keep them; ``about`` holds date, machine, command and the speed of ``orjson.loads`` on W."""
        self.cells = list(cells)
        self.costs = list(costs)
        self.about = about
        self._rates = {(cell.workload, cell.rules, cell.engine): cell.rate for cell in cells}

    @property
    def workloads(self) -> list[str]:
        """Return the workloads measured."""
        return list(dict.fromkeys(cell.workload for cell in self.cells))

    def sizes(self, workload: str) -> list[int]:
        """Return the numbers of rules measured."""
        return sorted({cell.rules for cell in self.cells if cell.workload == workload})

    def rate(self, workload: str, rules: int, engine: str) -> float | None:
        """Return incidents a CPU second: measured, or of the field note and normalised; ``None`` when unknown."""
        noted = FIELD_NOTE.get(engine, {}).get(workload, {}).get(rules)
        if noted is None:
            return self._rates.get((workload, rules, engine))
        speed = self.about.get("orjson_w")
        return noted / FIELD_NOTE_ORJSON * speed if speed else None

    def ratio(self, workload: str, rules: int, engine: str, other: str) -> float | None:
        """Return how many times faster ``engine`` is than ``other``."""
        own, others = self.rate(workload, rules, engine), self.rate(workload, rules, other)
        return own / others if own and others else None

    def verdicts(self) -> list[Verdict]:
        """Return every promise for which there are measurements."""
        found: list[Verdict] = []

        def add(what: str, workload: str, rules: int, target: float, measured: float | None) -> None:
            if measured is not None:
                found.append(Verdict(what, workload, rules, target, measured))

        for workload, targets in _PARSED_TARGETS.items():
            for rules, target in targets.items():
                ratio = self.ratio(workload, rules, PARSED.key, NAIVE.key)
                add("parsed, times the naive scan", workload, rules, target, ratio)
        for rules, target in _BYTES_TARGETS.items():
            ratio = self.ratio("w", rules, BYTES.key, ORJSON.key)
            add("from bytes, times orjson.loads alone", "w", rules, target, ratio)
        for workload, rules, peer, target in _PEER_TARGETS:
            ratio = self.ratio(workload, rules, BYTES.key, peer)
            add(f"from bytes, times {peer}{FROM_NOTE}", workload, rules, target, ratio)
        few, many = self.rate("w", 20, PARSED.key), self.rate("w", 20_000, PARSED.key)
        if few and many:
            what = "parsed, cost against that of 20 rules"
            found.append(Verdict(what, "w", 20_000, _FLAT_TARGET, few / many, at_least=False))
        return [*found, *(verdict for costs in self.costs for verdict in _cost_verdicts(costs))]

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        verdicts = [{**asdict(verdict), "kept": verdict.kept} for verdict in self.verdicts()]
        cells = [asdict(cell) for cell in self.cells]
        return {"about": self.about, "cells": cells, "costs": [asdict(one) for one in self.costs], "verdicts": verdicts}


def _cost_verdicts(costs: Costs) -> list[Verdict]:
    found = [
        ("CPU seconds to build the index", _BUILD_TARGET_S, costs.build_s),
        ("MB that the index takes", _MEMORY_TARGET_MB, max(costs.memory_mb, costs.traced_mb)),
        ("CPU ms to add one rule", _ADD_TARGET_MS, costs.add_ms),
    ]
    return [
        Verdict(what, costs.workload, costs.rules, target, measured, at_least=False) for what, target, measured in found
    ]


def number(value: float) -> str:
    """Return a figure with three significant digits, for people."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


Table = tuple[str, list[str], list[list[str]]]
"""Title, header and rows."""


def tables(results: Results) -> list[Table]:
    """Return all tables for people."""
    found = [_verdict_table(results)]
    found += [_rate_table(results, workload) for workload in results.workloads]
    if results.costs:
        found.append(_cost_table(results.costs))
    return found


def _verdict_table(results: Results) -> Table:
    rows = []
    for one in results.verdicts():
        sign = "at least" if one.at_least else "at most"
        verdict = "kept" if one.kept else "MISSED"
        rows.append(
            [one.workload.upper(), f"{one.rules:,}", one.what, f"{sign} {one.target:g}", number(one.measured), verdict]
        )
    return ("Promises", ["workload", "rules", "what", "target", "measured", "verdict"], rows)


def _rate_table(results: Results, workload: str) -> Table:
    sizes = results.sizes(workload)
    cells = {(cell.rules, cell.engine): cell for cell in results.cells if cell.workload == workload}
    rows = []
    for engine in (*OWN, *PEERS):
        if any((size, engine.key) in cells for size in sizes):
            rates = [_rate_text(cells.get((size, engine.key))) for size in sizes]
            rows.append([engine.title, "JSON bytes" if engine.form == "bytes" else "parsed", *rates])
    for engine_key in FIELD_NOTE:
        noted = [results.rate(workload, size, engine_key) for size in sizes]
        if any(noted):
            rows.append([engine_key + FROM_NOTE, "JSON bytes", *(number(rate) if rate else "" for rate in noted)])
    title = f"Workload {workload.upper()}: incidents a CPU second, by number of rules"
    return (title, ["engine", "from", *(f"{size:,}" for size in sizes)], rows)


def _rate_text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    few = f" (of {cell.incidents})" if cell.incidents < 100 else ""
    wrong = f" [{cell.different} of {cell.compared} answers differ]" if cell.different else ""
    return f"{number(cell.rate)}{few}{wrong}"


def _cost_table(costs: Sequence[Costs]) -> Table:
    header = [
        "workload",
        "rules",
        "build, CPU s",
        "memory, MB",
        "add a rule, CPU ms",
        "longest match, ms",
        "mixed answers",
    ]
    rows = [
        [
            one.workload.upper(),
            f"{one.rules:,}",
            f"{one.build_s:.2f}",
            f"{one.memory_mb:.0f} (Python's own count: {one.traced_mb:.0f})",
            f"{one.add_ms:.1f} (longest {one.add_longest_ms:.0f})",
            f"{one.longest_ms:.0f} (garbage collection: {one.longest_gc_ms:.0f}; median {one.median_us / 1e3:.3f})",
            f"{one.mixed} of {one.matched:,}",
        ]
        for one in costs
    ]
    return ("The index itself; longest match while another thread builds the next set", header, rows)


def remarks(results: Results) -> list[str]:
    """Return what must stand beside the tables."""
    found = {f"{_TITLES[cell.engine]}: {cell.note}." for cell in results.cells if cell.note}
    differing: dict[str, list[int]] = {}
    for cell in results.cells:
        if cell.different:
            total = differing.setdefault(cell.engine, [0, 0])
            total[0] += cell.different
            total[1] += cell.compared
    wrong = [
        f"{_TITLES[key]}: {bad} of {all_} answers differ from the reference." for key, (bad, all_) in differing.items()
    ]
    return [*sorted(found), *wrong]


def markdown(results: Results) -> str:
    """Return the block for docs/PERFORMANCE.md."""
    about = results.about
    parts = [f"`{about['command']}`, {about['date']}, {about['machine']}."]
    for title, header, rows in tables(results):
        lines = [header, ["---"] * len(header), *rows]
        parts.append(f"{title}:\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    parts.append("\n".join(f"- {line}" for line in remarks(results)))
    return "\n\n".join(part for part in parts if part)
