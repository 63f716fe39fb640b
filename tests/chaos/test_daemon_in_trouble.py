"""A daemon whose disk takes nothing more, or whose state file is damaged: it goes on, says so, and recovers."""

from __future__ import annotations

import resource

import pytest

from tests.support.local_site import LocalSite, wait_until

ROOM_BYTES = 4_096


@pytest.fixture
def site(tmp_path):
    return LocalSite(tmp_path).write()


def limit_files(pid: int, size: int) -> None:
    """Have every write of a process beyond ``size`` bytes of a file fail (pipes are no files)."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_daemon_on_a_full_disk_scans_on_heals_nothing_unrecorded_and_recovers(site) -> None:
    with site.daemon() as daemon:
        daemon.wait_for("turn.finished")
        limit_files(daemon.process.pid, ROOM_BYTES)
        site.say("bad")
        told = daemon.wait_for("store.failed", target="front-desk")
        assert "state file" in told["error"]
        scans = len([one for one in daemon.events() if one["event"] == "scan.finished"])
        daemon.wait_for_nth(scans + 1, "scan.finished")
        assert site.says() == "bad", "healed without a record of the intent"
        assert site.rows("SELECT count(*) FROM attempt") == [(0,)]
        limit_files(daemon.process.pid, resource.RLIM_INFINITY)
        wait_until(lambda: site.says() == "good", "it is healed")
        daemon.wait_for("incident.settled", outcome="remediated")
        assert daemon.stop() == 0
    assert site.rows("SELECT outcome FROM attempt") == [("remediated",)]


def test_a_daemon_whose_state_file_was_damaged_goes_on_from_its_snapshot(site) -> None:
    site.say("bad")
    with site.daemon() as daemon:
        daemon.wait_for("incident.settled", outcome="remediated")
        daemon.wait_for("snapshot.taken")
        assert daemon.stop() == 0
    state = site.state / "state.sqlite"
    snapshot = site.state / "state.sqlite.snapshot"
    assert snapshot.exists()
    state.write_bytes(b"no database at all" * 1_000)
    site.say("bad")
    with site.daemon() as daemon:
        told = daemon.wait_for("state.restored")
        assert told["level"] == "warning"
        assert "kept as state.sqlite.damaged-" in told["summary"]
        daemon.wait_for("incident.settled", outcome="remediated")
        assert daemon.stop() == 0
    assert site.says() == "good"
    assert site.json("status")[0]["restorations"][0]["snapshot_at"] is not None


def test_a_plan_over_a_damaged_state_file_says_what_will_happen_and_touches_nothing(site) -> None:
    site.state.mkdir()
    state = site.state / "state.sqlite"
    state.write_bytes(b"no database at all" * 1_000)
    for command in ("plan", "status"):
        done = site(command)
        assert done.returncode == 1
        told = " ".join((done.stdout + done.stderr).split())
        assert "the next start of run or apply" in told
    assert [one.name for one in site.state.iterdir()] == [state.name]
    assert state.read_bytes() == b"no database at all" * 1_000
