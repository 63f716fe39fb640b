"""``runbooks test``: what a check sees and why, and the rehearsal of a remedy with the proof that it was taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli import Site, cli
from tests.support.local_site import on_a_terminal
from tests.support.overlay import LOGIN_RECORDS, overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

LEAKY = """\
schema: runbook/v1
id: TEST-LEAKY-001
version: 1
title: The file says good
check_type: test_file
severity: low
platforms: [linux]
controls: {hipaa: ["164.312(b)"]}
facts:
  text: {type: string}
detect:
  steps:
    - script: ca_fact text "$(cat /etc/leaky 2>/dev/null)"
pass_when: {text: good}
fail_reason: the file does not say good
remediate:
  steps:
    - script: REMEDY
rollback:
  steps:
    - script: cp -p /run/leaky.before /etc/leaky
"""
GOOD = "cp -p /etc/leaky /run/leaky.before; printf good >/etc/leaky"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        running.run("chmod 0646 /etc/shadow; chmod 0600 /etc/ssh/sshd_config; echo bad >/etc/leaky", check=True)
        yield running


@pytest.fixture
def site(tmp_path: Path, machine: OverlayMachine) -> Site:
    made = Site(tmp_path, machine, checks="[LIN-PERM-001]")
    made.write()
    return made


def test_site(site: Site, *arguments: str) -> tuple[dict[str, Any], int]:
    return site.json("runbooks", "test", *arguments, "--target", "front-desk")


test_site.__test__ = False  # type: ignore[attr-defined] # a helper


def leaky(site: Site, remedy: str) -> None:
    (site.folder / "runbooks").mkdir()
    site.extra = "runbooks: {paths: [runbooks]}"
    site.write()
    (site.folder / "runbooks" / "TEST-LEAKY-001.yaml").write_text(LEAKY.replace("REMEDY", remedy), encoding="utf-8")


def test_a_failing_check_is_explained_clause_by_clause_and_nothing_is_written(
    site: Site, machine: OverlayMachine
) -> None:
    machine.mark()
    document, code = test_site(site, "LIN-PERM-001")
    assert code == document["exit_code"] == 2
    assert machine.changed_files() <= LOGIN_RECORDS
    assert not site.state.exists()
    (row,) = document["runbooks"]
    assert (row["verdict"], row["facts"]["mode"], row["rehearsal"]) == ("fail", "0646", None)
    assert [clause["field"] for clause in row["pass_when"] if not clause["holds"]] == ["excess"]
    assert row["would"].startswith("run LIN-PERM-001")


def test_people_see_facts_and_clauses(site: Site) -> None:
    done = site("runbooks", "test", "LIN-PERM-001", "--target", "front-desk", "--read-only")
    assert done.returncode == 2
    assert "mode = 0646" in done.stdout
    assert "✗ pass_when: excess expected" in done.stdout


def test_a_report_of_all_names_system_and_versions_and_neither_host_nor_login(
    site: Site, machine: OverlayMachine
) -> None:
    document, code = test_site(site, "--all")
    assert len(document["runbooks"]) >= 35
    assert document["host"]["os_id"] == "debian"
    assert all(len(row["digest"]) == 64 and row["duration_ms"] > 0 for row in document["runbooks"])
    text = json.dumps(document)
    assert [word for word in ("clinic-host", "operator", str(machine.port)) if f'"{word}"' in text] == []
    assert code == document["exit_code"]


def test_a_rehearsal_mends_takes_back_and_proves_that_all_is_as_it_was(site: Site, machine: OverlayMachine) -> None:
    before = machine.run("stat -c '%a %u:%g %Y' /etc/shadow; sha256sum /etc/shadow").stdout
    document, code = test_site(site, "LIN-PERM-001", "--heal", "--yes", "--reason", "new release")
    rehearsal = document["runbooks"][0]["rehearsal"]
    assert (rehearsal["ending"], code) == ("restored", 0), rehearsal
    assert (rehearsal["changed"], rehearsal["differences"]) == (["/etc/shadow"], [])
    assert machine.run("stat -c '%a %u:%g %Y' /etc/shadow; sha256sum /etc/shadow").stdout == before

    listed, _ = site.json("evidence", "list")
    kinds = [entry["kind"] for entry in listed["listed"]]
    assert (kinds.count("action"), kinds.count("incident")) == (2, 0)


def test_a_rehearsal_counts_for_no_limit_and_no_flap_and_healing_goes_on(site: Site, machine: OverlayMachine) -> None:
    strict = "gate: {cooldown_s: 3600, limits: {target_hour: 1}}"
    site.settings.write_text(site.settings.read_text().replace("gate: {cooldown_s: 0}", strict))
    for _ in range(2):
        _, code = test_site(site, "LIN-PERM-001", "--heal", "--yes")
        assert code == 0
    flaps, _ = site.json("flaps", "list")
    assert flaps["flaps"] == []
    healed, code = site.json("apply", "--yes")
    assert healed["targets"][0]["checks"][0]["outcome"] == "remediated"
    machine.run("chmod 0646 /etc/shadow", check=True)


def test_a_remedy_of_the_way_in_is_confirmed_by_a_new_login_and_taken_back_too(
    site: Site, machine: OverlayMachine
) -> None:
    before = machine.read("/etc/ssh/sshd_config")
    document, code = test_site(site, "LIN-SSH-003", "--heal", "--yes")
    rehearsal = document["runbooks"][0]["rehearsal"]
    assert (rehearsal["ending"], rehearsal["differences"], code) == ("restored", [], 0), rehearsal
    assert machine.read("/etc/ssh/sshd_config") == before
    assert machine.run("pgrep -f '/deadman/[t]imer'").stdout == ""


def test_a_rollback_that_leaves_something_behind_is_told_by_path(site: Site, machine: OverlayMachine) -> None:
    leaky(site, f"{GOOD}; echo more >/etc/left-behind")
    document, code = test_site(site, "TEST-LEAKY-001", "--heal", "--yes")
    rehearsal = document["runbooks"][0]["rehearsal"]
    assert (rehearsal["ending"], code) == ("not_restored", 1)
    assert rehearsal["differences"] == ["/etc/left-behind"]
    machine.run("rm /etc/left-behind", check=True)


def test_a_remedy_that_does_not_help_is_rolled_back_and_told(site: Site) -> None:
    leaky(site, "cp -p /etc/leaky /run/leaky.before; printf half >/etc/leaky")
    document, code = test_site(site, "TEST-LEAKY-001", "--heal", "--yes")
    rehearsal = document["runbooks"][0]["rehearsal"]
    assert (rehearsal["ending"], rehearsal["outcome"], code) == ("failed", "verify_failed", 1)
    assert rehearsal["differences"] == []


def test_a_pause_holds_a_rehearsal(site: Site) -> None:
    assert site("pause", "--reason", "works").returncode == 0
    document, code = test_site(site, "LIN-PERM-001", "--heal", "--yes")
    assert (document["runbooks"][0]["rehearsal"]["ending"], code) == ("held", 3)


def test_a_check_that_passes_is_not_touched(site: Site, machine: OverlayMachine) -> None:
    machine.mark()
    document, code = test_site(site, "LIN-PERM-002", "--heal", "--yes")
    assert document["runbooks"][0]["rehearsal"]["ending"] == "not_needed"
    assert code == 0
    assert machine.changed_files() <= LOGIN_RECORDS


@pytest.mark.parametrize("typed", ["another\r", "front-desk\r"])
def test_at_a_terminal_only_the_machines_own_name_lets_it_go_on(
    site: Site, machine: OverlayMachine, typed: str
) -> None:
    arguments = ["runbooks", "test", "LIN-PERM-001", "-t", "front-desk", "--heal", "-c", str(site.settings)]
    text, code = on_a_terminal(*arguments, answers=[("to go on", typed)])
    assert ("nothing was changed" in text, code) == ((True, 64) if "another" in typed else (False, 0)), text
    assert machine.run("stat -c %a /etc/shadow").stdout == "646\n"
    assert site.json("evidence", "list")[0]["entries"] == (0 if "another" in typed else 3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("LIN-PERM-001", "-t", "front-desk", "--heal"), "there is nobody to ask"),
        (("LIN-PERM-001", "-t", "front-desk", "--heal", "--yes", "--read-only"), "exclude each other"),
        (("LIN-PERM-001", "--all", "-t", "front-desk"), "name one runbook"),
        (("-t", "front-desk"), "name one runbook"),
        (("LIN-PERM-001",), "name one machine"),
        (("LIN-PERM-001", "-t", "nobody"), "there is no target nobody"),
        (("NO-001", "-t", "front-desk"), "there is no runbook NO-001"),
    ],
)
def test_wrong_usage_is_refused(site: Site, arguments: tuple[str, ...], told: str) -> None:
    done = site("runbooks", "test", *arguments)
    assert done.returncode == 64
    assert told in done.stderr


def test_a_machine_that_is_not_reached_is_asked_once(site: Site, machine: OverlayMachine) -> None:
    site.settings.write_text(site.settings.read_text().replace(f"port: {machine.port}", "port: 1"))
    document, code = test_site(site, "--all")
    assert (len(document["runbooks"]), document["runbooks"][0]["verdict"], code) == (1, "unreachable", 4)


def test_this_machine_is_tested_without_settings() -> None:
    done = cli("runbooks", "test", "LIN-PERM-001", "--local", "-o", "ndjson")
    assert json.loads(done.stdout)["runbook"] == "LIN-PERM-001"
