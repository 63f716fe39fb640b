"""The main job, by the command line, against a real OpenSSH server on a machine of its own."""

from __future__ import annotations

import pytest

from compliance_agent.domain.gate.decision import HoldKind
from tests.support.cli import Site, outcomes, verdicts
from tests.support.overlay import overlay_machine

pytestmark = pytest.mark.root

ALL = {"LIN-BANNER-001", "LIN-PERM-001", "LIN-PERM-002", "LIN-SSH-003"}


@pytest.fixture
def site(tmp_path):
    with overlay_machine(tmp_path) as machine:
        found = Site(tmp_path, machine)
        found.write()
        assert found("apply", "--yes").returncode == 0  # the machine as it should be
        yield found


def plant_three_drifts(site: Site) -> None:
    site.machine.run("chmod 0644 /etc/shadow; rm /etc/issue; rm -f /etc/ssh/sshd_config.d/*", check=True)
    site.machine.run("sed -i '/maxauthtries/Id' /etc/ssh/sshd_config; chmod 0600 /etc/ssh/sshd_config", check=True)


def test_three_drifts_are_planned_healed_and_stay_healed(site):
    plant_three_drifts(site)
    planned, code = site.json("plan")
    expected = dict.fromkeys(ALL - {"LIN-PERM-002"}, "would_change")
    assert (outcomes(planned), code) == (expected, 2)
    healed, code = site.json("apply", "--yes")
    assert (outcomes(healed), code) == (dict.fromkeys(expected, "remediated"), 0)
    again, code = site.json("plan")
    assert (outcomes(again), code) == ({}, 0)
    assert verdicts(again) == dict.fromkeys(ALL, "pass")


def test_a_drift_that_comes_back_three_times_is_suppressed_with_a_reason(site):
    for _ in range(3):
        site.machine.run("chmod 0644 /etc/shadow", check=True)
        healed, code = site.json("apply", "--yes")
        assert (outcomes(healed), code) == ({"LIN-PERM-001": "remediated"}, 0)
    site.machine.run("chmod 0644 /etc/shadow", check=True)
    held, code = site.json("apply", "--yes")
    assert (outcomes(held), code) == ({"LIN-PERM-001": "suppressed"}, 3)
    (check,) = (one for one in held["targets"][0]["checks"] if one["verdict"] == "fail")
    assert "came back 3 times" in check["outcome_reason"]
    assert check["until"]
    assert site.machine.run("stat -c %a /etc/shadow").stdout == "644\n"
    shown = site("status")
    assert shown.returncode == 3
    assert "suppressed" in shown.stdout
    assert "no channel configured" in shown.stdout


def test_undo_puts_back_what_an_attempt_changed_and_the_agent_does_not_argue(site):
    site.machine.run("chmod 0644 /etc/shadow", check=True)
    healed, _ = site.json("apply", "--yes")
    (attempt,) = (one["attempt"] for one in healed["targets"][0]["checks"] if one.get("attempt"))
    done = site("undo", attempt, "--reason", "the auditor asked", "--yes")
    assert done.returncode == 0, done.stderr
    assert "LIN-PERM-001 is now fail" in done.stdout
    assert site.machine.run("stat -c %a /etc/shadow").stdout == "644\n"
    left, code = site.json("apply", "--yes")
    assert (outcomes(left), code) == ({"LIN-PERM-001": "deferred"}, 2)
    assert site("undo", attempt, "--reason", "again", "--yes").returncode == 1


def test_apply_asks_and_a_no_changes_nothing(site):
    site.machine.run("chmod 0644 /etc/shadow", check=True)
    assert site("apply").returncode == 64
    assert site.machine.run("stat -c %a /etc/shadow").stdout == "644\n"


def test_observe_reports_and_touches_nothing(site):
    site.extra = "runbooks: {modes: {LIN-PERM-001: observe}}"
    site.write()
    plant_three_drifts(site)
    document, code = site.json("apply", "--yes")
    assert outcomes(document) == {
        "LIN-BANNER-001": "remediated",
        "LIN-PERM-001": "would_change",
        "LIN-SSH-003": "remediated",
    }
    assert code == 2
    assert site.machine.run("stat -c %a /etc/shadow").stdout == "644\n"


def test_without_root_on_the_target_checks_are_not_assessed_and_nothing_is_healed(site):
    site.become = "none"
    site.write()
    plant_three_drifts(site)
    document, code = site.json("apply", "--yes")
    assert verdicts(document)["LIN-SSH-003"] == "not_assessed"
    assert outcomes(document)["LIN-PERM-001"] == "not_applicable"
    assert code == 2
    assert site.machine.run("stat -c %a /etc/shadow").stdout == "644\n"


def test_an_agent_that_logs_in_as_root_never_switches_off_root_login(site):
    site.login, site.become = "user: root", "none"
    site.checks = "[LIN-SSH-001]"
    site.write()
    document, code = site.json("apply", "--yes")
    assert (outcomes(document), code) == ({"LIN-SSH-001": "not_applicable"}, 2)
    assert "logs in as root" in document["targets"][0]["checks"][0]["outcome_reason"]
    assert site("targets", "test").returncode == 0


def test_explain_names_the_winner_and_the_gates_answer(site):
    import json

    site.machine.run("chmod 0644 /etc/shadow", check=True)
    planned, _ = site.json("plan")
    (incident,) = (one["incident"] for one in planned["targets"][0]["checks"] if "incident" in one)
    path = site.folder / "incident.json"
    path.write_text(json.dumps(incident), encoding="utf-8")
    done = site("explain", str(path), "-o", "json", "--limit", "50")
    document = json.loads(done.stdout)
    assert document["winner"] == "L1-LIN-PERM-001"
    winner = next(row for row in document["rules"] if row["rule"] == document["winner"])
    assert [gate["allows"] for gate in winner["gate"]] == [True] * len(HoldKind)
    loser = next(row for row in document["rules"] if row["rule"] == "L1-LIN-BANNER-001")
    assert loser["clauses"][0]["holds"] is False


def test_two_processes_never_heal_at_the_same_time(site):
    import subprocess

    from tests.support.cli import command, environment

    daemon = subprocess.Popen(
        command("run", "-c", str(site.settings)), stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert daemon.stderr is not None
    with daemon, daemon.stderr as log:
        next(line for line in log if "daemon.started" in line)
        refused = site("apply", "--yes")
        looked = site("plan")
        daemon.terminate()
        log.read()
        assert daemon.wait(30) == 0
    assert refused.returncode == 1
    assert "hint:" in refused.stderr
    assert looked.returncode == 0
