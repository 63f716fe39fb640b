"""Every handler prefix end to end: a service is restarted for real, and people are told through the durable queue."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli import Site, outcomes
from tests.support.local_site import HEALS, LocalSite, a_rule
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNBOOK = """\
schema: runbook/v1
id: TEST-PROBE-001
version: 1
title: The probe runs
check_type: test_probe
severity: low
platforms: [linux]
controls: {hipaa: ["164.312(b)"]}
parameters:
  path: {type: string, description: what the probe makes, default: "@PATH@"}
facts:
  there: {type: boolean}
detect:
  privilege: user
  steps:
    - script: ca_flag there [ -e "$PARAM_PATH" ]
pass_when: {there: true}
fail_reason: the probe has not run
remediate:
  privilege: user
  steps:
    - script: touch "$PARAM_PATH"
rollback:
  privilege: user
  steps:
    - script: rm -f "$PARAM_PATH"
"""

INIT_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides: probe
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop:
# Short-Description: makes a file
### END INIT INFO
case $1 in
  start | restart) touch /run/probe.made ;;
  stop) rm -f /run/probe.made ;;
  status) [ -e /run/probe.made ] ;;
esac
"""


def content(folder: Path, action: str, made: str) -> str:
    """Write a runbook and a rule; return the settings that name them."""
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "TEST-PROBE-001.yaml").write_text(RUNBOOK.replace("@PATH@", made), encoding="utf-8")
    rule = {"rule_id": "L1-TEST-PROBE", "incident_pattern": {"check_id": "TEST-PROBE-001"}, "action": action}
    (folder / "rules.json").write_text(json.dumps({"rules": [rule]}), encoding="utf-8")
    return f"runbooks: {{paths: [{folder}/runbooks]}}\nrules: {{paths: [{folder}/rules.json]}}"


@pytest.mark.root
def test_restart_service_restarts_the_service_on_the_target_and_a_fresh_check_proves_it(tmp_path):
    with overlay_machine(tmp_path) as machine:
        machine.write("/etc/init.d/probe", INIT_SCRIPT, 0o755)
        extra = content(tmp_path, "restart_service:probe", "/run/probe.made")
        site = Site(tmp_path, machine, checks="[TEST-PROBE-001]", extra=extra)
        site.write()
        document, code = site.json("apply", "--yes")
        assert (outcomes(document), code) == ({"TEST-PROBE-001": "remediated"}, 0)
        assert machine.run("test -e /run/probe.made").returncode == 0


@pytest.mark.root
def test_a_service_that_is_not_there_is_a_failed_attempt_with_its_reason(tmp_path):
    with overlay_machine(tmp_path) as machine:
        extra = content(tmp_path, "restart_service:nothing-of-that-name", "/run/probe.made")
        site = Site(tmp_path, machine, checks="[TEST-PROBE-001]", extra=extra)
        site.write()
        document, code = site.json("apply", "--yes")
        assert (outcomes(document), code) == ({"TEST-PROBE-001": "failed"}, 1)
        assert "nothing-of-that-name" in document["targets"][0]["checks"][0]["outcome_reason"]


def local_site(folder: Path, action: str, extra: str = "") -> LocalSite:
    """This machine as the target, with one check that fails and one rule for it; needs no root."""
    site = LocalSite(folder, rules=[a_rule(HEALS, action)], extra=extra).write()
    site.say("bad")
    return site


@pytest.mark.parametrize("prefix", ["run_linux_runbook", "run_runbook"])
def test_a_runbook_runs_by_either_prefix(tmp_path, prefix):
    site = local_site(tmp_path, f"{prefix}:{HEALS}")
    document, code = site.json("apply", "--yes")
    assert (outcomes(document), code) == ({HEALS: "remediated"}, 0)
    assert site.says() == "good"


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback; yields its address and what it received."""
    received: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("action", "kind"), [("alert:probe-missing", "alerted"), ("escalate:look at the probe", "escalated")]
)
def test_a_person_is_told_once_and_the_status_is_clear(tmp_path, action, kind):
    with receiver() as (url, received):
        site = local_site(tmp_path, action, f"alerts: {{webhook: {{url: '{url}'}}}}")
        for _ in range(3):
            document, code = site.json("apply", "--yes")
            assert (outcomes(document), code) == ({HEALS: kind}, 2)
    assert len(received) == 1
    assert "the file does not say good" in json.dumps(received[0])
    status, _ = site.json("status")
    assert status["alerts"] == []
    assert site.says() == "bad"


def test_what_could_not_be_delivered_shows_in_the_status_and_is_sent_later(tmp_path):
    with receiver() as (url, _):
        pass  # the address is known, and nobody listens there any more
    site = local_site(tmp_path, "alert:probe-missing", f"alerts: {{webhook: {{url: '{url}'}}}}")
    site("apply", "--yes")
    status, _ = site.json("status")
    (alert,) = status["alerts"]
    assert alert["state"] == "pending"
    assert "webhook" in alert["trouble"]


def test_observe_still_tells_people_but_changes_nothing(tmp_path):
    with receiver() as (url, received):
        site = local_site(tmp_path, "alert:probe-missing", f"mode: observe\nalerts: {{webhook: {{url: '{url}'}}}}")
        site("apply", "--yes")
    assert len(received) == 1
    assert site.says() == "bad"
