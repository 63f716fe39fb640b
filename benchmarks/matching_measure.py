"""How engines are timed: CPU time, one thread, passes of all engines in turn, the best pass counts.

The first pass of an engine finds how many incidents it manages within its CPU seconds; each later
pass repeats exactly those. An incident is matched as at work: soon after it was read (or its bytes
arrived), by portions of a hundred. Reading is not timed. The garbage collector runs as Python sets it up.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from benchmarks.matching_engines import NAIVE, REFERENCE, prepared
from benchmarks.matching_workloads import INCIDENTS, RULES, as_json_lines
from compliance_agent.wire.json_document import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.matching_engines import Engine, Form, Live, Rules

PASSES_MIN, PASSES_MAX = 3, 9
PASS_LIMIT_S: Final = 0.4
"""CPU seconds after which a pass ends, so that a slow engine's cell takes about four seconds, too."""

CELL_LIMIT_S: Final = 4.0
"""CPU seconds of an engine's passes after which no more than PASSES_MIN are made."""

CHECK_LIMIT_S: Final = 1.0
"""CPU seconds of comparing a peer's answers."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine at one number of rules.

    Attributes:
        rate: Incidents a CPU second, best pass.
        incidents: How many incidents a pass had.
        passes: How many passes there were.
        spread: Slowest pass over fastest.
        build_s: CPU seconds to take the rules in (the client's, for PostgreSQL).
        compared: Incidents whose answers were compared with the reference.
        different: How many of these differed.
        note: A remark of the engine.

    """

    workload: str
    rules: int
    engine: str
    rate: float
    incidents: int
    passes: int
    spread: float
    build_s: float
    compared: int = 0
    different: int = 0
    note: str = ""


@dataclass(slots=True)
class _Running:
    engine: Engine
    live: Live
    build_s: float
    count: int = 0
    compared: int = 0
    different: int = 0
    rates: list[float] | None = None
    spent_s: float = 0.0


PORTION: Final = 100
"""Incidents that are read before they are matched: about 300 KB of objects."""


@dataclass(frozen=True, slots=True)
class Forms:
    """Incidents as lines of JSON, to be had in each form of engine."""

    lines: Sequence[bytes]

    def fresh(self, form: Form, count: int | None = None) -> Iterable[Any]:
        """Yield incidents, each made when it is asked for."""
        make = _MAKERS[form]
        return (make(line) for line in self.lines[:count])


_MAKERS: Final[dict[Form, Callable[[bytes], Any]]] = {
    "plain": json.loads,
    "exact": lambda line: read_json(line, source="incident"),
    "bytes": lambda line: bytes(bytearray(line)),
}


def forms_of(workload: str, count: int) -> Forms:
    """Return the first ``count`` incidents."""
    return Forms(as_json_lines(INCIDENTS[workload](count)))


def measure(
    workload: str,
    rule_count: int,
    engines: Sequence[Engine],
    forms: Forms,
    say: Callable[[str], None],
    *,
    passes: int = PASSES_MAX,
) -> list[Cell]:
    """Build all engines, compare their answers, then time them in turn."""
    rules = prepared(RULES[workload](rule_count))
    running: list[_Running] = []
    try:
        for engine in engines:
            began = time.process_time()
            live = engine.make(rules)
            running.append(_Running(engine, live, time.process_time() - began))
        _compare(rules, running, forms)
        for _ in range(passes):
            for one in running:
                _pass(one, forms)
    finally:
        for one in running:
            one.live.close()
    cells = [_cell(workload, rule_count, one) for one in running]
    for cell in cells:
        built = (
            f"built in {cell.build_s:.2f} CPU s, {cell.passes} passes of {cell.incidents:,}, spread {cell.spread:.2f}"
        )
        say(f"{workload} {rule_count:,} rules: {cell.engine} {cell.rate:,.1f} incidents a CPU second ({built})")
    return cells


def _cell(workload: str, rule_count: int, one: _Running) -> Cell:
    rates = one.rates or [0.0]
    return Cell(
        workload,
        rule_count,
        one.engine.key,
        rate=max(rates),
        incidents=one.count,
        passes=len(rates),
        spread=max(rates) / min(rates) if min(rates) else 0.0,
        build_s=one.build_s,
        compared=one.compared,
        different=one.different,
        note=one.live.note,
    )


def _pass(one: _Running, forms: Forms) -> None:
    if one.rates is None:
        one.count, spent_s = _first_pass(one.live, one.engine.form, forms)
        one.rates = []
    elif len(one.rates) >= PASSES_MIN and one.spent_s > CELL_LIMIT_S:
        return
    else:
        incidents = iter(forms.fresh(one.engine.form, one.count))
        spent_s = 0.0
        while part := list(islice(incidents, PORTION)):
            spent_s += _matched_s(one.live, part)
    one.spent_s += spent_s
    one.rates.append(one.count / max(spent_s, 1e-9))


def _matched_s(live: Live, part: list[Any]) -> float:
    """Return the CPU seconds that matching some incidents took."""
    match, clock = live.match, live.clock
    began = clock()
    for incident in part:
        match(incident)
    return clock() - began


def _first_pass(live: Live, form: Form, forms: Forms) -> tuple[int, float]:
    """Match ever larger portions of incidents until all are through or the CPU seconds are up."""
    incidents = iter(forms.fresh(form))
    done, step, spent_s = 0, 1, 0.0
    while spent_s < PASS_LIMIT_S and (part := list(islice(incidents, step))):
        spent_s += _matched_s(live, part)
        done += len(part)
        left = PASS_LIMIT_S - spent_s
        step = max(1, min(PORTION, int(done * left / max(spent_s, 1e-9) / 2)))
    return done, spent_s


def _compare(rules: Rules, running: list[_Running], forms: Forms) -> None:
    """Compare each engine's answers with the reference; ours must agree on every one that there is time for."""
    size = len(rules.documents)
    sample = min(len(forms.lines), max(100, 1_000_000 // max(size, 1)))
    reference = REFERENCE.make(rules)
    expected = [reference.ids(reference.match(incident)) for incident in forms.fresh("exact", sample)]
    for one in running:
        if not one.engine.answers or one.engine.key == REFERENCE.key:
            continue
        exact_order = one.engine.ours or one.engine.key == NAIVE.key
        began = time.process_time()
        for wanted, incident in zip(expected, forms.fresh(one.engine.form, sample), strict=True):
            got = one.live.ids(one.live.match(incident))
            one.compared += 1
            one.different += got != wanted if exact_order else sorted(got) != sorted(wanted)
            if not one.engine.ours and time.process_time() - began > CHECK_LIMIT_S:
                break
