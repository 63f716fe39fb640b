"""The daemon as a process, over this machine's own shell and files in a temporary folder. Needs no root."""

from __future__ import annotations

import signal
import socket

import pytest

from compliance_agent.adapters.target_files import add_managed_target, managed_targets_path
from tests.acceptance.test_dry_run import tree
from tests.support.cli import outcomes
from tests.support.local_site import HEAL, HEALS, LocalSite, a_rule, wait_until


@pytest.fixture
def site(tmp_path):
    return LocalSite(tmp_path).write()


def slow_site(folder, remedy: str) -> LocalSite:
    """A site whose remedy notes each run, then does what it is told."""
    return LocalSite(folder, remedies={HEALS: f'echo ran >>"$PARAM_PATH.runs"; {remedy}'}).write()


def runs(site: LocalSite) -> int:
    noted = site.path().with_name(f"{HEALS}.runs")
    return noted.read_text(encoding="utf-8").count("ran") if noted.exists() else 0


def test_drift_is_healed_within_the_second_turn(site):
    with site.daemon() as daemon:
        daemon.wait_for("turn.finished")
        site.say("bad")
        daemon.wait_for_nth(2, "turn.finished")
        assert site.says() == "good"
        settled = daemon.wait_for("incident.settled")
    assert (settled["outcome"], settled["check"], settled["rule"]) == ("remediated", HEALS, f"T-{HEALS}")


def test_once_runs_one_turn_of_each_target_and_ends(site):
    site.write_settings(targets="\n".join(site.target(name) for name in ("one", "two", "three")))
    with site.daemon("--once") as daemon:
        assert daemon.join() == 0
    turns = [event["target"] for event in daemon.events() if event["event"] == "turn.finished"]
    assert sorted(turns) == ["one", "three", "two"]


def test_every_line_of_the_log_is_a_json_event_with_level_and_time(site):
    site.say("bad")
    with site.daemon("--once") as daemon:
        assert daemon.join() == 0
    assert len(daemon.events()) == len(daemon.lines) > 5
    for event in daemon.events():
        assert {"event", "level", "timestamp"} <= event.keys()
        assert event["timestamp"].endswith("Z")
    assert {"daemon.started", "scan.finished", "attempt.begun", "daemon.stopped"} <= {
        event["event"] for event in daemon.events()
    }


def test_a_dry_run_of_several_turns_tells_and_makes_no_state(site):
    site.say("bad")
    with site.daemon("--dry-run") as daemon:
        daemon.wait_for_nth(2, "incident.foretold", outcome="would_change", check=HEALS)
        assert daemon.stop() == 0
    assert site.says() == "bad"
    assert not site.state.exists()


def test_a_dry_run_of_several_turns_leaves_the_state_as_it_was(site):
    assert site("apply", "--yes").returncode == 0
    site.say("bad")
    before = tree(site.state)
    with site.daemon("--dry-run") as daemon:
        daemon.wait_for_nth(2, "turn.finished", dry_run=True, outcomes={"would_change": 1})
        assert daemon.stop() == 0
    assert tree(site.state) == before
    assert site.says() == "bad"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(site, number):
    with site.daemon() as daemon:
        daemon.wait_for("turn.finished")
        assert daemon.stop(number) == 0
    assert [event["event"] for event in daemon.events()][-2:] == ["daemon.stopping", "daemon.stopped"]


def test_a_stop_lets_a_running_remediation_finish_and_begins_no_other(tmp_path):
    site = LocalSite(tmp_path, remedies={HEALS: f"sleep 2; {HEAL}", "TEST-FILE-002": HEAL}).write()
    site.say("bad")
    site.say("bad", "TEST-FILE-002")
    with site.daemon() as daemon:
        daemon.wait_for("attempt.begun", check=HEALS)
        assert daemon.stop() == 0
    assert (site.says(), site.says("TEST-FILE-002")) == ("good", "bad")
    assert site.rows("SELECT check_id, outcome FROM attempt") == [(HEALS, "remediated")]
    assert site.rows("SELECT kind FROM outcome") == [("remediated",)]


def test_an_attempt_cut_off_by_a_crash_is_interrupted_and_not_run_again_when_the_drift_is_gone(tmp_path):
    site = slow_site(tmp_path, "sleep 60")
    site.say("bad")
    with site.daemon() as daemon:
        wait_until(lambda: runs(site) == 1, "the remedy runs")
        daemon.kill()
    assert site.rows("SELECT outcome FROM attempt") == [(None,)]
    site.say("good")  # somebody else mended it
    with site.daemon("--once") as daemon:
        assert daemon.join() == 0
    assert [event["check"] for event in daemon.events() if event["event"] == "attempt.interrupted"] == [HEALS]
    assert site.rows("SELECT outcome FROM attempt") == [("interrupted",)]
    assert runs(site) == 1
    assert site.rows("SELECT closed_at IS NOT NULL FROM incident") == [(1,)]


