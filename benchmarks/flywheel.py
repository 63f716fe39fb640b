"""How many bad fixes become rules, how long good ones wait, how fast a dead rule is out: by simulation.

Every figure is of the product's own decisions (``central_command.flywheel``), on synthetic fixes whose true rate is
known. ``make bench-flywheel`` prints the tables of docs/PERFORMANCE.md; a seed makes them the same each time.

    python -m benchmarks.flywheel [--patterns N] [--seed N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from central_command.flywheel.evidence import Tally, e_value, wilson_lower
from central_command.flywheel.promotion import PatternRecord, PromotionPolicy, Scope, judge
from central_command.flywheel.sequential import CanaryTest, CanaryVerdict, DecayTest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOKS = 500
RATES = (0.56, 0.67, 0.75, 0.80, 0.90, 0.95, 0.99)
CORRELATION = 0.3
APPLIANCES = (1, 10, 30, 100)


@dataclass
class Race:
    """What a rule of promotion did to many fixes of one true rate."""

    rule: str
    rate: float
    promoted: float
    median_runs: float | None


@cache
def _bound(successes: int, runs: int) -> float:
    return wilson_lower(successes, runs)


@cache
def _evidence(successes: int, failures: int) -> float:
    return e_value(successes, failures, PromotionPolicy().null_rate)


RULES: dict[str, Callable[[int, int], bool]] = {
    "earlier rule: 5 runs and 90 %": lambda s, f: s + f >= 5 and s >= 0.9 * (s + f),
    "Wilson 99 % >= .80": lambda s, f: _bound(s, s + f) >= 0.8,
    "ours: e-value >= 20 and Wilson 99 %": lambda s, f: _bound(s, s + f) >= 0.8 and _evidence(s, f) >= 20,
}


def independent(patterns: int, seed: int) -> Iterator[Race]:
    """Yield how each rule fares when every run is of its own, asked after each of ``LOOKS`` runs."""
    for name, allows in RULES.items():
        for rate in RATES:
            chance = random.Random(seed)
            waits = [wait for _ in range(patterns) if (wait := _wait(chance, rate, allows)) is not None]
            yield Race(name, rate, len(waits) / patterns, statistics.median(waits) if waits else None)


def _wait(chance: random.Random, rate: float, allows: Callable[[int, int], bool]) -> int | None:
    successes = 0
    for run in range(1, LOOKS + 1):
        successes += chance.random() < rate
        if allows(successes, run - successes):
            return run
    return None


@dataclass
class Clustered:
    """What promotion did to fixes whose runs resemble each other within an appliance."""

    appliances: int
    rate: float
    earlier: float
    ours: float


def clustered(patterns: int, seed: int) -> Iterator[Clustered]:
    """Yield the share that is promoted after 10 runs of each appliance, asked after each round of runs."""
    policy = PromotionPolicy(targets_min=1, days_min=1)
    for appliances in APPLIANCES:
        for rate in (0.67, 0.75, 0.80, 0.95):
            chance = random.Random(seed)
            earlier = ours = 0
            for _ in range(patterns):
                rates = [_drawn(chance, rate) for _ in range(appliances)]
                by_earlier, by_ours = _rounds(chance, rates, policy)
                earlier, ours = earlier + by_earlier, ours + by_ours
            yield Clustered(appliances, rate, earlier / patterns, ours / patterns)


def _drawn(chance: random.Random, rate: float) -> float:
    """Return one appliance's own rate: a beta distribution of this mean whose correlation is ``CORRELATION``."""
    weight = 1 / CORRELATION - 1
    return chance.betavariate(rate * weight, (1 - rate) * weight)


def _rounds(chance: random.Random, rates: list[float], policy: PromotionPolicy) -> tuple[bool, bool]:
    counts = [[0, 0] for _ in rates]
    earlier = ours = False
    for _ in range(10):
        for count, rate in zip(counts, rates, strict=True):
            count[chance.random() >= rate] += 1
        successes, runs = sum(count[0] for count in counts), sum(map(sum, counts))
        earlier = earlier or (runs >= 5 and successes >= 0.9 * runs)
        record = PatternRecord([Tally(*count) for count in counts], targets=1, days=1)
        ours = ours or judge(record, policy).scope is Scope.FLEET
    return earlier, ours


@dataclass
class Canary:
    """How the canary's test ends for one true rate."""

    rate: float
    accepted: float
    median_runs: float


