"""``match``: the stable offline interface, as other programs rely on it."""

from __future__ import annotations

import json
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.cli.main import run
from tests.support.cli import cli

if TYPE_CHECKING:
    from pathlib import Path


class Matcher:
    """Runs ``match`` over files of its own: within this process, but where a stream is read."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.rules = folder / "rules.json"
        self.incidents = folder / "incidents.ndjson"

    def run(self, *options: str, stdin: str | None = None) -> CompletedProcess[str]:
        arguments = [
            "match",
            "--rules",
            str(self.rules),
            "--incidents",
            "-" if stdin else str(self.incidents),
            *options,
        ]
        if stdin is not None:
            return cli(*arguments, stdin=stdin)
        code = run(arguments)
        shown = self.capsys.readouterr()
        return CompletedProcess(arguments, code, shown.out, shown.err)

    def write(self, rules: list[dict[str, Any]] | str, incidents: list[object] | str) -> Matcher:
        text = rules if isinstance(rules, str) else json.dumps({"rules": rules})
        self.rules = self.rules.with_suffix(".json" if text[0] in "{[" else ".yaml")
        self.rules.write_text(text, encoding="utf-8")
        lines = incidents if isinstance(incidents, str) else "".join(json.dumps(one) + "\n" for one in incidents)
        self.incidents.write_text(lines, encoding="utf-8")
        return self

    def rows(self, rules: list[dict[str, Any]] | str, incidents: list[object] | str) -> list[tuple[int, list[str]]]:
        done = self.write(rules, incidents).run("-o", "ndjson")
        assert (done.returncode, done.stderr) == (0, "")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert all(list(row) == ["incident", "rules"] for row in found)
        return [(row["incident"], row["rules"]) for row in found]


@pytest.fixture
def matcher(tmp_path, capsys):
    return Matcher(tmp_path, capsys)


def rule(rule_id: str, pattern: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"rule_id": rule_id, "incident_pattern": pattern, "action": "alert:x", **more}


def test_the_documented_call_prints_the_documented_lines(matcher):
    rules = [rule("L1-A", {"a": 1}, priority=50), rule("L1-B", {"a": 1}, priority=10)]
    done = matcher.write(rules, [{"a": 1}, {"a": 2}]).run("-o", "ndjson")
    assert done.stdout == '{"incident":0,"rules":["L1-B","L1-A"]}\n{"incident":1,"rules":[]}\n'
    assert (done.returncode, done.stderr) == (0, "")


def test_low_priority_goes_first_then_the_id_and_the_default_stands_between(matcher):
    rules = [
        rule("d", {"a": 1}, priority=2_000_000_000),
        rule("B", {"a": 1}, priority=-1),
        rule("a", {"a": 1}, priority=-1),
        rule("c", {"a": 1}),
        rule("Z", {"a": 1}, priority=0),
    ]
    assert matcher.rows(rules, [{"a": 1}]) == [(0, ["B", "a", "Z", "c", "d"])]


def test_a_disabled_rule_never_matches(matcher):
    rules = [rule("off", {"a": 1}, enabled=False), rule("on", {"a": 1}, enabled=True)]
    assert matcher.rows(rules, [{"a": 1}]) == [(0, ["on"])]


def test_lines_are_numbered_from_0_and_blank_ones_count(matcher):
    assert matcher.rows([rule("r", {"a": 1})], '{"a":1}\n\n   \n{"a":2}\r\n{"a":1}') == [
        (0, ["r"]),
        (3, []),
        (4, ["r"]),
    ]


def test_any_json_object_is_an_incident(matcher):
    incidents = [{}, {"a": None}, {"a": {"b": [1, {"c": "ü"}]}}, {"": ""}, {"schema": 7, "a": [[]]}]
    rules = [rule("null", {"a": None}), rule("deep", {"a": {"b": [{"c": "ü"}]}}), rule("empty", {"": ""})]
    assert matcher.rows(rules, incidents) == [(0, []), (1, ["null"]), (2, ["deep"]), (3, ["empty"]), (4, [])]


@pytest.mark.parametrize(
    "action", [None, "", "nonsense", "run_windows_runbook:X", "run_linux_runbook:AUTO-1", 7, ["x"]]
)
def test_actions_are_not_judged(matcher, action):
    odd = {"rule_id": "r", "incident_pattern": {"a": 1}, "action": action, "name": "n", "cooldown_s": "soon"}
    if action is None:
        del odd["action"]
    assert matcher.rows([odd], [{"a": 1}]) == [(0, ["r"])]


def test_standard_input_is_read_for_a_dash(matcher):
    done = matcher.write([rule("r", {"a": 1})], []).run("-o", "ndjson", stdin='\ufeff{"a":1}\n{"a":2}\n')
    assert done.stdout == '{"incident":0,"rules":["r"]}\n{"incident":1,"rules":[]}\n'


def test_no_incidents_are_no_lines(matcher):
    assert matcher.rows([rule("r", {"a": 1})], "") == []


def test_yaml_rules_mean_the_same(matcher):
    text = "rules:\n  - rule_id: r\n    incident_pattern: {a: 1}\n    action: alert:x\n"
    assert matcher.rows(text, [{"a": 1}]) == [(0, ["r"])]


def test_numbers_are_exact_and_booleans_are_no_numbers(matcher):
    rules = json.dumps(
        {
            "rules": [
                rule("one", {"a": 1}),
                rule("true", {"a": True}),
                rule("big", {"a": 2**64}),
                rule("text", {"a": "1"}),
            ]
        }
    )
    incidents = "\n".join(
        f'{{"a":{literal}}}'
        for literal in (
            "1",
            "1.0",
            "1e0",
            "true",
            str(2**64),
            f"{2**64}.0",
            str(2**64 + 1),
            "1.8446744073709552e19",
            '"1"',
        )
    )
    assert [rules for _, rules in matcher.rows(rules, incidents)] == [
        ["one"],
        ["one"],
        ["one"],
        ["true"],
        ["big"],
        ["big"],
        [],
        [],
        ["text"],
    ]


def test_a_tenth_is_a_tenth_and_a_huge_number_is_itself(matcher):
    rules = (
        '{"rules":[{"rule_id":"tenth","incident_pattern":{"a":0.1}},{"rule_id":"huge","incident_pattern":{"a":1e400}}]}'
    )
    incidents = '{"a":0.1000000000000000055}\n{"a":0.10}\n{"a":1e400}\n{"a":1e401}\n{"a":10e399}'
    assert [names for _, names in matcher.rows(rules, incidents)] == [[], ["tenth"], ["huge"], [], ["huge"]]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[1]", "a line must hold a JSON object"),
        ("7", "a line must hold a JSON object"),
        ('{"a":', "not JSON"),
        ('{"a":NaN}', "NaN"),
        ('{"a":1e99999}', "exponent"),
        ('{"a":"\\u0000"}', "NUL"),
    ],
)
def test_a_bad_incident_names_its_file_and_line(matcher, line, why):
    done = matcher.write([rule("r", {"a": 1})], f'{{"a":1}}\n\n{line}\n').run("-o", "ndjson")
    assert done.returncode == 1
    assert f"{matcher.incidents}:3:" in done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("rules", "place", "why"),
    [
        ("{}", ":1:1: rules:", "the key rules is missing"),
        ('{"rules": {}}', ":1:2: rules:", "must be a list"),
        ('{"rules":\n [7]}', ":2:3: rules[0]:", "need a table"),
        ('{"rules": [{"incident_pattern": {"a": 1}}]}', ":1:12: rules[0].rule_id:", "is missing"),
        (
            '{"rules": [\n{"rule_id": "r",\n  "incident_pattern": {}}]}',
            ":3:3: rules[0].incident_pattern:",
            "empty",
        ),
        (
            '{"rules": [{"rule_id": "r", "incident_pattern": {"a":\n{"$in": [1, 2], "$gt": []}}}]}',
            ":2:17: rules[0].incident_pattern.a.$gt:",
            "compares with a number or a string",
        ),
        (
            (
                '{"rules": [{"rule_id": "r", "incident_pattern": {"a": 1}},\n'
                '{"rule_id": "r", "incident_pattern": {"a": 1}}]}'
            ),
            ":2:2: rules[1].rule_id:",
            "stands twice, first at",
        ),
        (
            '{"rules": [\n{"rule_id": "r", "conditions":\n[{"field": "a", "operator": "nope"}]}]}',
            ":3:17: rules[0].conditions[0].operator:",
            "nope",
        ),
        ('{"rules": [\n}', ":2:1:", "not JSON"),
        ("rules:\n  - rule_id: r\n    incident_pattern: {a: no}\n", ":3:27:", "no"),
        ("rules:\n  - rule_id: r\n    incident_pattern:\n      a: {$nope: 1}\n", ":4:", "$nope"),
        ("rules:\n  - rule_id: r\n    incident_pattern:\n      a: {$regex: '('}\n", ":4:", "RE2"),
        ("rules:\n  - rule_id: r\n    incident_pattern: {a: 1}\n    priority: high\n", ":4:", "priority"),
        ("rules:\n  - &r {rule_id: r}\n", ":2:", "anchor"),
        (
            "rules:\n  - {rule_id: r, incident_pattern: {a: 1}}\n  - {rule_id: r, incident_pattern: {a: 1}}\n",
            ":3:",
            "stands twice",
        ),
    ],
)
def test_bad_rules_name_their_file_and_place_and_nothing_is_matched(matcher, rules, place, why):
    done = matcher.write(rules, [{"a": 1}]).run("-o", "ndjson")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {matcher.rules}{place}" in done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_every_bad_rule_is_named_at_once(matcher):
    rules = [rule("a", {}), rule("b", {"x": {"$gt": []}}), rule("c", {"a": 1})]
    done = matcher.write(rules, []).run()
    assert "rules[0]" in done.stderr
    assert "rules[1]" in done.stderr
    assert "2 problems" in done.stderr


def test_the_other_formats_say_the_same(matcher):
    matcher.write([rule("L1-A", {"a": 1})], [{"a": 1}, {}])
    assert json.loads(matcher.run("-o", "json").stdout) == {
        "matches": [{"incident": 0, "rules": ["L1-A"]}, {"incident": 1, "rules": []}]
    }
    table = [line.split() for line in matcher.run().stdout.splitlines()]
    assert table[1:] == [["0", "L1-A"], ["1", "(none)"]]


def test_two_thousand_rules_and_a_thousand_incidents(matcher):
    rules = [
        rule(f"R-{number:04}", {"check_id": f"C-{number % 500}", "facts": {"n": {"$gte": number % 7}}})
        for number in range(2000)
    ]
    incidents: list[object] = [
        {"check_id": f"C-{number % 600}", "platform": "linux", "facts": {"n": number % 9}} for number in range(1000)
    ]
    rows = matcher.rows(rules, incidents)
    assert [number for number, _ in rows] == list(range(1000))
    for number, names in rows:
        same = range(number % 600, 2000, 500) if number % 600 < 500 else ()
        assert names == [f"R-{one:04}" for one in same if number % 9 >= one % 7]


def test_what_is_no_utf8_is_refused_with_its_line(matcher):
    matcher.write([rule("r", {"a": 1})], [])
    matcher.incidents.write_bytes(b'{"a":1}\n{"a":"\xff"}\n')
    done = matcher.run("-o", "ndjson")
    assert done.returncode == 1
    assert f"{matcher.incidents}:2" in done.stderr


def test_an_endless_line_is_refused_with_its_number_after_the_lines_before_it(matcher):
    matcher.write([rule("r", {"a": 1})], [])
    with matcher.incidents.open("wb") as file:
        file.write(b'{"a": 1}\n{"a": "')
        file.truncate((16 << 20) + 100)
    done = matcher.run("-o", "ndjson")
    assert (done.returncode, done.stdout) == (1, '{"incident":0,"rules":["r"]}\n')
    assert f"{matcher.incidents}:2: the line is longer than 16,777,216 bytes" in done.stderr


def test_a_line_of_ten_megabytes_is_answered(matcher):
    assert matcher.rows([rule("r", {"a": 1})], [{"a": 1, "b": "x" * 10_000_000}]) == [(0, ["r"])]
