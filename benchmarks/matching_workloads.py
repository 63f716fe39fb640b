"""The two workloads of the matching benchmark: incidents and rules, made from fixed seeds.

W looks like the work of an appliance: 500 types of incident, rules of nine kinds. H has many shapes:
16 fields, and each rule asks for two to four of them. The first N of 20,000 rules are those of size N.

    python -m benchmarks.matching_workloads     # the statistics, and how far hits are from the goal
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import Action, Rule, RuleSource
from compliance_agent.wire.json_document import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from compliance_agent.domain.json_value import JsonValue

INCIDENTS_MAX: Final = 20_000
RULES_MAX: Final = 20_000
RULES_SEED: Final = 7
_INCIDENTS_SEED: Final = 11

HITS_EXPECTED: Final = {
    "w": {20: 0.01, 200: 0.09, 2_000: 1.07, 20_000: 10.5},
    "h": {200: 0.02, 2_000: 0.22, 20_000: 2.2},
}
"""Matching rules per incident, by workload and number of rules."""

_TYPE_COUNT: Final = 500
_SERVICES_PER_TYPE: Final = 5
_APP_COUNT: Final = 400
_OPTION_COUNT: Final = 200
_SEVERITIES: Final = ("info", "low", "medium", "high", "critical")
_APP_ROOTS: Final = {
    "linux": "/opt/vendor/app-{:03d}/",
    "windows": "C:\\Program Files\\App{:03d}\\",
    "nixos": "/nix/profile/app-{:03d}/",
    "darwin": "/Applications/App{:03d}.app/",
}
_PLATFORMS: Final = tuple(_APP_ROOTS)
_TOPICS: Final = ("service", "patch", "backup", "firewall", "disk", "login", "audit", "policy", "certificate", "agent")
_TAGS: Final = tuple(f"tag-{number:02d}" for number in range(40))
_WORDS: Final = (
    "state",
    "differs",
    "from",
    "policy",
    "after",
    "restart",
    "of",
    "the",
    "unit",
    "check",
    "again",
    "soon",
)

H_CARDINALITIES: Final = (4, 5, 6, 8, 10, 12, 20, 30, 50, 100, 150, 200, 300, 400, 500, 1_000)
"""Distinct values of each field of H; the odd ones are nested."""

_H_WIDE: Final = tuple(number for number, count in enumerate(H_CARDINALITIES) if count >= 100)


def _type_name(number: int) -> str:
    return f"{_TOPICS[number % len(_TOPICS)]}_drift_{number:03d}"


def _service_name(kind: int, number: int) -> str:
    return f"svc-{kind:03d}-{number}"


def _option_name(number: int) -> str:
    return f"opt_{number:03d}"


@cache
def _type_weights() -> tuple[float, ...]:
    """Cumulative weights 1/(k+1)^0.6, the ranks k in a shuffled order, so that no id tells its weight."""
    ranks = list(range(_TYPE_COUNT))
    random.Random(_INCIDENTS_SEED).shuffle(ranks)
    return tuple(itertools.accumulate(1 / (rank + 1) ** 0.6 for rank in ranks))


def w_incidents(count: int) -> list[dict[str, Any]]:
    """Return the first ``count`` incidents of W: plain JSON values, numbers as ``int`` and ``float``."""
    return list(itertools.islice(_w_incidents(), _checked(count, INCIDENTS_MAX)))


def _w_incidents() -> Iterator[dict[str, Any]]:
    rng = random.Random(_INCIDENTS_SEED)
    for number in range(INCIDENTS_MAX):
        kind = rng.choices(range(_TYPE_COUNT), cum_weights=_type_weights())[0]
        platform = rng.choice(_PLATFORMS)
        yield {
            "id": f"inc-{rng.getrandbits(48):012x}",
            "incident_type": _type_name(kind),
            "severity": rng.choice(_SEVERITIES),
            "platform": platform,
            "timestamp": f"2026-11-{1 + number % 28:02d}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:00Z",
            "host": f"host-{rng.randrange(2_000):04d}.clinic.example",
            "user": f"user{rng.randrange(500):03d}",
            "agent": {
                "version": f"1.{rng.randrange(9)}.{rng.randrange(20)}",
                "os_build": rng.randrange(10_000, 30_000),
            },
            "details": _w_details(rng, kind, platform),
        }


def _w_details(rng: random.Random, kind: int, platform: str) -> dict[str, Any]:
    app = rng.randrange(_APP_COUNT)
    details: dict[str, Any] = {
        "enabled": rng.random() < 0.5,
        "service": None if rng.random() < 0.1 else _service_name(kind, rng.randrange(_SERVICES_PER_TYPE)),
        "score": round(rng.random(), 4),
        "port": rng.randrange(1, 65_536),
        "error_code": rng.randrange(1_000),
        "message": " ".join(rng.choices(_WORDS, k=rng.randrange(3, 8))),
        "process": {
            "name": f"app{app:03d}",
            "path": f"{_APP_ROOTS[platform].format(app)}bin/tool-{rng.randrange(50):02d}",
            "pid": rng.randrange(2, 60_000),
            "signed": rng.random() < 0.8,
        },
        "ip": f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        "tags": rng.sample(_TAGS, rng.randrange(4)),
    }
    if rng.random() < 0.5:
        details["quarantine_id"] = f"q-{rng.getrandbits(32):08x}"
    if rng.random() < 0.25:
        details[_option_name(rng.randrange(_OPTION_COUNT))] = rng.randrange(100)
    return details


def _type_and_platform(rng: random.Random) -> dict[str, Any]:
    return {"incident_type": _type_name(rng.randrange(_TYPE_COUNT)), "platform": rng.choice(_PLATFORMS)}


def _type_and_service(rng: random.Random) -> dict[str, Any]:
    kind = rng.randrange(_TYPE_COUNT)
    service = None if rng.random() < 0.05 else _service_name(kind, rng.randrange(_SERVICES_PER_TYPE))
    return {"incident_type": _type_name(kind), "details": {"service": service}}


def _types_and_severities(rng: random.Random) -> dict[str, Any]:
    return {
        "incident_type": {"$in": [_type_name(kind) for kind in rng.sample(range(_TYPE_COUNT), 3)]},
        "severity": {"$in": rng.sample(_SEVERITIES, 2)},
        "platform": rng.choice(_PLATFORMS),
    }


def _type_and_score(rng: random.Random) -> dict[str, Any]:
    low = rng.randrange(8_001)
    score = {"$gte": low / 10_000, "$lt": (low + 2_000) / 10_000}
    return {"incident_type": _type_name(rng.randrange(_TYPE_COUNT)), "details": {"score": score}}


def _platform_and_path(rng: random.Random) -> dict[str, Any]:
    platform = rng.choice(_PLATFORMS)
    return {"platform": platform, "details": {"process": {"path": {"$prefix": _app_root(rng, platform)}}}}


def _type_and_quarantine(rng: random.Random) -> dict[str, Any]:
    exists = {"$exists": rng.random() < 0.5}
    return {"incident_type": _type_name(rng.randrange(_TYPE_COUNT)), "details": {"quarantine_id": exists}}


def _path_only(rng: random.Random) -> dict[str, Any]:
    return {"details": {"process": {"path": {"$prefix": _app_root(rng, rng.choice(_PLATFORMS))}}}}


def _port_only(rng: random.Random) -> dict[str, Any]:
    low = rng.randrange(1, 65_516)
    return {"details": {"port": {"$gte": low, "$lt": low + 20}}}


def _option_only(rng: random.Random) -> dict[str, Any]:
    return {"details": {_option_name(rng.randrange(_OPTION_COUNT)): {"$exists": True}}}


def _app_root(rng: random.Random, platform: str) -> str:
    return _APP_ROOTS[platform].format(rng.randrange(_APP_COUNT))


W_KINDS: Final[tuple[tuple[float, Callable[[random.Random], dict[str, Any]]], ...]] = (
    (25.0, _type_and_platform),
    (20.0, _type_and_service),
    (20.0, _types_and_severities),
    (15.0, _type_and_score),
    (10.0, _platform_and_path),
    (5.0, _type_and_quarantine),
    (2.0, _path_only),
    (1.5, _port_only),
    (1.5, _option_only),
)
"""Kinds of rules of W with their shares, in percent."""


def w_rules(count: int) -> list[dict[str, Any]]:
    """Return the first ``count`` rule documents of W."""
    rng = random.Random(RULES_SEED)
    makers = [make for _, make in W_KINDS]
    weights = [share for share, _ in W_KINDS]
    kinds = rng.choices(makers, weights, k=RULES_MAX)
    return [_rule_document(rng, number, kinds[number](rng)) for number in range(_checked(count, RULES_MAX))]


def h_incidents(count: int) -> list[dict[str, Any]]:
    """Return the first ``count`` incidents of H: 16 fields, half of them below ``details``."""
    rng = random.Random(_INCIDENTS_SEED)
    found = []
    for _ in range(_checked(count, INCIDENTS_MAX)):
        fields = {number: _h_value(rng, number) for number in range(len(H_CARDINALITIES))}
        found.append(_h_document(fields))
    return found


def h_rules(count: int) -> list[dict[str, Any]]:
    """Return the first ``count`` rule documents of H: 2 to 4 equalities, at least one on a field of 100 values."""
    rng = random.Random(RULES_SEED)
    found = []
    for number in range(_checked(count, RULES_MAX)):
        size = rng.randrange(2, 5)
        wide = rng.choice(_H_WIDE)
        others = [field for field in range(len(H_CARDINALITIES)) if field != wide]
        fields = [wide, *rng.sample(others, size - 1)]
        found.append(_rule_document(rng, number, _h_document({field: _h_value(rng, field) for field in fields})))
    return found


def _h_value(rng: random.Random, field: int) -> str | int:
    value = rng.randrange(H_CARDINALITIES[field])
    return value if field % 4 == 2 else f"v{field}-{value}"  # a quarter of the fields are numbers


def _h_document(fields: dict[int, str | int]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for field, value in fields.items():
        place = document if field % 2 == 0 else document.setdefault("details", {})
        place[f"field_{field:02d}"] = value
    return document


def _rule_document(rng: random.Random, number: int, pattern: dict[str, Any]) -> dict[str, Any]:
    return {
        "rule_id": f"RB-{number:05d}",
        "incident_pattern": pattern,
        "action": f"alert:bench-{number}",
        "priority": rng.randrange(1_000),
    }


def _checked(count: int, most: int) -> int:
    if not 0 <= count <= most:
        message = f"from 0 to {most} are there, not {count}"
        raise ValueError(message)
    return count


INCIDENTS: Final[dict[str, Callable[[int], list[dict[str, Any]]]]] = {"w": w_incidents, "h": h_incidents}
RULES: Final[dict[str, Callable[[int], list[dict[str, Any]]]]] = {"w": w_rules, "h": h_rules}


def as_json_lines(incidents: Sequence[dict[str, Any]]) -> list[bytes]:
    """Return each incident as compact UTF-8 JSON, without a line end."""
    return [json.dumps(incident, separators=(",", ":"), ensure_ascii=False).encode() for incident in incidents]


def compiled_rules(documents: Sequence[dict[str, Any]]) -> list[Rule]:
    """Return rule documents as the product's rules, numbers exact, in the order given."""
    rules = []
    for document in documents:
        source: JsonValue = json.loads(json.dumps(document["incident_pattern"]), parse_float=Decimal)
        action = Action(*document["action"].split(":", 1))
        rules.append(
            Rule(
                document["rule_id"],
                compile_pattern(source),
                action,
                priority=document["priority"],
                source=RuleSource.SYNCED,
            )
        )
    return rules


