"""The outbox as an operator sees it: the daemon reports to a real receiver, ``spool`` says what became of it all."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.store import DeadAction, SqliteStore
from compliance_agent.domain.outbox import OutboxClass
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.domain.uplink import EntryFate, Settlement, UplinkState
from tests.support.local_site import HEALS, LocalSite, wait_until
from tests.support.receivers import Web
from tests.support.state import an_entry, at

if TYPE_CHECKING:
    from pathlib import Path

CONTROL_PLANE = "control_plane: {{url: 'http://127.0.0.1:{port}', appliance_id: a1, token_file: {token}}}"


class Plane(Web):
    """Takes all that it is sent."""

    def answer(self, content: bytes) -> None:
        entries = json.loads(content)["entries"]
        self.status = 200
        self.body = json.dumps({"results": [{"id": one["id"], "status": "accepted"} for one in entries]}).encode()

    def bodies(self, schema: str) -> list[dict[str, Any]]:
        entries = [entry for _, _, content in list(self.requests) for entry in json.loads(content)["entries"]]
        return [entry["body"] for entry in entries if entry["body"].get("schema") == schema]


def a_site(folder: Path, port: int = 9) -> LocalSite:
    token = folder / "token"
    token.write_text("a-token")
    token.chmod(0o600)
    return LocalSite(folder, extra=CONTROL_PLANE.format(port=port, token=token)).write()


@pytest.fixture
def site(tmp_path):
    """A site whose receiver is not there, with entries of every fate."""
    made = a_site(tmp_path)
    with SqliteStore(made.state / "state.sqlite") as store:
        store.attach(Attachments([an_entry(number) for number in range(1, 6)]))
        store.attach(Attachments([an_entry(6, OutboxClass.EVIDENCE), an_entry(7, OutboxClass.HEARTBEAT)]))
        settlements = [
            Settlement(an_entry(1).entry_id, EntryFate.TAKEN),
            Settlement(an_entry(2).entry_id, EntryFate.HAD),
            Settlement(an_entry(3).entry_id, EntryFate.HOPELESS, "answered 422: [bold]no such check"),
            Settlement(an_entry(4).entry_id, EntryFate.HOPELESS, "answered 400"),
        ]
        state = UplinkState(2, at(1_000), at(0), at(2_000), "answered 503")
        store.record_sending(settlements, state, now=at(1_000), late_after_s=900)
    return made


def test_the_honesty_report_counts_every_fate(site) -> None:
    document, code = site.json("spool", "status")
    assert code == 1
    assert document["classes"]["telemetry"] == {
        "waiting": 1,
        "dead": 2,
        "bytes": 21,
        "oldest_at": "2026-01-15T12:00:00+00:00",
        "fates": {"enqueued": 5, "delivered": 2, "duplicate": 1, "late": 2, "dead": 2},
    }
    assert document["classes"]["evidence"]["waiting"] == document["classes"]["heartbeat"]["waiting"] == 1
    assert (document["trouble"], document["failures"]) == ("answered 503", 2)


def test_the_honesty_report_reads_well(site) -> None:
    done = site("spool", "status")
    assert done.returncode == 1
    assert "trouble: answered 503 (2 in a row" in done.stdout
    for column in ("WAITING", "LATE", "TWICE", "DEAD", "FULL", "TOO OLD", "TOO LARGE"):
        assert column in done.stdout


def test_before_the_first_run_there_is_nothing_to_report(tmp_path) -> None:
    document, code = a_site(tmp_path).json("spool", "status")
    assert code == 0
    assert document["classes"]["telemetry"]["waiting"] == 0
    assert not (tmp_path / "state").exists()


def test_without_a_control_plane_the_spool_is_off(tmp_path) -> None:
    document, code = LocalSite(tmp_path).write().json("spool", "status")
    assert (code, document["state"]) == (0, "off")


def test_dead_entries_are_listed_with_their_reasons(site) -> None:
    document, code = site.json("spool", "dead", "list")
    assert code == 0
    assert [row["why"] for row in document["dead"]] == ["answered 422: [bold]no such check", "answered 400"]
    assert "[bold]no such check" in site("spool", "dead", "list").stdout


def test_a_dead_entry_can_be_put_back(site) -> None:
    done = site("spool", "dead", "retry", an_entry(3).entry_id, "--reason", "the server was mended")
    assert (done.returncode, done.stdout) == (0, "1 entry put back.\n")
    document, _ = site.json("spool", "status")
    assert document["classes"]["telemetry"]["waiting"] == 2
    assert [(row["action"], row["reason"]) for row in document["actions"]] == [("retry", "the server was mended")]


def test_dead_entries_are_dropped_with_a_reason_only(site) -> None:
    assert site("spool", "dead", "drop", "--all").returncode == 64
    assert site("spool", "dead", "drop", "--all", "--reason", "a test of ours").stdout == "2 entries dropped.\n"
    document, code = site.json("spool", "status")
    assert document["classes"]["telemetry"]["fates"]["discarded"] == 2
    assert code == 1  # the line still fails


@pytest.mark.parametrize("arguments", [(), ("--all", "one")])
def test_entries_are_named_or_all_are_meant(site, arguments) -> None:
    assert site("spool", "dead", "retry", *arguments).returncode == 64


def test_an_unknown_entry_is_told(site) -> None:
    done = site("spool", "dead", "retry", "no-such")
    assert done.returncode == 1
    assert "no dead entry no-such" in done.stderr


def test_without_a_state_file_nothing_is_made(tmp_path) -> None:
    done = a_site(tmp_path)("spool", "dead", "retry", "--all")
    assert done.returncode == 1
    assert not (tmp_path / "state").exists()


def test_status_and_doctor_tell_what_waits_and_what_is_dead(site) -> None:
    shown = site("status").stdout
    assert "3 waiting, 2 given up; trouble: answered 503" in shown
    looked = site("doctor").stdout
    assert "refused 2 reports for good" in looked
    assert "reports do not get through: answered 503" in looked


def test_status_and_doctor_tell_that_the_state_was_restored(tmp_path) -> None:
    made = LocalSite(tmp_path).write()
    path = made.state / "state.sqlite"
    SqliteStore(path).close()
    path.write_bytes(b"no database at all" * 1_000)
    made.say("bad")
    assert made("apply", "--yes").returncode == 0
    assert made.says() == "good"
    assert "State restored" in made("status").stdout
    assert made.json("status")[0]["restorations"][0]["kept_as"].startswith("state.sqlite.damaged-")
    assert "there was no snapshot" in made("doctor").stdout


def a_damaged_site(tmp_path, *, snapshot: bool = True) -> LocalSite:
    made = LocalSite(tmp_path).write()
    made.say("bad")
    assert made("apply", "--yes").returncode == 0
    path = made.state / "state.sqlite"
    (made.state / "state.sqlite.snapshot").unlink()
    if snapshot:
        with SqliteStore(path) as store:
            store.snapshot(at(0), interval=timedelta(hours=1))
    path.write_bytes(b"no database at all" * 1_000)
    return made


def test_status_of_a_damaged_state_shows_the_snapshot_and_what_the_next_start_does(tmp_path) -> None:
    made = a_damaged_site(tmp_path)
    document, code = made.json("status")
    assert code == document["exit_code"] == 1
    assert "not a database" in document["damage"]["what"]
    assert document["damage"]["snapshot_at"] == "2026-01-15T12:00:00+00:00"
    assert "goes on from the snapshot of 2026-01-15T12:00:00+00:00" in document["damage"]["next_start"]
    assert [one["outcome"] for one in document["outcomes"]] == ["remediated"]
    shown = made("status")
    assert (shown.returncode, "Damaged:" in shown.stdout, "remediated" in shown.stdout) == (1, True, True)


@pytest.mark.parametrize("snapshot", [None, b"no database either" * 1_000])
def test_status_of_a_damaged_state_without_a_snapshot_says_that_all_is_lost(tmp_path, snapshot) -> None:
    made = a_damaged_site(tmp_path, snapshot=False)
    if snapshot is not None:
        (made.state / "state.sqlite.snapshot").write_bytes(snapshot)
    document, code = made.json("status")
    assert (code, document["damage"]["snapshot_at"], document["outcomes"]) == (1, None, [])
    assert "begins anew" in document["damage"]["next_start"]


@pytest.mark.parametrize("content", [None, b""])
def test_status_of_a_state_that_is_gone_shows_the_snapshot(tmp_path, content) -> None:
    made = a_damaged_site(tmp_path)
    path = made.state / "state.sqlite"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    document, code = made.json("status")
    assert (code, "is gone" in document["damage"]["what"]) == (1, True)
    assert [one["outcome"] for one in document["outcomes"]] == ["remediated"]


def test_status_of_a_whole_state_tells_of_no_damage(site) -> None:
    assert site.json("status")[0]["damage"] is None


def test_the_daemon_reports_outcomes_and_signs_of_life(tmp_path) -> None:
    with Plane().serve() as plane:
        made = a_site(tmp_path, plane.port)
        made.say("bad")
        with made.daemon() as daemon:
            wait_until(lambda: bool(plane.bodies("outcome-report/v1")), "an outcome is reported")
            wait_until(lambda: bool(plane.bodies("heartbeat/v1")), "a heartbeat is sent")
            assert daemon.stop() == 0
    (outcome,) = plane.bodies("outcome-report/v1")
    assert (outcome["check_id"], outcome["outcome"], outcome["success"]) == (HEALS, "remediated", True)
    assert len(outcome["runbook_digest"]) == 64
    assert outcome["begun_at"] <= outcome["at"]
    assert plane.bodies("heartbeat/v1")[0]["outbox"].keys() <= {"heartbeat", "telemetry", "evidence"}
    assert plane.requests[0][1]["Authorization"] == "Bearer a-token"
    document, code = made.json("spool", "status")
    assert (code, document["state"]) == (0, "ok")
    assert document["classes"]["telemetry"]["fates"]["delivered"] == 1


def test_a_dry_run_reports_nothing(tmp_path) -> None:
    with Plane().serve() as plane:
        made = a_site(tmp_path, plane.port)
        made.say("bad")
        assert made("run", "--dry-run", "--once").returncode == 2
        assert made("plan").returncode == 2
    assert plane.requests == []
    assert not made.state.exists()


def test_apply_reports_what_it_did(tmp_path) -> None:
    with Plane().serve() as plane:
        made = a_site(tmp_path, plane.port)
        made.say("bad")
        assert made("apply", "--yes").returncode == 0
    assert [one["outcome"] for one in plane.bodies("outcome-report/v1")] == ["remediated"]


def test_a_receiver_that_is_away_holds_up_no_healing(tmp_path) -> None:
    made = a_site(tmp_path)
    made.say("bad")
    assert made("apply", "--yes").returncode == 0
    document, code = made.json("spool", "status")
    assert code == 1
    assert document["classes"]["telemetry"]["waiting"] == 1
    assert "ConnectionError" in document["trouble"]


def test_an_action_on_the_dead_is_possible_while_the_daemon_runs(tmp_path) -> None:
    with Plane().serve() as plane:
        made = a_site(tmp_path, plane.port)
        with made.daemon() as daemon:
            wait_until(lambda: bool(plane.bodies("heartbeat/v1")), "a heartbeat is sent")
            with SqliteStore(made.state / "state.sqlite") as store:
                assert store.act_on_dead(None, DeadAction(True, "alice", "none", at(0))) == []
            assert made("spool", "dead", "drop", "--all", "--reason", "none").returncode == 0
            assert daemon.stop() == 0
