"""The gate over the command line: pause, waivers, approvals, flaps, windows."""

from __future__ import annotations

import getpass
import json
from typing import Any

import pytest

from compliance_agent.wire.evidence.chain import read_payload
from tests.support.cli import outcomes
from tests.support.local_site import HEAL, HEALS, LocalSite

PLACE = f"front-desk/{HEALS}"


@pytest.fixture
def site(tmp_path):
    site = LocalSite(tmp_path).write()
    site.say("bad")
    return site


def settle(site, *arguments: str):
    document, code = site.json("apply", "--yes", *arguments)
    return outcomes(document)[HEALS], code


def relapse(site, times: int = 3) -> None:
    for _ in range(times):
        site("apply", "--yes")
        site.say("bad")


def test_a_pause_holds_and_resume_lets_go(site):
    assert site("pause", "--for", "2h", "--reason", "works on the network").returncode == 0
    assert settle(site) == ("deferred", 2)
    assert site.says() == "bad"
    assert "works on the network" in site("status").stdout
    assert site("resume", "--reason", "done").returncode == 0
    assert settle(site) == ("remediated", 0)
    assert site.rows("SELECT kind, reason FROM person_action ORDER BY action_id") == [
        ("paused", "works on the network"),
        ("resumed", "done"),
    ]


def test_the_pause_file_stops_healing_and_resume_says_so(site):
    site("status")
    site.state.mkdir(exist_ok=True)
    (site.state / "PAUSE").write_text("auditors in the house\n")
    done = site("plan")
    assert "auditors in the house" in done.stdout
    assert settle(site)[0] == "deferred"
    assert f"remove {site.state / 'PAUSE'}, the pause file of" in site("resume", "--reason", "x").stderr
    (site.state / "PAUSE").unlink()
    assert settle(site)[0] == "remediated"


@pytest.mark.parametrize("arguments", [("pause",), ("resume",), ("waivers", "add", PLACE, "--until", "1d")])
def test_nobody_decides_without_a_reason(site, arguments):
    assert site(*arguments).returncode == 64


def test_resuming_what_is_not_paused_is_an_error(site):
    done = site("resume", "--reason", "x")
    assert done.returncode == 1
    assert "not paused" in done.stderr


def test_a_waiver_is_in_every_report_and_can_be_withdrawn(site):
    assert site("waivers", "add", PLACE, "--until", "30d", "--reason", "replaced in May").returncode == 0
    assert settle(site) == ("waived", 0)
    for command in ("plan", "status"):
        document, _ = site.json(command)
        assert [row["place"] for row in document["waivers"]] == [PLACE]
        assert "replaced in May" in site(command).stdout
    assert site("waivers", "withdraw", PLACE, "--reason", "here it stays").returncode == 0
    assert settle(site)[0] == "remediated"


@pytest.mark.parametrize("place", ["nobody/TEST-FILE-001", "front-desk/NO-SUCH-001", "front-desk"])
def test_a_waiver_names_a_check_on_a_target(site, place):
    assert site("waivers", "add", place, "--until", "1d", "--reason", "x").returncode == 64


def test_what_keeps_coming_back_is_suppressed_explained_and_never_shown_as_compliant(site):
    relapse(site)
    assert settle(site) == ("suppressed", 3)
    assert site("status").returncode == 3
    assert site("plan").returncode == 3
    listed = site("flaps", "list")
    assert listed.returncode == 3
    assert f"Paused: {PLACE}: it came back 3 times" in listed.stdout
    assert f"flaps clear {PLACE} --reason" in listed.stdout
    document, _ = site.json("flaps", "explain", PLACE)
    assert (document["phase"], document["came_back"], document["limit"]) == ("open", 3, "2000")


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (("pause",), ("resume",)),
        (("waivers", "add", PLACE, "--until", "1d"), ("waivers", "withdraw", PLACE)),
    ],
    ids=["pause", "waiver"],
)
def test_what_comes_back_while_a_person_keeps_healing_away_never_counts(site, begin, end):
    relapse(site, times=2)
    assert settle(site)[0] == "remediated"
    site(*begin, "--reason", "works on it")
    site.say("bad")
    assert settle(site)[0] in {"deferred", "waived"}
    site(*end, "--reason", "done")
    assert settle(site)[0] == "remediated"
    site.say("bad")
    assert settle(site)[0] == "suppressed"


def test_clearing_lets_it_be_tried_again_and_can_be_undone(site):
    relapse(site)
    assert settle(site)[0] == "suppressed"
    assert site("flaps", "clear", PLACE, "--reason", "policy mended").returncode == 0
    plan, _ = site.json("plan")
    assert outcomes(plan)[HEALS] == "would_change"
    assert site("flaps", "clear", PLACE, "--undo", "--reason", "it was not").returncode == 0
    assert settle(site)[0] == "suppressed"
    again = site("flaps", "clear", PLACE, "--undo", "--reason", "twice")
    assert again.returncode == 1


