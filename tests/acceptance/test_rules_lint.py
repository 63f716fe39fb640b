"""``rules lint``, as a person and a pipeline call it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.rule_files import builtin_rules_path, load_rule_files
from compliance_agent.cli.main import run
from compliance_agent.domain.rule import RuleSource

if TYPE_CHECKING:
    from pathlib import Path

SUPERFLUOUS = """\
rules:
  - {rule_id: A, incident_pattern: {incident_type: ssh_config}, action: "alert:x", priority: 5}
  - {rule_id: B, incident_pattern: {incident_type: {$eq: ssh_config}}, action: "alert:x", priority: 15}
"""

BROKEN = """\
rules:
  - {rule_id: A, incident_pattern: {incident_type: ssh_config}, action: "alert:x", priority: 5}
  - {rule_id: B, incident_pattern: {facts: {number: {$gt: 5, $lt: 3}}}, action: "alert:x"}
  - {rule_id: C, incident_pattern: {incident_type: ssh_config, severity: high}, action: "alert:y", priority: 9}
  - {rule_id: D, incident_pattern: {hostnam: "[x]"}, action: "alert:y", priority: 9}
"""

REFUSED = (
    "set aside: rules[1].incident_pattern.facts.number: $gt 5 and $lt 3 can never hold together "
    "(take one of them out, or join alternatives with $or)"
)
SHADOWED = "is never dispatched: A goes first and matches every incident of it; its action is alert:x"


@pytest.fixture
def lint(tmp_path, capsys):
    def call(text: str, *options: str) -> tuple[int, str, Path]:
        file = tmp_path / "rules.yaml"
        file.write_text(text, encoding="utf-8")
        code = run(["rules", "lint", str(file), *options])
        shown = capsys.readouterr()
        assert shown.err == ""
        return code, shown.out, file

    return call


@pytest.mark.parametrize("arguments", [["--local"], [str(builtin_rules_path())], ["--strict", "--local"]])
def test_the_built_in_rules_are_clean(capsys, arguments) -> None:
    assert run(["rules", "lint", *arguments]) == 0
    rules, _ = load_rule_files([builtin_rules_path()], RuleSource.BUILTIN)
    assert capsys.readouterr().out == f"{len(rules)} rules judged, no problem found.\n"


def test_an_error_ends_with_1_and_names_file_line_and_remedy(lint) -> None:
    code, out, file = lint(BROKEN)
    assert code == 1
    assert out.splitlines() == [
        f"{file}:3: error refused B: {REFUSED}",
        f"{file}:4: error shadowed C: {SHADOWED}",
        "    give it a lower priority number than 5, or remove it",
        f"{file}:5: warning unknown_field D: no incident has a field hostnam",
        "    did you mean hostname?",
        "4 rules judged, 2 errors, 1 warning.",
    ]


@pytest.mark.parametrize(("options", "expected"), [((), 0), (("--strict",), 1)])
def test_warnings_end_with_1_only_where_that_is_asked_for(lint, options, expected) -> None:
    code, out, _file = lint(SUPERFLUOUS, *options)
    assert code == expected
    assert out.endswith("2 rules judged, 0 errors, 1 warning.\n")


def test_programs_get_the_same(lint) -> None:
    code, out, file = lint(SUPERFLUOUS, "-o", "json")
    finding: dict[str, Any] = {
        "severity": "warning",
        "kind": "duplicate",
        "rule": "B",
        "place": f"{file}:3",
        "message": "matches the same incidents as A, which goes first; its action is the same",
        "hint": "remove one of the two, or tell them apart by their patterns",
        "other_rule": "A",
    }
    assert (code, json.loads(out)) == (0, {"rules": 2, "complete": True, "findings": [finding]})
    _code, out, _file = lint(SUPERFLUOUS, "-o", "ndjson")
    assert [json.loads(line) for line in out.splitlines()] == [finding]


def test_rules_of_several_files_are_judged_together(tmp_path, capsys) -> None:
    for number, name in ((5, "a"), (9, "b")):
        entry = {"rule_id": name, "incident_pattern": {"platform": "linux"}, "action": "alert:x", "priority": number}
        (tmp_path / f"{name}.json").write_text(json.dumps({"rules": [entry]}))
    assert run(["rules", "lint", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "-o", "ndjson"]) == 0
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["kind"], row["rule"], row["other_rule"]) == ("duplicate", "b", "a")


def test_local_and_a_settings_file_exclude_each_other(tmp_path, capsys) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("site_id: x\n")
    rules = tmp_path / "rules.yaml"
    rules.write_text(SUPERFLUOUS)
    assert run(["rules", "lint", str(rules), "--local", "-c", str(settings)]) == 64
    assert "exclude each other" in capsys.readouterr().err


def test_the_runbooks_of_the_settings_count(tmp_path, capsys) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"site_id: x\nstate_dir: {tmp_path / 'state'}\ntargets:\n  - {{id: here, transport: local}}\n")
    rules = tmp_path / "rules.yaml"
    rules.write_text(SUPERFLUOUS)
    assert run(["rules", "lint", str(rules), "-c", str(settings)]) == 0
    assert "1 warning" in capsys.readouterr().out
