from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from compliance_agent.adapters.known_hosts import HostKey, pin, unpin
from compliance_agent.adapters.store.sqlite import SqliteStore
from compliance_agent.adapters.target_files import add_managed_target, managed_known_hosts_path
from tests.support.sshd import make_key, public_key

SERVICE = 54_321
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.root
def test_what_root_makes_in_the_agents_folder_belongs_to_the_agent(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, SERVICE, SERVICE)
    entry = {"id": "t", "transport": "ssh", "host": "192.0.2.1", "user": "u", "identity_file": "/k"}
    add_managed_target(state, entry)
    make_key(tmp_path / "key")
    key = HostKey.from_base64(public_key(tmp_path / "key").split()[1])
    for host in ("192.0.2.1", "192.0.2.2"):
        pin(managed_known_hosts_path(state), host, 22, key)
    unpin(managed_known_hosts_path(state), "192.0.2.2", 22)
    with SqliteStore(state / "state.sqlite") as store:
        store.hold_turns()
        store.record_unreachable("t", fault="refused", message="no", now=NOON)
        made = {path.name: path.stat().st_uid for path in state.iterdir()}
    assert len(made) >= 5
    assert set(made.values()) == {SERVICE}, made
