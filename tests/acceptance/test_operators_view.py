"""What the operator is shown and left with when things go otherwise than planned."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.support.cli import command, environment, outcomes
from tests.support.local_site import HEAL, HEALS, LocalSite, a_rule, wait_until

SECOND = "TEST-FILE-002"


def test_a_first_interrupt_finishes_what_has_begun_and_leaves_the_rest_for_later(tmp_path):
    site = LocalSite(tmp_path, {HEALS: f"sleep 2; {HEAL}", SECOND: HEAL}).write()
    site.say("bad")
    site.say("bad", SECOND)
    arguments = command("apply", "--yes", "-c", str(site.settings), "-o", "json")
    apply = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    with apply:
        wait_until(lambda: site.path(HEALS).with_name(f"{HEALS}.before").exists(), "the first remedy to begin")
        apply.send_signal(signal.SIGINT)
        out, err = apply.communicate(timeout=60)
    assert "Finishing what has begun" in err
    assert outcomes(json.loads(out)) == {HEALS: "remediated"}
    assert (site.says(), site.says(SECOND)) == ("good", "bad")
    assert apply.returncode == 2


def test_a_second_undo_of_the_same_attempt_touches_nothing(tmp_path):
    site = LocalSite(tmp_path).write()
    site.say("bad")
    document, _ = site.json("apply", "--yes")
    attempt = document["targets"][0]["checks"][0]["attempt"]
    assert site("undo", attempt, "--reason", "once", "--yes").returncode == 0
    assert site.says() == "bad"
    site.say("changed by a person")
    again = site("undo", attempt, "--reason", "twice", "--yes")
    assert (again.returncode, site.says()) == (1, "changed by a person")
    assert "was undone already" in again.stderr


def test_an_undo_is_reported_to_the_control_plane_together_with_its_evidence(tmp_path):
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("t")
    line = f"control_plane: {{url: 'http://127.0.0.1:9', appliance_id: a1, token_file: {token}}}"
    site = LocalSite(tmp_path, extra=line).write()
    site.say("bad")
    document, _ = site.json("apply", "--yes")
    attempt = document["targets"][0]["checks"][0]["attempt"]
    assert site("undo", attempt, "--reason", "the auditor asked", "--yes").returncode == 0
    bodies = [json.loads(body) for (body,) in site.rows("SELECT body FROM outbox WHERE kind = 'telemetry'")]
    (report,) = [body for body in bodies if body["schema"] == "undo-report/v1"]
    assert (report["attempt_id"], report["reason"], report["succeeded"]) == (attempt, "the auditor asked", True)
    assert report["after"] == [{"check_id": HEALS, "verdict": "fail"}]
    assert site("undo", attempt, "--reason", " ", "--yes").returncode == 64


def test_an_undo_waits_for_no_daemon_but_is_refused_while_one_runs(tmp_path):
    site = LocalSite(tmp_path).write()
    site.say("bad")
    document, _ = site.json("apply", "--yes")
    attempt = document["targets"][0]["checks"][0]["attempt"]
    with site.daemon() as daemon:
        daemon.wait_for("daemon.started")
        refused = site("undo", attempt, "--reason", "now", "--yes")
    assert (refused.returncode, site.says()) == (1, "good")
    assert "hint:" in refused.stderr


@pytest.mark.parametrize("arguments", [("plan",), ("rules", "list"), ("apply", "--yes")])
def test_markup_in_a_rules_id_is_shown_as_it_stands(tmp_path, arguments):
    site = LocalSite(tmp_path, rules=[a_rule(HEALS, rule_id="L1-[red]x[/]")]).write()
    site.say("bad")
    done = site(*arguments)
    assert done.returncode in {0, 2}
    assert "L1-[red]x[/]" in done.stdout


def test_what_looks_like_a_secret_in_a_remedys_words_is_not_shown(tmp_path):
    site = LocalSite(tmp_path, {HEALS: "echo 'db password=hunter2hunter2 refused' >&2; exit 1"}).write()
    site.say("bad")
    for form in ("table", "json", "ndjson"):
        done = site("apply", "--yes", "-o", form)
        assert "hunter2" not in done.stdout + done.stderr
    assert "refused" in site("status").stdout


def test_a_target_that_was_never_reached_is_not_clean(tmp_path):
    site = LocalSite(tmp_path).write()
    assert site("status").returncode == 4
    site("apply", "--yes")
    assert site("status").returncode == 0


def test_what_a_removed_target_left_behind_does_not_count(tmp_path):
    site = LocalSite(tmp_path, {HEALS: "true"}).write()
    site.say("bad")
    site("apply", "--yes")
    assert site("status").returncode == 2
    site.write_settings(targets=site.target("another"))
    site.say("good")
    site("apply", "--yes")
    document, code = site.json("status")
    assert (document["incidents"], code) == ([], 0)


def test_a_pipe_among_the_rules_does_not_hang_the_agent(tmp_path):
    site = LocalSite(tmp_path).write()
    os.mkfifo(tmp_path / "rules" / "pipe.yaml")
    assert site("plan").returncode == 0


def test_a_machine_that_hangs_after_the_login_is_timed_out_not_drift(tmp_path):
    """The real shell is replaced by one that never ends; the scan's own limit tells."""
    from dataclasses import replace

    from compliance_agent.domain.bundle import BundleStep
    from compliance_agent.engine.context import Limits
    from compliance_agent.errors import TransportFault
    from tests.support.turns import make_world

    world = make_world(tmp_path, HEALS)
    world.engine.catalogue.host_step = lambda: BundleStep("@host", "sleep 30")  # type: ignore[method-assign]
    world.with_engine(limits=replace(Limits(), scan_timeout_s=1))
    turn = world.turn()
    assert turn.scan.unreached is not None
    assert turn.scan.unreached.fault is TransportFault.TIMED_OUT
    assert turn.scan.unreached.hint
    assert turn.scan.observations == ()


def test_doctor_without_settings_says_how_to_begin(tmp_path):
    from tests.support.cli import cli

    done = cli("doctor", HOME=str(tmp_path))
    assert done.returncode == 1
    assert "config example" in done.stdout


def test_many_problems_are_counted_not_poured_out(tmp_path):
    site = LocalSite(tmp_path).write()
    with site.settings.open("a", encoding="utf-8") as file:
        file.writelines(f"unknown_{number}: 1\n" for number in range(500))
    done = site("plan")
    assert done.returncode == 1
    assert "and 450 more" in done.stderr
    assert "500 problems" in done.stderr
