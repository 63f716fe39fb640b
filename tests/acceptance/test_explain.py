"""``explain``: a person sees within seconds why a rule did not fire, a program gets the same as data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from compliance_agent.cli import explanations
from compliance_agent.cli.main import run
from compliance_agent.domain.gate import HoldKind
from compliance_agent.domain.pattern import compile_pattern
from tests.support.cli import cli
from tests.support.local_site import HEALS, LocalSite, on_a_terminal

INCIDENT: dict[str, Any] = {
    "schema": "incident/v1",
    "check_id": "LIN-SSH-003",
    "incident_type": "ssh_config",
    "platform": "linux",
    "status": "fail",
    "hostname": "front-desk",
    "facts": {"number": 6, "users": ["root"]},
}


def rule(rule_id: str, pattern: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"rule_id": rule_id, "incident_pattern": pattern, "action": "alert:x", **more}


RULES = [
    rule("wins", {"check_id": "LIN-SSH-003", "facts": {"number": {"$gt": 4}}}, priority=10),
    rule("later", {"check_id": "LIN-SSH-003"}, priority=50),
    rule("few-tries", {"check_id": "LIN-SSH-003", "facts": {"number": {"$lte": 4}}}),
    rule("web-only", {"check_id": "LIN-SSH-003", "hostname": {"$regex": "^web-[0-9]+$"}}),
    rule("another", {"check_id": "LIN-FW-001"}),
    rule("far", {"check_id": "LIN-FW-001", "incident_type": "firewall", "platform": "nixos"}),
    rule("off", {"check_id": "LIN-SSH-003"}, enabled=False),
    rule("broken", {}),
]


REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


class Asking:
    """Runs ``explain`` over files of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.rules = folder / "rules.json"
        self.incident = folder / "incident.json"
        self.write(RULES, INCIDENT)

    def write(self, rules: list[dict[str, Any]], incident: dict[str, Any]) -> None:
        self.rules.write_text(json.dumps({"rules": rules}), encoding="utf-8")
        self.incident.write_text(json.dumps(incident), encoding="utf-8")

    def __call__(self, *options: str) -> tuple[int, str, str]:
        code = run(["explain", str(self.incident), "--rules", str(self.rules), *options])
        shown = self.capsys.readouterr()
        return code, shown.out, shown.err

    def document(self, *options: str) -> dict[str, Any]:
        code, out, _ = self("-o", "json", *options)
        assert code == 0
        return dict(json.loads(out))

    def row(self, rule_id: str) -> dict[str, Any]:
        (row,) = self.document("--rule", rule_id)["rules"]
        return dict(row)


@pytest.fixture
def ask(tmp_path, capsys):
    return Asking(tmp_path, capsys)


def test_the_winner_comes_first_then_the_shadowed_then_the_nearest_misses(ask):
    document = ask.document()
    assert document["winner"] == "wins"
    assert [row["rule"] for row in document["rules"]] == [
        "wins",
        "later",
        "off",
        "few-tries",
        "web-only",
        "another",
        "far",
    ]
    assert document["more"] == {"matching": 0, "not_matching": 0}


def test_each_clause_tells_field_expected_actual_and_verdict(ask):
    assert ask.row("few-tries")["clauses"] == [
        {"field": "check_id", "expected": '"LIN-SSH-003"', "actual": '"LIN-SSH-003"', "holds": True},
        {"field": "facts.number", "expected": "$lte 4", "actual": "6", "holds": False},
    ]


def test_the_first_failing_clause_stands_by_itself(ask):
    row = ask.row("far")
    assert (row["failing"], row["first_failing"]["field"]) == (3, "check_id")
    assert ask.row("wins")["first_failing"] is None


def test_a_shadowed_rule_names_the_one_that_goes_first(ask):
    assert (ask.row("later")["shadowed_by"], ask.row("later")["matches"]) == ("wins", True)
    assert (ask.row("off")["shadowed_by"], ask.row("off")["matches"]) == (None, False)


