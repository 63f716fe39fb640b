"""A person answers what no rule matches: once, through the gate, on the record, and told to the control plane."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli import cli
from tests.support.turns import REMEDIES, RUNBOOK

if TYPE_CHECKING:
    from pathlib import Path

PLACE = "desk/TEST-FILE-001"


class Desk:
    """This machine with a runbook that no rule asks for."""

    def __init__(self, folder: Path) -> None:
        self.file, self.settings, self.state = folder / "file", folder / "settings.yaml", folder / "state"
        runbooks = folder / "runbooks"
        runbooks.mkdir()
        for name in ("TEST-FILE-001", "TEST-FILE-002"):  # the second one's remedy does not help
            (runbooks / f"{name}.yaml").write_text(RUNBOOK.format(id=name, remedy=REMEDIES[name], path=self.file))
        self.settings.write_text(
            f"site_id: clinic\nstate_dir: {self.state}\nrunbooks: {{paths: [runbooks]}}\n"
            f"control_plane: {{url: 'http://127.0.0.1:9', appliance_id: a1, token_file: {folder / 'token'}}}\n"
            "targets:\n  - {id: desk, transport: local, checks: {include: [TEST-FILE-001, TEST-FILE-002]}}\n"
        )
        self.file.write_text("bad")

    def run(self, *arguments: str, code: int = 0) -> str:
        done = cli(*arguments, "-c", str(self.settings))
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def turn(self) -> dict[str, Any]:
        done = cli("apply", "--yes", "-o", "json", "-c", str(self.settings))
        return dict(json.loads(done.stdout)["targets"][0]["checks"][0])

    def choose(self, runbook: str = "TEST-FILE-001", *, code: int = 0) -> str:
        return self.run("choose", PLACE, runbook, "--reason", "it is ours", code=code)

    def reports(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.state / "state.sqlite")) as connection:
            rows = connection.execute("SELECT body FROM outbox WHERE kind = 'telemetry' ORDER BY rowid").fetchall()
        return [json.loads(body) for (body,) in rows]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    assert made.turn()["outcome"] == "unmatched"
    return made


def test_what_no_rule_matches_is_listed_with_what_could_mend_it(desk) -> None:
    assert f"{PLACE}  since" in desk.run("choose", code=2)
    row = json.loads(desk.run("choose", "-o", "json", code=2))["incidents"][0]
    assert row["proposals"][:2] == ["TEST-FILE-001", "TEST-FILE-002"]
    assert row["chosen"] is None


def test_what_a_person_chose_runs_once_and_is_told_as_a_persons_choice(desk) -> None:
    assert "runs once on desk/TEST-FILE-001" in desk.choose()
    assert "TEST-FILE-001 was chosen by" in desk.run("choose", code=2)
    outcome = desk.turn()
    assert (outcome["outcome"], desk.file.read_text()) == ("remediated", "good")
    last = next(one for one in desk.reports()[::-1] if one["attempt_id"])
    assert (last["level"], last["rule_id"], last["runbook_id"], last["success"]) == ("L3", None, "TEST-FILE-001", True)
    desk.file.write_text("bad")
    assert desk.turn()["outcome"] == "unmatched", "a choice is good for one attempt"
    assert desk.reports()[-1]["level"] is None


def test_a_choice_that_does_not_help_is_rolled_back_and_used_up(desk) -> None:
    desk.choose("TEST-FILE-002")
    assert desk.turn()["outcome"] in {"verify_failed", "failed"}
    assert PLACE in desk.run("choose", code=2), "it is an open question again"
    assert desk.turn()["outcome"] == "unmatched"


def test_the_gate_holds_a_choice_like_any_other_plan(desk) -> None:
    desk.choose()
    desk.run("pause", "--reason", "visit")
    assert desk.turn()["outcome"] == "deferred"
    assert desk.file.read_text() == "bad"
    desk.run("resume", "--reason", "over")
    assert desk.turn()["outcome"] == "remediated"


def test_a_choice_can_be_taken_back_until_it_ran(desk) -> None:
    desk.choose()
    assert "will not run" in desk.run("choose", PLACE, "--withdraw", "--reason", "no")
    assert desk.turn()["outcome"] == "unmatched"
    assert "nothing is chosen" in desk.run("choose", PLACE, "--withdraw", "--reason", "no", code=1)


def test_a_choice_is_evidence_with_a_name(desk) -> None:
    desk.choose()
    entries = json.loads(desk.run("evidence", "list", "--kind", "action", "-o", "json"))["listed"]
    shown = desk.run("evidence", "show", str(entries[-1]["seq"]))
    assert "chosen" in shown
    assert "it is ours" in shown


@pytest.mark.parametrize(
    ("place", "runbook", "words"),
    [
        (PLACE, "NO-SUCH-001", "there is no runbook NO-SUCH-001"),
        ("desk/LIN-SSH-001", "LIN-SSH-001", "no incident of LIN-SSH-001 is open on desk"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_with_a_reason(desk, place, runbook, words) -> None:
    assert words in desk.run("choose", place, runbook, "--reason", "x", code=1)


def test_a_choice_for_what_is_mended_already_is_refused(desk) -> None:
    desk.choose()
    desk.turn()
    assert "is open on desk" in desk.choose(code=1)
