"""``rules replay``: what would change between two rule files, as a diff over recorded incidents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.cli.commands import rules_replay
from compliance_agent.cli.main import run
from compliance_agent.domain.rule_comparison import ChangeKind
from tests.support.cli import cli
from tests.support.local_site import on_a_terminal

if TYPE_CHECKING:
    from pathlib import Path


def rule(rule_id: str, pattern: dict[str, Any], action: str = "alert:x", **more: object) -> dict[str, Any]:
    return {"rule_id": rule_id, "incident_pattern": pattern, "action": action, **more}


BEFORE = [
    rule("same", {"kind": "same"}),
    rule("gone", {"kind": "gone"}),
    rule("moved", {"kind": "moved"}),
    rule("acts", {"kind": "acts"}, "alert:old"),
    rule("swap-1", {"kind": "swap"}, "alert:old"),
]
AFTER = [
    rule("same", {"kind": "same"}, priority=1),
    rule("fresh", {"kind": "fresh"}),
    rule("moved-2", {"kind": "moved"}),
    rule("acts", {"kind": "acts"}, "alert:new"),
    rule("swap-2", {"kind": "swap"}, "alert:new"),
]
INCIDENTS = [{"incident_id": f"i-{kind}", "kind": kind} for kind in ("same", "gone", "fresh", "moved", "acts", "swap")]


class Replaying:
    """Runs ``rules replay`` over files of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.before, self.after = folder / "before.json", folder / "after.json"
        self.incidents = folder / "incidents.ndjson"
        self.write()

    def write(self, before: Any = BEFORE, after: Any = AFTER, incidents: Any = INCIDENTS) -> None:
        self.before.write_text(json.dumps({"rules": before}), encoding="utf-8")
        self.after.write_text(json.dumps({"rules": after}), encoding="utf-8")
        self.incidents.write_text("".join(json.dumps(one) + "\n" for one in incidents), encoding="utf-8")

    def arguments(self, incidents: str, *options: str) -> list[str]:
        files = ["--incidents", incidents, "--rules", str(self.before), "--against", str(self.after)]
        return ["rules", "replay", *files, *options]

    def __call__(self, *options: str) -> tuple[int, str, str]:
        code = run(self.arguments(str(self.incidents), *options))
        shown = self.capsys.readouterr()
        return code, shown.out, shown.err


@pytest.fixture
def replay(tmp_path, capsys):
    return Replaying(tmp_path, capsys)


def test_each_change_tells_before_and_after(replay):
    code, out, err = replay("-o", "ndjson")
    *rows, _summary = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (2, "")
    assert [(row["incident"], row["incident_id"], row["change"]) for row in rows] == [
        (1, "i-gone", "no_longer_matched"),
        (2, "i-fresh", "newly_matched"),
        (3, "i-moved", "other_rule"),
        (4, "i-acts", "other_action"),
        (5, "i-swap", "other_action"),
    ]
    assert (rows[0]["before"], rows[0]["after"]) == ({"rule": "gone", "action": "alert:x"}, None)
    assert rows[4]["after"] == {"rule": "swap-2", "action": "alert:new"}


def test_the_summary_counts_changes_and_rules(replay):
    _, out, _ = replay("-o", "ndjson")
    summary = json.loads(out.splitlines()[-1])["summary"]
    assert (summary["incidents"], summary["changed"]) == (6, 5)
    assert summary["changes"] == {
        "unchanged": 1,
        "newly_matched": 1,
        "no_longer_matched": 1,
        "other_action": 2,
        "other_rule": 1,
    }
    rules = {row["rule"]: (row["before"], row["after"]) for row in summary["rules"]}
    assert (rules["same"], rules["gone"], rules["fresh"]) == ((1, 1), (1, 0), (0, 1))


def test_json_is_one_document_with_the_same(replay):
    _, out, _ = replay("-o", "json")
    _, lines, _ = replay("-o", "ndjson")
    rows = [json.loads(line) for line in lines.splitlines()]
    assert json.loads(out) == {"changes": rows[:-1], **rows[-1]}


@pytest.mark.parametrize("output", ["table", "json", "ndjson"])
def test_the_same_rules_change_nothing_and_exit_with_0(replay, output):
    replay.write(after=BEFORE)
    code, out, _ = replay("-o", output)
    assert code == 0
    assert ("Nothing changes: 6 incidents" in out) == (output == "table")