def test_after_a_crash_drift_that_is_still_there_is_detected_afresh_and_healed_as_a_new_attempt(tmp_path):
    site = slow_site(tmp_path, f'[ -e "$PARAM_PATH.quick" ] || sleep 60; {HEAL}')
    site.say("bad")
    with site.daemon() as daemon:
        wait_until(lambda: runs(site) == 1, "the remedy runs")
        daemon.kill()
    site.path().with_name(f"{HEALS}.quick").touch()
    with site.daemon("--once") as daemon:
        assert daemon.join() == 0
    names = [event["event"] for event in daemon.events()]
    assert names.index("attempt.interrupted") < names.index("scan.finished") < names.index("attempt.begun")
    assert site.rows("SELECT outcome FROM attempt ORDER BY attempt_id") == [("interrupted",), ("remediated",)]
    assert (site.says(), runs(site)) == ("good", 2)


def test_a_second_daemon_on_the_same_state_is_refused_with_a_hint(site):
    with site.daemon() as daemon:
        daemon.wait_for("daemon.started")
        second = site("run")
        assert daemon.process.poll() is None
    assert second.returncode == 1
    assert "error: " in second.stderr
    assert "hint: " in second.stderr
    assert "Traceback" not in second.stderr


def test_edited_settings_are_taken_up_and_a_broken_edit_keeps_the_last_good_ones(site):
    with site.daemon() as daemon:
        daemon.wait_for("turn.finished", target="front-desk")
        site.write_settings(extra="site: typo")
        refused = daemon.wait_for("settings.refused")
        assert f"{site.settings}:" in refused["error"]
        assert "did you mean" in refused["error"]
        assert refused["level"] == "error"
        daemon.wait_for_nth(2, "turn.finished", target="front-desk")
        site.write_settings(targets=site.target("back-office"))
        daemon.wait_for("daemon.reloaded", targets=1)
        daemon.wait_for("turn.finished", target="back-office")
        assert daemon.stop() == 0


def test_a_shorter_interval_counts_at_once(site):
    site.write_settings(interval="3600")
    with site.daemon() as daemon:
        daemon.wait_for("turn.finished")
        site.write_settings(interval="5")
        daemon.wait_for_nth(2, "turn.finished")
        assert daemon.stop() == 0


def test_what_only_a_restart_can_change_is_said(site):
    with site.daemon() as daemon:
        daemon.wait_for("daemon.started")
        site.write_settings(extra="log: {level: warning}")
        told = daemon.wait_for("settings.need_restart")
        assert daemon.stop() == 0
    assert (told["settings"], told["level"]) == (["log"], "warning")


def test_an_edited_rule_is_taken_up(site):
    site.rules = []
    site.write()
    site.say("bad")
    with site.daemon() as daemon:
        daemon.wait_for("incident.settled", outcome="unmatched")
        site.rules = [a_rule(HEALS)]
        site.write()
        site.say("bad")
        daemon.wait_for("incident.settled", outcome="remediated")
        assert daemon.stop() == 0


def test_a_target_added_while_it_runs_is_taken_up(site):
    site.write_settings(extra="", interval="3600")
    with site.daemon() as daemon:
        daemon.wait_for("turn.finished", target="front-desk")
        add_managed_target(
            site.state, {"id": "new-here", "transport": "local", "checks": {"include": [HEALS]}}, taken={}
        )
        assert managed_targets_path(site.state).exists()
        daemon.wait_for("daemon.reloaded", targets=2)
        daemon.wait_for("turn.finished", target="new-here")
        assert daemon.stop() == 0
    assert len([one for one in daemon.events() if one.get("target") == "front-desk"]) == 3  # started, finished, turn


def test_hangup_takes_up_the_settings_again(site):
    with site.daemon() as daemon:
        daemon.wait_for("turn.finished")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("daemon.reloaded")
        assert daemon.stop() == 0


def test_the_service_manager_hears_ready_and_stopping(site, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        with site.daemon(NOTIFY_SOCKET=str(path)) as daemon:
            assert manager.recv(4096).split(b"\n")[0] == b"READY=1"
            assert daemon.stop() == 0
        assert manager.recv(4096).split(b"\n")[0] == b"STOPPING=1"


def test_a_service_manager_that_went_away_is_no_trouble(site, tmp_path):
    with site.daemon("--once", NOTIFY_SOCKET=str(tmp_path / "nobody")) as daemon:
        assert daemon.join() == 0


def test_what_the_daemon_did_shows_in_status(site):
    site.rules = [a_rule(HEALS, "alert:file_is_bad")]
    site.write()
    site.say("bad")
    with site.daemon("--once") as daemon:
        assert daemon.join() == 2
    document, code = site.json("status")
    (incident,) = document["incidents"]
    assert (incident["check"], incident["outcome"], code) == (HEALS, "alerted", 2)
    assert [alert["trouble"] for alert in document["alerts"]] == ["no channel configured"]
    planned, _ = site.json("plan")
    assert outcomes(planned) == {HEALS: "would_change"}