def test_clearing_once_allows_one_try_and_keeps_the_score(site):
    relapse(site)
    assert settle(site)[0] == "suppressed"
    assert site("flaps", "clear", PLACE, "--once", "--reason", "one more").returncode == 0
    assert settle(site)[0] == "remediated"
    site.say("bad")
    assert settle(site)[0] == "suppressed"


def test_one_try_is_one_try_though_the_agent_is_killed_in_the_middle_of_it(tmp_path):
    waits = 'if [ -e "$PARAM_PATH.slow" ]; then while [ -e "$PARAM_PATH.slow" ]; do sleep 0.1; done; exit 1; fi'
    slow = f"{waits}; {HEAL}"  # nobody ends what the agent had begun: it gives up when the marker is gone
    site = LocalSite(tmp_path, {HEALS: slow}).write()
    site.say("bad")
    relapse(site)
    assert settle(site)[0] == "suppressed"
    assert site("flaps", "clear", PLACE, "--once", "--reason", "one more").returncode == 0
    marker = tmp_path / f"{HEALS}.slow"
    marker.touch()
    with site.daemon() as daemon:
        daemon.wait_for("attempt.begun")
        daemon.kill()
    document, code = site.json("apply", "--yes")
    marker.unlink()
    (check,) = document["targets"][0]["checks"]
    assert (check["outcome"], code) == ("suppressed", 3)
    assert "its end is not known" in check["outcome_reason"]
    assert (site.says(), site.rows("SELECT count(*) FROM attempt")) == ("bad", [(4,)])


def test_undoing_a_clearing_counts_what_came_back_since(site):
    relapse(site)
    settle(site)
    assert site("flaps", "clear", PLACE, "--reason", "policy mended").returncode == 0
    assert settle(site)[0] == "remediated"
    site.say("bad")
    site("plan")
    assert site("flaps", "clear", PLACE, "--undo", "--reason", "it was not").returncode == 0
    assert settle(site)[0] == "suppressed"
    document, _ = site.json("flaps", "explain", PLACE)
    assert (document["came_back"], len(document["relapses"]), document["phase"]) == (4, 4, "open")


def test_a_person_can_hold_a_check_for_a_while(site):
    assert site("flaps", "clear", PLACE, "--until", "12h", "--reason", "vendor works on it").returncode == 0
    assert settle(site) == ("suppressed", 3)


def test_explain_shows_every_part_of_the_gate_in_order(site, tmp_path):
    site("pause", "--reason", "works")
    plan, _ = site.json("plan")
    incident = plan["targets"][0]["checks"][0]["incident"]
    path = tmp_path / "incident.json"
    path.write_text(json.dumps(incident))
    document, _ = site.json("explain", str(path))
    gate = document["rules"][0]["gate"]
    assert [part["gate"] for part in gate] == [
        "kill_switch",
        "waiver",
        "undone",
        "flap",
        "breaker",
        "attempts",
        "cooldown",
        "window",
        "blast_limit",
        "approval",
    ]
    assert [part["gate"] for part in gate if not part["allows"]] == ["kill_switch"]
    assert gate[0]["clear_with"] == "compliance-agent resume --reason ..."


def test_a_runbook_that_disrupts_waits_for_a_persons_word(tmp_path):
    site = LocalSite(tmp_path).write()
    content = tmp_path / "content" / f"{HEALS}.yaml"
    content.write_text(content.read_text().replace("facts:", "effects: {disruption: high}\nfacts:", 1))
    site.say("bad")
    assert settle(site) == ("awaiting_approval", 3)
    document, code = site.json("approve")
    assert code == 3
    (request,) = document["requests"]
    assert site("approve", request["incident"], "--reason", "tonight is fine").returncode == 0
    assert settle(site) == ("remediated", 0)
    site.say("bad")
    assert settle(site)[0] == "awaiting_approval", "an approval serves once"


@pytest.fixture
def disruptive(tmp_path):
    """A site whose only runbook disrupts and waits; returns it with the incident."""
    site = LocalSite(tmp_path).write()
    content = tmp_path / "content" / f"{HEALS}.yaml"
    content.write_text(content.read_text().replace("facts:", "effects: {disruption: high}\nfacts:", 1))
    site.say("bad")
    settle(site)
    (request,) = site.json("approve")[0]["requests"]
    return site, request["incident"]


