"""Failure 35: cached Windows credentials hid the Linux ones; and a first scan without targets used up the timer.

Here each login uses the files that its own target names, as they are then (a parsed key is kept only while its file
is the same), and a target that is added has its first turn at once, however the appliance began. Issue 7 adds the
Windows credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.app.daemon import Schedule, Work
from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.errors import TransportError
from compliance_agent.testing import FakeTransport
from tests.support.schedule import run_schedule
from tests.support.sshd import start_sshd
from tests.support.turns import make_world

if TYPE_CHECKING:
    from pathlib import Path

INTERVAL_S = 3_600


def test_each_machine_is_logged_in_to_with_its_own_key_in_any_order(tmp_path: Path) -> None:
    with start_sshd(tmp_path / "one") as one, start_sshd(tmp_path / "two") as two:
        transport = SshTransport(SshOptions(), KnownHosts.load([one.known_hosts, two.known_hosts]), CredentialReader())
        said = []
        for server in (one, two, one):
            try:
                with transport.open(server.target()) as session:
                    said.append(session.run("echo here", timeout_s=60, output_max_bytes=10).stdout)
            except TransportError as error:
                said.append(error.message.encode())
    assert said == [b"here\n"] * 3


def test_a_key_that_was_changed_counts_at_the_next_login(tmp_path: Path) -> None:
    with start_sshd(tmp_path / "one") as one, start_sshd(tmp_path / "two") as two:
        transport = SshTransport(SshOptions(), KnownHosts.load([one.known_hosts]), CredentialReader())
        with transport.open(one.target()):
            pass
        good = one.identity_file.read_bytes()
        outcomes = []
        for key in (two.identity_file.read_bytes(), good):
            one.identity_file.write_bytes(key)
            try:
                with transport.open(one.target()):
                    outcomes.append("in")
            except TransportError as error:
                outcomes.append(error.fault.value)
    assert outcomes == ["auth_failed", "in"]


def test_a_target_that_comes_to_an_empty_appliance_has_its_turn_at_once(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.with_engine(transports={TransportKind.LOCAL: FakeTransport()})
    changes = [None, None, Work(world.engine, [Target("srv01", "clinic")], Schedule(INTERVAL_S, 0.0, 4))]
    turns = run_schedule(
        world.engine,
        [],
        until_s=120,
        interval_s=INTERVAL_S,
        step_s=10,
        reload=lambda: changes.pop(0) if changes else None,
    )
    assert [turn.scan.target.target_id for _, turn in turns] == ["srv01"]
    assert [when for when, _ in turns] == [20.0]