def test_people_see_a_diff_then_the_counts_then_the_rules(replay):
    code, out, _ = replay()
    lines = [line.strip() for line in out.splitlines()]
    assert code == 2
    assert lines[0] == "5 of 6 incidents would get another answer."
    start = lines.index("line 5, incident i-acts: other action")
    assert lines[start + 1 : start + 3] == ["- acts → alert:old", "+ acts → alert:new"]
    assert "1  no longer matched" in lines
    assert ["gone", "1", "0", "-1"] in [line.split() for line in lines]


def test_an_incident_id_stays_on_its_line(replay):
    replay.write(incidents=[{"incident_id": "i\nline 9: unchanged", "kind": "gone"}])
    _, out, _ = replay()
    assert "line 1, incident i\\nline 9: unchanged: no longer matched" in out.splitlines()


def test_a_table_shows_the_first_changes_and_counts_the_rest(replay):
    _, out, _ = replay("--limit", "2")
    assert out.count("line ") == 2
    assert "and 3 more" in out


def test_standard_input_is_read_for_a_dash(replay):
    done = cli(*replay.arguments("-", "-o", "ndjson"), stdin='{"kind":"acts"}\n')
    assert done.returncode == 2
    assert json.loads(done.stdout.splitlines()[0])["incident_id"] is None


def test_priority_decides_which_rule_goes_first(replay):
    rules = [rule("a", {"kind": "same"}, priority=1), rule("b", {"kind": "same"}, "alert:y", priority=2)]
    replay.write(before=rules, after=[{**rules[0], "priority": 3}, rules[1]])
    _, out, _ = replay("-o", "ndjson")
    row = json.loads(out.splitlines()[0])
    assert (row["before"]["rule"], row["after"]["rule"]) == ("a", "b")


def test_a_rule_that_cannot_be_understood_is_set_aside_and_told(replay):
    replay.write(before=[rule("same", {"kind": "same"})], after=[rule("same", {})], incidents=INCIDENTS[:1])
    code, out, err = replay("-o", "ndjson")
    assert (code, json.loads(out.splitlines()[0])["change"]) == (2, "no_longer_matched")
    assert "rule same is set aside" in err


def test_a_bad_incident_names_its_line(replay):
    replay.incidents.write_text('{"kind":"same"}\n[]\n', encoding="utf-8")
    code, _, err = replay()
    assert code == 1
    assert f"{replay.incidents}:2:" in err


@pytest.mark.parametrize("output", ["table", "json"])
def test_after_a_bad_line_no_half_of_a_document_is_written(replay, output):
    replay.incidents.write_text('{"kind": "gone"}\n{"kind":\n', encoding="utf-8")
    code, out, err = replay("-o", output)
    assert (code, out) == (1, "")
    assert "incidents.ndjson:2:" in err


def test_a_long_document_is_whole(replay, monkeypatch):
    monkeypatch.setattr(rules_replay, "SPOOLED_MAX", 64)
    _, out, _ = replay("-o", "json")
    assert len(json.loads(out)["changes"]) == 5


def test_a_file_without_an_incident_is_no_clean_result(replay):
    replay.write(incidents=[])
    code, out, _ = replay()
    assert (code, out) == (0, "There is no incident in the file: nothing was compared.\n")


def test_progress_of_a_long_replay_is_on_standard_error(replay, monkeypatch):
    monkeypatch.setattr(rules_replay, "TOLD_PLAINLY_EVERY", 3)
    _, out, err = replay("-o", "ndjson")
    assert err.splitlines() == ["3 incidents …", "6 incidents …"]
    assert "incidents …" not in out


def test_a_terminal_shows_a_live_line(replay):
    replay.write(incidents=INCIDENTS * 400)
    shown, code = on_a_terminal(*replay.arguments(str(replay.incidents), "--limit", "1"), NO_COLOR="1")
    assert code == 2
    assert "2000 of 2400 incidents would get another answer." in shown


@pytest.mark.parametrize("arguments", [(), ("--rules", "/dev/null"), ("--against", "/nonexistent")])
def test_wrong_usage_is_64(capsys, arguments):
    assert run(["rules", "replay", *arguments]) == 64
    assert capsys.readouterr().err


def test_every_kind_of_change_has_a_title():
    assert set(rules_replay._TITLES) == set(ChangeKind)