def test_the_counterfactual_is_data_that_can_be_applied(ask):
    change = ask.row("few-tries")["counterfactual"]
    assert change == {
        "cost": 1,
        "edits": [{"path": ["facts", "number"], "op": "set", "value": 4, "example": False}],
        "text": "would match if facts.number were 4",
    }


def test_the_changed_pattern_really_matches(ask):
    change = ask.row("few-tries")["pattern_change"]
    assert change["text"] == "facts.number: $lte 4 -> $lte 6"
    assert compile_pattern(change["pattern"]).matches(INCIDENT)


def test_where_nothing_is_certain_the_clause_is_named(ask):
    row = ask.row("web-only")
    assert (row["counterfactual"], row["no_suggestion"]) == (None, ["hostname"])
    _, out, _ = ask("--rule", "web-only")
    assert 'no value can be suggested for hostname: $regex "^web-[0-9]+$"' in out


def test_a_rule_file_alone_has_no_gate(ask):
    assert ask.row("wins")["gate"] == []


def test_ndjson_is_a_line_a_rule(ask):
    _, out, _ = ask("-o", "ndjson")
    assert [json.loads(line)["rule"] for line in out.splitlines()][:2] == ["wins", "later"]


def test_the_limit_says_how_many_there_are_beyond(ask):
    document = ask.document("--limit", "1")
    assert [row["rule"] for row in document["rules"]] == ["wins", "later", "off"]
    assert document["more"] == {"matching": 0, "not_matching": 4}
    _, out, _ = ask("--limit", "1")
    assert "4 more rules do not match" in out
    assert "--limit" in out


def test_people_read_plain_sentences(ask):
    code, out, err = ask()
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "Winner: wins → alert:x  priority 10, local"
    assert "Match too, but wins goes first" in lines
    assert "✗ few-tries → alert:x  1 of 2 clauses fails" in lines
    assert "✗ facts.number  expected $lte 4  actual 6" in lines
    assert "would match if facts.number were 4" in lines
    assert "- off → alert:x  its pattern matches, but the rule is disabled" in lines
    assert "rule broken is set aside" in err


def test_one_rule_shows_every_clause_and_both_ways_to_mend_it(ask):
    _, out, _ = ask("--rule", "few-tries")
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "Winner: wins"
    assert any(line.startswith("✓ check_id") for line in lines)
    assert "or change the pattern: facts.number: $lte 4 -> $lte 6" in lines
    assert 'incident_pattern: {"check_id":"LIN-SSH-003","facts":{"number":{"$lte":6}}}' in lines


def test_a_shadowed_rule_says_which_one_goes_first(ask):
    _, out, _ = ask("--rule", "later")
    assert "it matches, but wins matches too and goes first" in out


def test_what_needs_too_many_changes_is_said(ask):
    ask.write([rule("r", {f"k{n}": n for n in range(30)})], {"a": 2})
    _, out, _ = ask("--rule", "r")
    assert "no small change of the incident would make it match" in out


@pytest.mark.parametrize("options", [(), ("--rule", "few-tries"), ("--rule", "web-only")])
def test_no_line_ends_in_blanks(ask, options):
    ask.write(RULES, INCIDENT | {"hostname": "front-desk " * 20})
    _, out, _ = ask(*options)
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


def test_standard_input_is_read_for_a_dash(ask):
    done = cli("explain", "-", "--rules", str(ask.rules), "-o", "json", stdin=json.dumps(INCIDENT))
    assert json.loads(done.stdout)["winner"] == "wins"