def test_an_approval_can_be_withdrawn_until_it_is_used(disruptive):
    site, incident = disruptive
    assert site("approve", incident, "--withdraw", "--reason", "x").stderr.startswith("error: nobody has approved")
    site("approve", incident, "--reason", "tonight is fine")
    withdrawn = site("approve", incident[:8], "--withdraw", "--reason", "the surgery is open")
    assert withdrawn.returncode == 0
    assert settle(site) == ("awaiting_approval", 3)
    assert "was withdrawn already" in site("approve", incident, "--withdraw", "--reason", "x").stderr
    site("approve", incident, "--reason", "now it is closed")
    assert settle(site) == ("remediated", 0)
    used = site("approve", incident, "--withdraw", "--reason", "too late")
    assert used.returncode == 1
    assert "was used by attempt" in used.stderr
    assert "compliance-agent undo" in used.stderr
    where = ("front-desk", HEALS)
    assert actions(site) == [
        ("approved", "tonight is fine", *where),
        ("approval_withdrawn", "the surgery is open", *where),
        ("approved", "now it is closed", *where),
    ]


def test_the_approval_of_an_incident_that_is_over_is_void(disruptive):
    site, incident = disruptive
    site("approve", incident, "--reason", "tonight is fine")
    site.say("good")
    site("apply", "--yes")
    assert site.json("approve") == ({"requests": []}, 0)
    assert "is void" in site("approve", incident, "--withdraw", "--reason", "x").stderr


@pytest.mark.parametrize("arguments", [("--withdraw",), ("i-1", "--withdraw"), ("i-1", "--withdraw", "--for", "1h")])
def test_withdrawing_needs_an_incident_and_a_reason_and_no_span(site, arguments):
    reason = ("--reason", "x") if "--for" in arguments else ()
    assert site("approve", *arguments, *reason).returncode == 64


def test_an_approval_of_another_plan_is_none(tmp_path):
    site = LocalSite(tmp_path).write()
    content = tmp_path / "content" / f"{HEALS}.yaml"
    text = content.read_text().replace("facts:", "effects: {disruption: high}\nfacts:", 1)
    content.write_text(text)
    site.say("bad")
    settle(site)
    (request,) = site.json("approve")[0]["requests"]
    site("approve", request["incident"], "--reason", "tonight is fine")
    content.write_text(text.replace("printf good", "printf  good"))
    document, _ = site.json("apply", "--yes")
    (check,) = document["targets"][0]["checks"]
    assert check["outcome"] == "awaiting_approval"
    assert "changed since it was approved" in check["outcome_reason"]


def test_outside_its_maintenance_window_a_target_is_only_scanned(tmp_path):
    never = (
        "gate: {cooldown_s: 0, windows: [{name: past, start: '00:00', end: '00:01', timezone: UTC, days: [mon]},"
        " {name: other, start: '00:00', end: '00:01', timezone: Asia/Tokyo, days: [wed]}]}"
    )
    site = LocalSite(tmp_path).write()
    site.settings.write_text(site.settings.read_text().replace("gate: {cooldown_s: 0}", never))
    site.say("bad")
    kind, code = settle(site)
    assert (kind, code) == ("deferred", 2)


def test_a_wrong_time_zone_is_named_with_its_place(tmp_path):
    site = LocalSite(tmp_path).write()
    wrong = "gate: {windows: [{name: night, start: '22:00', end: '05:00', timezone: Mars/Olympus}]}"
    site.settings.write_text(site.settings.read_text().replace("gate: {cooldown_s: 0}", wrong))
    done = site("plan")
    assert done.returncode == 1
    assert "gate.windows[0].timezone: there is no time zone 'Mars/Olympus'" in done.stderr


def test_a_blast_limit_leaves_the_rest_for_later(tmp_path):
    names = [f"TEST-FILE-00{number}" for number in (1, 2, 3)]
    site = LocalSite(tmp_path, dict.fromkeys(names, 'printf good >"$PARAM_PATH"')).write()
    limited = "gate: {cooldown_s: 0, limits: {target_hour: 2}}"
    site.settings.write_text(site.settings.read_text().replace("gate: {cooldown_s: 0}", limited))
    for name in names:
        site.say("bad", name)
    document, _ = site.json("plan")
    assert set(outcomes(document).values()) == {"would_change"}, "a plan uses nothing up"
    document, _ = site.json("apply", "--yes")
    assert sorted(outcomes(document).values()) == ["deferred", "remediated", "remediated"]


# what people do is evidence -----------------------------------------------------------------------


def actions(site) -> list[tuple[str, str, str, str]]:
    """Return (action, reason, target, check) of every action in a verified export; each names its person."""
    from tests.support.cli import cli

    out = site.state.parent / "export"
    assert site("evidence", "export", str(out)).returncode == 0
    assert cli("evidence", "verify", str(out), "--key", str(out / "public-key.pem")).returncode == 0
    lines = [line for one in sorted((out / "chain").iterdir()) for line in one.read_bytes().splitlines()]
    entries: list[Any] = [read_payload(line) for line in lines]
    found = [entry for entry in entries if entry["kind"] == "action" and entry["body"]["action"] != "exported"]
    assert {entry["actor"]["kind"] for entry in found} == {"person"}
    assert all(entry["actor"]["name"] for entry in found)
    bodies = [entry["body"] for entry in found]
    return [(body["action"], body["reason"], body["target_id"], body["check_id"]) for body in bodies]


