"""A daemon whose disk takes nothing more: it keeps scanning, says so, heals nothing unrecorded, and recovers."""

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
