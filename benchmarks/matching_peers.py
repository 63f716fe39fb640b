"""The peers: each rule set is put into the peer's own language, as its documentation would have it.

Two more engines cannot be run from Python. Their figures come from a measurement made by hand on
another day (the field note) and are carried over by the speed of ``orjson.loads`` on workload W.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.matching_engines import Engine, Live, look_up
from central_command.postgres.server import PostgresServer, find_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg

    from benchmarks.matching_engines import Condition, Rules

_MISSING: Final = look_up({}, ("absent",))


def _by_path(conditions: Iterable[Condition]) -> dict[tuple[str, ...], list[Condition]]:
    found: dict[tuple[str, ...], list[Condition]] = defaultdict(list)
    for condition in conditions:
        found[condition.path].append(condition)
    return found


# mongoquery


def mongo_query(conditions: Iterable[Condition]) -> dict[str, Any]:
    """Return a rule as a MongoDB query."""
    query: dict[str, Any] = {}
    for condition in conditions:
        if condition.operator == "eq":
            query[condition.dotted] = condition.value
            continue
        tests = query.setdefault(condition.dotted, {})
        if condition.operator == "prefix":
            tests["$regex"] = "^" + re.escape(condition.value)
        else:
            tests[f"${condition.operator}"] = condition.value
    return query


def _mongoquery(rules: Rules) -> Live:
    query = importlib.import_module("mongoquery").Query
    queries = [(rule_id, query(mongo_query(conditions))) for rule_id, conditions in rules.conditions]
    return Live(lambda event: [rule_id for rule_id, one in queries if one.match(event)])


# json-logic


def json_logic_rule(conditions: Iterable[Condition]) -> dict[str, Any]:
    """Return a rule as JsonLogic."""
    return {"and": [_json_logic_condition(condition) for condition in conditions]}


def _json_logic_condition(condition: Condition) -> dict[str, Any]:
    variable = {"var": condition.dotted}
    if condition.operator == "prefix":
        return {"===": [{"substr": [variable, 0, len(condition.value)]}, condition.value]}
    if condition.operator == "exists":
        return {"!" if condition.value else "!!": [{"missing": [condition.dotted]}]}
    return {{"eq": "===", "in": "in", "gte": ">=", "lt": "<"}[condition.operator]: [variable, condition.value]}


def _json_logic(rules: Rules) -> Live:
    judge = importlib.import_module("json_logic").jsonLogic
    logic = [(rule_id, json_logic_rule(conditions)) for rule_id, conditions in rules.conditions]
    return Live(lambda event: [rule_id for rule_id, one in logic if judge(one, event)])


# rule-engine


def rule_engine_text(conditions: Iterable[Condition]) -> str:
    """Return a rule as an expression of rule-engine."""
    return " and ".join(_rule_engine_condition(condition) for condition in conditions)


def _rule_engine_condition(condition: Condition) -> str:
    name, operator = condition.dotted, condition.operator
    if operator == "exists":
        return f"{name} {'!=' if condition.value else '=='} null"
    value = json.dumps(condition.value)
    if operator == "prefix":
        return f"{name}.starts_with({value})"
    sign = {"eq": "==", "in": "in", "gte": ">=", "lt": "<"}[operator]
    return f"{name} {sign} {value}"


def _rule_engine(rules: Rules) -> Live:
    module = importlib.import_module("rule_engine")
    context = module.Context(resolver=module.resolve_item, default_value=None)
    made = [
        (rule_id, module.Rule(rule_engine_text(conditions), context=context))
        for rule_id, conditions in rules.conditions
    ]
    return Live(lambda event: [rule_id for rule_id, rule in made if rule.matches(event)])


# CLIPS


def clips_rule(rule_id: str, conditions: Iterable[Condition]) -> str:
    """Return a rule over one fact of the template ``incident``, whose slots are dotted paths."""
    slots = " ".join(
        f"({'.'.join(path)} {_clips_constraint(number, tests)})"
        for number, (path, tests) in enumerate(_by_path(conditions).items())
    )
    return f"(defrule {rule_id} (incident {slots}) =>)"


def _clips_constraint(number: int, tests: list[Condition]) -> str:
    first = tests[0]
    if first.operator == "eq":
        return _clips_value(first.value)
    if first.operator == "in":
        return "|".join(_clips_value(value) for value in first.value)
    if first.operator == "exists":
        return "~nil" if first.value else "nil"
    name = f"?v{number}"
    if first.operator == "prefix":
        start = f"(sub-string 1 {len(first.value)} {name})"
        return f"{name}&:(and (stringp {name}) (eq {start} {_clips_value(first.value)}))"
    sign = {"gte": ">=", "lt": "<"}
    limits = " ".join(f"({sign[test.operator]} {name} {_clips_value(test.value)})" for test in tests)
    return f"{name}&:(and (numberp {name}) {limits})"


def _clips_value(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "null" if value is None else str(value)


def _clips(rules: Rules) -> Live:
    module = importlib.import_module("clips")
    environment = module.Environment()
    paths = {condition.path for _, conditions in rules.conditions for condition in conditions}
    slots = " ".join(f"(slot {'.'.join(path)} (default nil))" for path in sorted(paths))
    environment.build(f"(deftemplate incident {slots})")
    for rule_id, conditions in rules.conditions:
        environment.build(clips_rule(rule_id, conditions))
    template = environment.find_template("incident")
    named = [(path, ".".join(path)) for path in paths]
    null = module.Symbol("null")

    def match(event: dict[str, Any]) -> list[str]:
        found = ((name, look_up(event, path)) for path, name in named)
        fact = template.assert_fact(
            **{name: null if value is None else value for name, value in found if value is not _MISSING}
        )
        names = [activation.name for activation in environment.activations()]
        fact.retract()
        return names

    return Live(match, note="agenda read, not run; its order is not asked for")


# PostgreSQL


def postgres_key(condition: Condition, value: object) -> str:
    """Return what the B-tree holds for one equality."""
    return f"{condition.dotted}={json.dumps(value)}"


def jsonpath(conditions: Iterable[Condition]) -> str:
    """Return a rule as a jsonpath predicate."""
    return " && ".join(_jsonpath_condition(condition) for condition in conditions)


def _jsonpath_condition(condition: Condition) -> str:
    place = "$" + "".join(f".{json.dumps(key)}" for key in condition.path)
    if condition.operator == "exists":
        return f"{'' if condition.value else '!'}exists({place})"
    if condition.operator == "in":
        return "(" + " || ".join(f"{place} == {json.dumps(value)}" for value in condition.value) + ")"
    sign = {"eq": "==", "gte": ">=", "lt": "<", "prefix": "starts with"}[condition.operator]
    return f"{place} {sign} {json.dumps(condition.value)}"


def _rarest_equalities(rules: Rules) -> list[Condition | None]:
    """Return of each rule the equality on the field with most values over all rules: the best one to index."""
    values: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for _, conditions in rules.conditions:
        for condition in conditions:
            if condition.operator in {"eq", "in"}:
                values[condition.path].add(json.dumps(condition.value))
    return [
        max(
            (condition for condition in conditions if condition.operator in {"eq", "in"}),
            key=lambda condition: len(values[condition.path]),
            default=None,
        )
        for _, conditions in rules.conditions
    ]


_POSTGRES_MATCH: Final = """
WITH incident AS MATERIALIZED (SELECT %s::jsonb AS document)
SELECT rules.id FROM rules, incident WHERE rules.key = ANY (%s::text[]) AND incident.document @@ rules.residual
"""


def _postgres(rules: Rules) -> Live:
    server = PostgresServer(find_sources(variable="ORACLE_DATABASE_URL")[0])
    server.start()
    try:
        connection = server.connect()
        indexed = _fill(connection, rules)
    except BaseException:
        server.stop()
        raise
    version, pid = server.version, connection.info.backend_pid

    def match(line: bytes) -> list[str]:
        document = json.loads(line)
        keys = [postgres_key(one, look_up(document, one.path)) for one in indexed if _there(document, one)]
        rows = connection.execute(_POSTGRES_MATCH, (line.decode(), ["", *keys]), prepare=True)
        return [row[0] for row in rows]

    def close() -> None:
        connection.close()
        server.stop()

    note = (
        f"PostgreSQL {version}, CPU of its backend alone; B-tree on each rule's rarest equality, jsonpath for the rest"
    )
    return Live(match, clock=lambda: backend_cpu_s(pid), close=close, note=note)


def _there(document: dict[str, Any], condition: Condition) -> bool:
    return look_up(document, condition.path) is not _MISSING


def _fill(connection: psycopg.Connection, rules: Rules) -> list[Condition]:
    """Store the rules, one row for each value of the indexed equality; return one condition for each indexed path."""
    indexed: dict[tuple[str, ...], Condition] = {}
    connection.execute("CREATE TABLE rules (key text NOT NULL, id text NOT NULL, residual jsonpath NOT NULL)")
    with connection.cursor().copy("COPY rules (key, id, residual) FROM STDIN") as copy:
        for (rule_id, conditions), best in zip(rules.conditions, _rarest_equalities(rules), strict=True):
            keys = [""]
            if best is not None:
                indexed[best.path] = best
                values = best.value if best.operator == "in" else [best.value]
                keys = [postgres_key(best, value) for value in values]
            for key in keys:
                copy.write_row((key, rule_id, jsonpath(conditions)))
    connection.execute("CREATE INDEX ON rules (key)")
    connection.execute("VACUUM ANALYZE rules")
    return list(indexed.values())


def backend_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, to the nanosecond where the kernel counts so."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _make(key: str, title: str, needs: str, make: Callable[[Rules], Live]) -> Engine:
    return Engine(key, title, "plain", make, needs)


PEERS: Final = (
    _make("mongoquery", "mongoquery", "mongoquery", _mongoquery),
    _make("json-logic", "json-logic (json-logic-qubit)", "json_logic", _json_logic),
    _make("rule-engine", "rule-engine", "rule_engine", _rule_engine),
    _make("clips", "CLIPS (clipspy)", "clips", _clips),
    Engine("postgres", "PostgreSQL, best index", "bytes", _postgres, "psycopg"),
)

FIELD_NOTE: Final[dict[str, dict[str, dict[int, float]]]] = {
    "quamina": {
        "w": {20: 195_000, 200: 141_000, 2_000: 71_000, 20_000: 11_200},
        "h": {200: 52_000, 2_000: 5_200, 20_000: 374},
    },
    "event-ruler": {
        "w": {20: 101_000, 200: 57_500, 2_000: 12_000, 20_000: 1_470},
        "h": {200: 42_000, 2_000: 18_500, 20_000: 1_900},
    },
}
"""Incidents a CPU second, from JSON bytes, by engine, workload and number of rules; quamina without numeric rules."""

FIELD_NOTE_ORJSON: Final = 213_000
"""What ``orjson.loads`` did on workload W on the day of the field note: 4.7 microseconds an incident."""