def leaves(value: object) -> Iterator[object]:
    """Yield the scalars of a document."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def field_set(pattern: dict[str, Any], place: str = "") -> frozenset[str]:
    """Return the paths that a rule's pattern asks for."""
    found: set[str] = set()
    for key, value in pattern.items():
        path = f"{place}.{key}" if place else key
        if isinstance(value, dict) and not any(name.startswith("$") for name in value):
            found |= field_set(value, path)
        else:
            found.add(path)
    return frozenset(found)


def mean_hits(workload: str, rule_count: int) -> float:
    """Return the mean number of matching rules per incident, by the reference engine, over a sample."""
    sample = max(200, min(5_000, 1_000_000 // rule_count))
    incidents = [read_json(line, source="incident") for line in as_json_lines(INCIDENTS[workload](sample))]
    rules = compiled_rules(RULES[workload](rule_count))
    documents = [incident for incident in incidents if isinstance(incident, dict)]
    return sum(rule.pattern.matches(document) for document in documents for rule in rules) / sample


def main() -> None:
    """Print what the workloads are like."""
    for workload, make in INCIDENTS.items():
        incidents = make(INCIDENTS_MAX)
        lines = as_json_lines(incidents)
        sets = {field_set(rule["incident_pattern"]) for rule in RULES[workload](RULES_MAX)}
        size = statistics.mean(map(len, lines))
        count = statistics.mean(sum(1 for _ in leaves(incident)) for incident in incidents)
        print(f"{workload}: {len(lines):,} incidents of {size:.0f} bytes and {count:.1f} leaves on average")
        print(f"   {RULES_MAX:,} rules with {len(sets):,} distinct sets of fields")
        for rules, expected in HITS_EXPECTED[workload].items():
            print(f"   {rules:>6,} rules: {mean_hits(workload, rules):.3f} hits per incident, meant are {expected}")


if __name__ == "__main__":
    main()
