"""What the index costs beside matching: building, memory, one more rule, and being replaced at work."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.matching_engines import prepared
from benchmarks.matching_workloads import RULES, RULES_MAX
from compliance_agent.domain.rule_set import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compliance_agent.domain.rule import Rule

_PAGE_BYTES: Final = 4096
_ADDED: Final = 200


@dataclass(frozen=True, slots=True)
class Costs:
    """The index over the largest rule set of one workload.

    Attributes:
        build_s: CPU seconds to index compiled rules, best of three.
        memory_mb: What the process grew by while indexing, in a process of its own.
        traced_mb: What Python counted of it.
        add_ms: CPU milliseconds to add one rule, median of many added one after another.
        add_longest_ms: The longest of these: now and then small indexes are joined.
        longest_ms: Longest single match (wall clock) while the next set was built by another thread.
        longest_gc_ms: Longest garbage collection in that time; it stops every thread, whichever starts it.
        median_us: Median of these matches.
        matched: How many matches that were.
        mixed: Answers that belonged to neither of the two sets.

    """

    workload: str
    rules: int
    build_s: float
    memory_mb: float
    traced_mb: float
    add_ms: float
    add_longest_ms: float
    longest_ms: float
    longest_gc_ms: float
    median_us: float
    matched: int
    mixed: int


def costs(workload: str, incidents: Sequence[Any], rule_count: int = RULES_MAX) -> Costs:
    """Measure them."""
    compiled = prepared(RULES[workload](rule_count)).compiled
    added = _add_ms(compiled, incidents)
    with _collections_timed() as collections:
        longest, median, matched, mixed = _replaced_at_work(compiled, incidents)
    return Costs(
        workload,
        rule_count,
        build_s=min(_build_s(compiled) for _ in range(3)),
        memory_mb=_memory_mb(workload, rule_count, "grown"),
        traced_mb=_memory_mb(workload, rule_count, "traced"),
        add_ms=statistics.median(added),
        add_longest_ms=max(added),
        longest_ms=longest * 1e3,
        longest_gc_ms=max(collections, default=0.0) * 1e3,
        median_us=median * 1e6,
        matched=matched,
        mixed=mixed,
    )


def _build_s(compiled: list[Rule]) -> float:
    began = time.process_time()
    RuleSet(compiled)
    return time.process_time() - began


def _memory_mb(workload: str, rule_count: int, how: str) -> float:
    command = [sys.executable, "-m", "benchmarks.matching_costs", workload, str(rule_count), how]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def _memory_here_mb(workload: str, rule_count: int, how: str) -> float:
    compiled = prepared(RULES[workload](rule_count)).compiled
    gc.collect()
    if how == "traced":
        tracemalloc.start()
    before = _resident_bytes()
    index = RuleSet(compiled)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] if how == "traced" else _resident_bytes() - before
    del index
    return grown / 1e6


def _add_ms(compiled: list[Rule], incidents: Sequence[Any]) -> list[float]:
    """Add one rule after another to a set of nearly all, with a match after each."""
    rules = RuleSet(compiled[_ADDED:])
    taken = []
    for rule, incident in zip(compiled[:_ADDED], itertools.cycle(incidents), strict=False):
        began = time.process_time()
        rules = rules.with_rule(rule)
        taken.append((time.process_time() - began) * 1e3)
        rules.matching(incident)
    return taken


@contextlib.contextmanager
def _collections_timed() -> Iterator[list[float]]:
    """Collect how long each garbage collection takes, in seconds."""
    taken: list[float] = []
    began = [0.0]

    def watch(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            began[0] = time.perf_counter()
        else:
            taken.append(time.perf_counter() - began[0])

    gc.callbacks.append(watch)
    try:
        yield taken
    finally:
        gc.callbacks.remove(watch)


def _replaced_at_work(compiled: list[Rule], incidents: Sequence[Any]) -> tuple[float, float, int, int]:
    """Match on while another thread builds the next set and puts it in place; return times and mixed answers."""
    old = RuleSet(compiled[::2])
    current = [old]
    replaced = threading.Event()

    def replace() -> None:
        current[0] = RuleSet(compiled)
        replaced.set()

    taken: list[float] = []
    answers: list[list[Rule]] = []
    left = len(incidents)
    builder = threading.Thread(target=replace)
    builder.start()
    while left:
        left -= replaced.is_set()  # some matches more with the new set in place
        incident = incidents[len(taken) % len(incidents)]
        began = time.perf_counter()
        answer = current[0].matching(incident)
        taken.append(time.perf_counter() - began)
        answers.append(answer)
    builder.join()
    allowed = [(old.matching(incident), current[0].matching(incident)) for incident in incidents]
    mixed = sum(answer not in allowed[number % len(allowed)] for number, answer in enumerate(answers))
    return max(taken), statistics.median(taken), len(taken), mixed


if __name__ == "__main__":
    print(json.dumps(_memory_here_mb(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