def test_pause_and_resume_are_signed_entries_with_their_person(site):
    site("pause", "--for", "2h", "--reason", "works on the network")
    site("resume", "--reason", "done")
    assert actions(site) == [("paused", "works on the network", "", ""), ("resumed", "done", "", "")]


def test_a_pause_by_file_is_a_signed_entry_with_the_owner_of_the_file_at_its_start_and_its_end(site):
    site("status")
    site.state.mkdir(exist_ok=True)
    (site.state / "PAUSE").write_text("auditors in the house\nuntil: next week\n")
    assert settle(site)[0] == "deferred"
    settle(site)
    document, _ = site.json("status")
    assert (document["pause"]["by"], document["pause"]["actor"]) == ("file", getpass.getuser())
    (site.state / "PAUSE").unlink()
    assert settle(site)[0] == "remediated"
    told = "auditors in the house (its until 'next week' is no time like 2026-12-01T18:00, so it lasts until the file"
    begun, ended = actions(site)
    assert (begun[0], begun[1][: len(told)], ended) == (
        "paused",
        told,
        ("resumed", "the pause file was removed", "", ""),
    )
    assert site.rows("SELECT DISTINCT actor FROM person_action WHERE kind != 'exported'") == [(getpass.getuser(),)]


def test_a_waiver_and_its_end_are_signed_entries_with_their_person(site):
    site("waivers", "add", PLACE, "--until", "30d", "--reason", "replaced in May")
    site("waivers", "withdraw", PLACE, "--reason", "here it stays")
    where = ("front-desk", HEALS)
    assert actions(site) == [("waived", "replaced in May", *where), ("waiver_ended", "here it stays", *where)]


@pytest.mark.parametrize("how", [(), ("--once",), ("--until", "12h")])
def test_each_way_of_clearing_a_flap_and_its_undo_are_signed_entries(site, how):
    assert site("flaps", "clear", PLACE, *how, "--reason", "policy mended").returncode == 0
    assert site("flaps", "clear", PLACE, "--undo", "--reason", "it was not").returncode == 0
    where = ("front-desk", HEALS)
    assert actions(site) == [("flap_cleared", "policy mended", *where), ("flap_restored", "it was not", *where)]


def test_closing_a_circuit_breaker_is_a_signed_entry(site):
    assert site("flaps", "clear", "front-desk", "--reason", "new disk").returncode == 0
    assert actions(site) == [("flap_cleared", "new disk", "front-desk", "")]


def test_an_approval_is_a_signed_entry_with_the_digest_of_its_plan(tmp_path):
    site = LocalSite(tmp_path).write()
    content = tmp_path / "content" / f"{HEALS}.yaml"
    content.write_text(content.read_text().replace("facts:", "effects: {disruption: high}\nfacts:", 1))
    site.say("bad")
    settle(site)
    (request,) = site.json("approve")[0]["requests"]
    site("approve", request["incident"], "--reason", "tonight is fine")
    assert actions(site) == [("approved", "tonight is fine", "front-desk", HEALS)]
    listed = site("evidence", "list", "--kind", "action", "-o", "ndjson").stdout.splitlines()
    seq = min(json.loads(line)["seq"] for line in listed)
    details = json.loads(site("evidence", "show", str(seq)).stdout)["body"]["details"]
    assert details == {"incident_id": request["incident"], "plan_digest": request["plan_digest"]}


def test_what_a_person_could_not_do_is_no_entry(site):
    site("pause", "--reason", "works")
    assert site("waivers", "withdraw", PLACE, "--reason", "x").returncode == 1
    assert site("flaps", "clear", PLACE, "--undo", "--reason", "x").returncode == 1
    assert [action for action, *_ in actions(site)] == ["paused"]


def test_an_incidents_entry_shows_every_hold_and_the_first_one_is_the_answer(site):
    site("pause", "--reason", "works")
    site("waivers", "add", PLACE, "--until", "1d", "--reason", "y")
    assert settle(site)[0] == "deferred"
    (row,) = site("evidence", "list", "--kind", "incident", "-o", "ndjson").stdout.splitlines()
    gate = json.loads(site("evidence", "show", str(json.loads(row)["seq"])).stdout)["body"]["gate"]
    assert (gate["answer"], gate["hold"]) == ("hold", "kill_switch")
    assert [part["part"] for part in gate["parts"] if part["answer"] == "hold"] == ["kill_switch", "waiver"]
