"""``rules test``: cases pass or fail, failures explain themselves, CI servers can read the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from compliance_agent.app.schemas import json_schemas
from compliance_agent.cli.main import run
from compliance_agent.wire.document import read_document

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
BUILTIN = Path(__file__).parents[1] / "golden" / "rules" / "builtin_linux.yaml"

RULES = """\
rules:
  - {rule_id: A, incident_pattern: {a: 1}, action: "alert:a", priority: 10}
  - {rule_id: B, incident_pattern: {a: {$gte: 1}}, action: "alert:b", priority: 20}
  - {rule_id: C, incident_pattern: {c: {$regex: "x|y"}}, action: "alert:c"}
  - {rule_id: unused, incident_pattern: {a: 1}, action: "alert:a", enabled: false}
  - {rule_id: broken, incident_pattern: {}, action: "alert:a"}
"""


def parsed(path: Path) -> ET.Element:
    return ET.fromstring(path.read_bytes())  # noqa: S314 - our own output


class Testing:
    """Runs ``rules test`` over files of its own."""

    __test__ = False

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.folder = folder
        self.rules = folder / "rules.yaml"
        self.cases = folder / "cases.yaml"
        self.rules.write_text(RULES, encoding="utf-8")

    def __call__(self, cases: str, *options: str) -> tuple[int, str, str]:
        self.cases.write_text(cases, encoding="utf-8")
        code = run(["rules", "test", str(self.cases), "--rules", str(self.rules), *options])
        shown = self.capsys.readouterr()
        return code, shown.out, shown.err

    def one(self, incident: str, expect: str, *options: str) -> tuple[int, str, str]:
        return self(f"cases:\n  - {{name: it, incident: {incident}, expect: {expect}}}\n", *options)

    def row(self, incident: str, expect: str) -> dict[str, Any]:
        _, out, _ = self.one(incident, expect, "-o", "ndjson")
        return dict(json.loads(out))


@pytest.fixture
def testing(tmp_path, capsys):
    return Testing(tmp_path, capsys)


def test_the_builtin_rules_pass_the_cases_that_come_with_them(capsys):
    code = run(["rules", "test", str(BUILTIN), "--local"])
    out = capsys.readouterr().out
    assert code == 0, out
    assert out.rstrip().endswith("passed, 0 failed.")


def test_the_cases_that_come_with_the_builtin_rules_fit_their_schema():
    value = read_document(BUILTIN.read_bytes(), source=str(BUILTIN)).value
    assert [error.message for error in Draft202012Validator(json_schemas()["rule-cases"]).iter_errors(value)] == []


@pytest.mark.parametrize(
    ("incident", "expect"),
    [
        ("{a: 1}", "{rules: [A, B]}"),
        ("{a: 1}", "{winner: A}"),
        ("{a: 1}", '{action: "alert:a"}'),
        ("{a: 1}", '{rules: [A, B], winner: A, action: "alert:a"}'),
        ("{a: 0}", "{rules: []}"),
        ("{a: 0}", "{winner: null}"),
        ("{a: 0}", "{action: null}"),
        ("{}", "{rules: [], winner: null, action: null}"),
    ],
)
def test_a_case_that_is_met_passes(testing, incident, expect):
    code, out, _ = testing.one(incident, expect)
    assert (code, "✓ it" in out) == (0, True)


@pytest.mark.parametrize(
    ("incident", "expect", "differs"),
    [
        ("{a: 1}", "{rules: [B, A]}", ["rules"]),
        ("{a: 1}", "{rules: [A]}", ["rules"]),
        ("{a: 1}", "{rules: []}", ["rules"]),
        ("{a: 1}", "{winner: B}", ["winner"]),
        ("{a: 1}", "{winner: null}", ["winner"]),
        ("{a: 1}", "{action: null}", ["action"]),
        ("{a: 1}", '{winner: A, action: "alert:b"}', ["action"]),
        ("{a: 0}", '{rules: [A], winner: A, action: "alert:a"}', ["rules", "winner", "action"]),
    ],
)
def test_a_case_that_is_not_met_fails_with_2_and_says_what_differs(testing, incident, expect, differs):
    code, out, _ = testing.one(incident, expect)
    assert (code, "✗ it" in out) == (2, True)
    row = testing.row(incident, expect)
    assert (row["passed"], [one["what"] for one in row["differences"]]) == (False, differs)


@pytest.mark.parametrize(
    ("incident", "expect", "reasons"),
    [
        ("{a: 0}", "{winner: A}", ["A does not match", "✗ a  expected 1  actual 0", "would match if a were 1"]),
        ("{c: z}", "{winner: C}", ["no value can be suggested for c"]),
        ("{a: 1}", "{winner: B}", ["B matches, but A goes first: priority 10, local, before priority 20, local"]),
        ("{a: 1}", "{rules: [A]}", ["B matches and is not expected"]),
        ("{a: 1}", "{rules: [unused, A, B]}", ["unused is disabled; its pattern matches"]),
        ("{a: 1}", "{winner: broken}", ["there is no rule broken; it is set aside", "empty pattern"]),
        ("{a: 1}", "{winner: AA}", ["there is no rule AA; did you mean A?"]),
    ],
)
def test_a_failure_says_why(testing, incident, expect, reasons):
    _, out, _ = testing.one(incident, expect)
    words = " ".join(out.split())
    for reason in reasons:
        assert " ".join(reason.split()) in words, out


def test_the_difference_of_two_lists_is_a_diff(testing):
    _, out, _ = testing.one("{a: 1}", "{rules: [A, C]}")
    lines = [line.rstrip() for line in out.splitlines()]
    start = lines.index("    rules, in order (- expected, + got):")
    assert lines[start + 1 : start + 4] == ["      A", "    - C", "    + B"]


def test_json_has_every_case_and_the_counts(testing):
    cases = (
        "cases:\n"
        "  - {name: one, incident: {a: 1}, expect: {winner: A}}\n"
        "  - {name: two, incident: {a: 1}, expect: {winner: null}}\n"
    )
    code, out, _ = testing(cases, "-o", "json")
    document = json.loads(out)
    assert (code, document["passed"], document["failed"]) == (2, 1, 1)
    assert [(row["case"], row["passed"]) for row in document["cases"]] == [("one", True), ("two", False)]
    assert document["cases"][1]["place"] == f"{testing.cases}:3"


def test_junit_has_the_shape_that_ci_servers_read(testing):
    path = testing.folder / "report.xml"
    cases = (
        "cases:\n"
        "  - {name: 'a < b & \"c\"', incident: {a: 1}, expect: {winner: A}}\n"
        '  - {name: two, incident: {a: "\\e[31m"}, expect: {winner: A}}\n'
    )
    code, _, _ = testing(cases, "--junit", str(path))
    root = parsed(path)
    (suite,) = root
    assert (code, root.tag, suite.tag) == (2, "testsuites", "testsuite")
    for element in (root, suite):
        assert [element.get(key) for key in ("tests", "failures", "errors")] == ["2", "1", "0"]
    good, bad = suite
    assert (good.get("name"), good.get("line"), list(good)) == ('a < b & "c"', "2", [])
    (failure,) = bad
    assert (failure.tag, failure.get("message")) == ("failure", "winner: expected A, got (none)")
    assert "would match if a were 1" in str(failure.text)
    assert float(str(bad.get("time"))) >= 0


def test_junit_replaces_what_no_xml_may_hold(testing):
    path = testing.folder / "report.xml"
    testing('{"cases": [{"name": "bell \\u0007", "incident": {}, "expect": {"winner": null}}]}', "--junit", str(path))
    assert parsed(path)[0][0].get("name") == "bell \N{REPLACEMENT CHARACTER}"


def test_a_junit_file_that_cannot_be_written_is_1_with_its_name(testing):
    code, out, err = testing.one("{a: 1}", "{winner: A}", "--junit", str(testing.folder / "no" / "x.xml"))
    assert (code, out) == (1, "")
    assert "no/x.xml: cannot be written" in err


@pytest.mark.parametrize(
    ("cases", "place", "why"),
    [
        ("cases: []\n", ":1:", "is empty"),
        ("case: []\n", ":1:", "did you mean cases?"),
        ("cases:\n  - {name: x, incident: {}}\n", ":2:", "expect is missing"),
        ("cases:\n  - name: x\n    incident: {}\n    expect: {}\n", ":4:", "expects nothing"),
        ("cases:\n  - name: x\n    incident: 7\n    expect: {winner: A}\n", ":3:", "need a table"),
        ("cases:\n  - name: x\n    incident: {}\n    expect: {winer: A}\n", ":4:", "did you mean winner?"),
        ("cases:\n  - name: x\n    incident: {}\n    expect: {rules: null}\n", ":4:", "rules: []"),
        (
            "cases:\n  - name: x\n    incident: {}\n    expect: {rules: [A], winner: B}\n",
            ":4:",
            "not the first of rules",
        ),
        ("cases:\n  - name: x\n    incident: {}\n    expect: {winner: A, action: reboot}\n", ":4:", "action"),
        ("cases:\n  - name: x\n    incident: {}\n    expect: {rules: [], action: 'a:b'}\n", ":4:", "of no rule"),
        (
            "cases:\n" + "  - {name: x, incident: {}, expect: {rules: []}}\n" * 2,
            ":3:",
            "stands twice",
        ),
    ],
)
def test_a_bad_case_names_its_file_line_and_remedy(testing, cases, place, why):
    code, out, err = testing(cases)
    assert (code, out) == (1, "")
    assert f"error: {testing.cases}{place}" in err
    assert why in err


def test_what_is_no_case_at_all_is_wrong_usage(capsys):
    assert run(["rules", "test", "/nonexistent.yaml"]) == 64
    assert run(["rules", "test", str(BUILTIN), "--local", "--rules", str(BUILTIN)]) == 64
    assert "leave out --config and --local" in capsys.readouterr().err


def test_a_rule_file_that_is_set_aside_is_told(testing):
    _, _, err = testing.one("{a: 1}", "{winner: A}")
    assert f"{testing.rules}:6: rule broken is set aside" in err


def test_many_passing_cases_are_counted_and_not_listed(testing):
    cases = "".join(f"  - {{name: c{n}, incident: {{a: 1}}, expect: {{winner: A}}}}\n" for n in range(60))
    code, out, _ = testing(f"cases:\n{cases}")
    assert (code, out.strip()) == (0, "60 cases: 60 passed, 0 failed.")


def test_the_example_of_the_reference_passes(testing):
    section = REFERENCE.read_text(encoding="utf-8").split("### `rules test`")[1]
    testing.cases.write_text(section.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    assert run(["rules", "test", str(testing.cases), "--local"]) == 0