def canaries(patterns: int, seed: int) -> Iterator[Canary]:
    """Yield how often a canary is accepted, and after how many runs it ends."""
    test = CanaryTest()
    for rate in (0.67, 0.80, 0.90, 0.95, 0.99):
        chance = random.Random(seed)
        accepted, lengths = 0, []
        for _ in range(patterns):
            score, runs, verdict = 0.0, 0, CanaryVerdict.GO_ON
            while verdict is CanaryVerdict.GO_ON and runs < 10_000:
                success = chance.random() < rate
                score, runs = score + test.score(success, not success), runs + 1
                verdict = test.judge(score)
            accepted += verdict is CanaryVerdict.ACCEPT
            lengths.append(runs)
        yield Canary(rate, accepted / patterns, statistics.median(lengths))


@dataclass
class Decay:
    """How many runs a rule of one true rate has before it is demoted."""

    rate: float
    mean: float
    p95: float


def decays(patterns: int, seed: int) -> Iterator[Decay]:
    """Yield how long the decay test lets rules live."""
    test = DecayTest()
    for rate in (0.0, 0.30, 0.50, 0.70, 0.95):
        chance = random.Random(seed)
        lengths = []
        for _ in range(patterns if rate < 0.9 else max(100, patterns // 10)):
            score, runs = 0.0, 0
            while not test.is_out(score):
                score, runs = test.step(score, success=chance.random() < rate), runs + 1
            lengths.append(runs)
        yield Decay(rate, statistics.fmean(lengths), sorted(lengths)[int(len(lengths) * 0.95)])


def promises(races: list[Race], rules: list[Decay]) -> list[tuple[str, bool]]:
    """Return each promise of the flywheel, and whether this simulation keeps it."""
    ours = {race.rate: race for race in races if race.rule.startswith("ours")}
    gone = {one.rate: one for one in rules}
    return [
        ("at most 5 % of fixes with true rate .80 are ever promoted", ours[0.80].promoted <= 0.05),
        ("at most 1 % at .75", ours[0.75].promoted <= 0.01),
        ("median wait at .95 is at most 35 runs", (ours[0.95].median_runs or 999) <= 35),
        ("a dead rule is out within 5 runs", gone[0.0].p95 <= 5),
        ("a rule of .30 is out within 10 runs (95 %)", gone[0.30].p95 <= 10),
        ("at least 1,000 healthy runs pass between false alarms", gone[0.95].mean >= 1_000),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patterns", type=int, default=10_000, help="synthetic fixes of each kind")
    parser.add_argument("--seed", type=int, default=20260315)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    races = list(independent(asked.patterns, asked.seed))
    print(f"ever promoted within {LOOKS} independent runs, asked after each; median runs of those promoted")
    for race in races:
        wait = "-" if race.median_runs is None else f"{race.median_runs:.0f}"
        print(f"  {race.rule:38} true rate {race.rate:.2f}  {race.promoted:7.2%}  {wait:>4}")
    groups = list(clustered(max(200, asked.patterns // 10), asked.seed))
    print(f"\npromoted with clustered runs (correlation {CORRELATION}), up to 10 runs of each appliance")
    for group in groups:
        print(
            f"  {group.appliances:3} appliances, true rate {group.rate:.2f}"
            f"  earlier rule {group.earlier:6.1%}  ours {group.ours:6.1%}"
        )
    tests = list(canaries(asked.patterns, asked.seed))
    print("\ncanary: accepted, median runs to a verdict")
    for test in tests:
        print(f"  true rate {test.rate:.2f}  {test.accepted:7.2%}  {test.median_runs:.0f}")
    rules = list(decays(asked.patterns, asked.seed))
    print("\ndemotion: runs until a rule is out, mean and 95 %")
    for rule in rules:
        print(f"  true rate {rule.rate:.2f}  {rule.mean:8.1f}  {rule.p95:.0f}")
    kept = promises(races, rules)
    print()
    for promise, holds in kept:
        print(f"  {'kept  ' if holds else 'BROKEN'}  {promise}")
    if asked.json:
        everything: dict[str, list[Any]] = {"races": races, "clustered": groups, "canaries": tests, "decays": rules}
        asked.json.write_text(json.dumps({k: [vars(one) for one in v] for k, v in everything.items()}, indent=1))
    raise SystemExit(not all(holds for _, holds in kept))


if __name__ == "__main__":
    main()
