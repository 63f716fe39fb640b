"""The commands of Central Command, run as programs against a database of their own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import requests
import structlog

from central_command.cli.main import log_plainly, run
from central_command.store import counts
from central_command.store.fold import fold
from tests.support.central import NOW, execution, report

if TYPE_CHECKING:
    import pytest


def test_counters_that_are_right_are_told_so(conninfo, owner, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--database", conninfo, "recount"]) == 0
    assert capsys.readouterr().out == "0 rules differ\n"


def test_a_counter_that_is_wrong_is_found_and_repaired(conninfo, owner, agent, fleet, capsys) -> None:
    report(agent, [execution(), execution("failed")])
    fold(fleet, now=NOW)
    report(agent, [execution()])  # not folded yet
    owner.execute("UPDATE l1_rules SET match_count = 90, success_count = 70")
    assert run(["--database", conninfo, "recount", "--check"]) == 2
    assert "RULE-1: counted (91, 71, 1, 0, 0), the rows say (3, 2, 1, 0, 0)" in capsys.readouterr().out
    assert run(["--database", conninfo, "recount", "--repair"]) == 0
    assert run(["--database", conninfo, "recount"]) == 0
    fold(fleet, now=NOW)
    assert counts.differences(fleet) == []
    assert owner.execute("SELECT what FROM audit_log").fetchall() == [("counters_repaired",)]


def test_the_table_of_rules_shows_what_lasts_first(conninfo, owner, agent, fleet, capsys) -> None:
    report(agent, [execution(), execution(), execution("failed")])
    fold(fleet, now=NOW)
    assert run(["--database", conninfo, "rules", "top", "-o", "json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["rule_id"], line["matches"], line["successes"], line["failures"]) == ("RULE-1", 3, 2, 1)
    assert run(["--database", conninfo, "rules", "top"]) == 0
    assert re.search(r"RULE-1\s+enabled\s+3\s+67%\s+67%\s+\d+%\s+0", capsys.readouterr().out)


def test_a_site_is_added_once_and_its_token_is_shown_once(conninfo, owner, capsys) -> None:
    for told in ("clinic-7 was added", "clinic-7 is there already"):
        assert run(["--database", conninfo, "sites", "add", "clinic-7"]) == 0
        assert told in capsys.readouterr().out
    assert run(["--database", conninfo, "sites", "token", "clinic-7"]) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("cce_")
    kept = owner.execute("SELECT enrolment_tokens::text FROM enrolment_tokens").fetchall()
    assert len(kept) == 1
    assert token not in kept[0][0]


def test_an_unknown_site_is_an_error_with_a_hint(conninfo, owner, capsys) -> None:
    assert run(["--database", conninfo, "sites", "token", "nix"]) == 1
    assert capsys.readouterr().err == "error: there is no site nix\nhint: central-command sites add nix\n"


def test_without_a_database_the_error_says_how_to_name_one(monkeypatch, capsys) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert run(["recount"]) == 1
    assert "--embedded FOLDER" in capsys.readouterr().err


def test_a_database_that_does_not_answer_is_an_error(tmp_path, capsys) -> None:
    assert run(["--database", f"host={tmp_path}", "recount"]) == 1
    assert "PostgreSQL does not answer" in capsys.readouterr().err


def test_a_wrong_command_line_is_told_apart() -> None:
    assert run(["nothing"]) == 64


def test_the_server_answers_folds_and_ends_when_told(tmp_path) -> None:
    program = [sys.executable, "-m", "central_command", "--embedded", str(tmp_path / "data")]
    subprocess.run([*program, "migrate"], check=True, capture_output=True, timeout=120)
    with subprocess.Popen([*program, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        assert requests.get(f"{url}/health", timeout=30).json() == {"status": "ok"}
        server.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while server.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert server.returncode == 0
    assert not (tmp_path / "data" / "cluster" / "postmaster.pid").exists()


def test_what_goes_wrong_is_logged_without_the_values_of_variables(capsys) -> None:
    # The default of structlog shows every variable of every frame: the token of the request among them.
    log_plainly()
    token = "cca_" + "secret"  # a variable of the frame that fails
    try:
        int(token[:0])
    except ValueError as error:
        structlog.get_logger().error("request.failed", exc_info=error)
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert token not in said