def test_the_gate_answers_for_the_settings_rules(tmp_path, capsys):
    site = LocalSite(tmp_path).write()
    path = tmp_path / "incident.json"
    place = {"site_id": "north-valley", "target_id": "front-desk", "check_id": HEALS}
    for incident, gates in (
        (place, [f"the gate allows it: {', '.join(HoldKind)}"]),
        (
            {"check_id": HEALS},
            ["the gate was not asked: the incident does not say its site_id, target_id and check_id"],
        ),
    ):
        path.write_text(json.dumps(incident), encoding="utf-8")
        assert run(["explain", str(path), "-c", str(site.settings), "--limit", "0"]) == 0
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        assert lines[0] == f"Winner: T-{HEALS} → run_linux_runbook:{HEALS}  priority 100, local"
        assert [line for line in lines if line.startswith("the gate")] == gates


def test_a_gate_that_holds_stands_before_those_that_allow():
    held: dict[str, Any] = {
        "gate": "flap",
        "allows": False,
        "reason": "came back",
        "until": "2026-11-22",
        "clear_with": "flaps clear",
    }
    allowed: dict[str, Any] = {"gate": "cooldown", "allows": True, "reason": "", "until": None, "clear_with": ""}
    assert [line.plain for line in explanations._gate_lines([allowed, held])] == [
        "gate flap: holds until 2026-11-22: came back (to clear: flaps clear)",
        "the gate allows it: cooldown",
    ]


def test_no_winner_is_said_first(ask):
    ask.write([rule("r", {"a": 1})], {"a": 2})
    _, out, _ = ask()
    assert out.startswith("No rule matches this incident.")
    assert "would match if a were 1" in out


@pytest.mark.parametrize(
    ("name", "why"),
    [("few-trie", "did you mean few-tries?"), ("zzz", "rules list"), ("broken", "it is set aside")],
)
def test_an_unknown_rule_is_wrong_usage_and_says_why(ask, name, why):
    code, out, err = ask("--rule", name)
    assert (code, out) == (64, "")
    assert why in err


@pytest.mark.parametrize("options", [("--local",), ("--limit", "-1")])
def test_options_that_exclude_each_other_are_wrong_usage(ask, options):
    code, out, err = ask(*options)
    assert (code, out) == (64, "")
    assert err


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_of_any_width_shows_all_of_it(ask, columns):
    shown, code = on_a_terminal("explain", str(ask.incident), "--rules", str(ask.rules), columns=columns, NO_COLOR="1")
    words = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", shown).split())
    assert code == 0
    assert "would match if facts.number were 4" in words
    assert "LIN-FW-001" in words


def test_an_incident_cannot_steer_the_terminal(ask):
    ask.write([rule("r", {"a": "x"})], {"a": "\x1b[31mred\nline"})
    _, out, _ = ask()
    assert "\x1b" not in out
    assert "\\x1b[31mred\\nline" in out


def test_thousands_of_rules_are_ranked(ask):
    ask.write([rule(f"R{n:05}", {"check_id": f"C-{n}", "n": {"$gte": n}}) for n in range(3_000)], {"check_id": "C-7"})
    document = ask.document("--limit", "2")
    assert [row["rule"] for row in document["rules"]] == ["R00007", "R00000"]
    assert document["more"]["not_matching"] == 2_998


def test_the_reference_shows_what_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pattern = "{check_id: LIN-SSH-003, facts: {number: {$lte: 4}}}"
    Path("rules.yaml").write_text(
        "rules:\n"
        f"  - {{rule_id: L1-TRIES, incident_pattern: {pattern}, action: 'alert:tries'}}\n"
        "  - {rule_id: L1-OTHER, incident_pattern: {check_id: LIN-SSH-003}, action: 'alert:x'}\n",
        encoding="utf-8",
    )
    Path("incident.json").write_text(json.dumps(INCIDENT), encoding="utf-8")
    section = REFERENCE.read_text(encoding="utf-8").split("### `explain`")[1]
    command, *documented = section.split("```console\n$ ")[1].split("```")[0].splitlines()
    assert run(command.split()[1:]) == 0
    assert capsys.readouterr().out.splitlines() == documented
