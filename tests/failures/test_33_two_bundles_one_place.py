"""Failure 33: concurrent bundles took one chain position: 1,137 broken links. And a signature made up without a key."""

from __future__ import annotations

import threading

import pytest

from compliance_agent.adapters.evidence_key import KeyStore
from compliance_agent.adapters.store import SqliteStore
from compliance_agent.adapters.store.evidence import Recorder
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.errors import StoreError
from tests.support.evidence import a_key, a_recorder, an_action, verify


def test_several_processes_and_threads_write_one_chain(tmp_path) -> None:
    stores = [SqliteStore(tmp_path / "state.sqlite", recorder=a_recorder()) for _ in range(3)]

    def write(store: SqliteStore) -> None:
        for _ in range(15):
            store.attach(Attachments(evidence=(an_action(),)))

    threads = [threading.Thread(target=write, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [row.line for row in stores[0].evidence.rows()]
    head = stores[0].evidence.status().head
    for store in stores:
        store.close()
    found = verify(lines, a_key(), head=head)
    assert (found.findings, found.entries) == ([], 1 + 3 * 2 * 15)


def test_without_the_key_nothing_is_signed_and_nothing_is_written(tmp_path) -> None:
    path = tmp_path / "state.sqlite"
    with SqliteStore(path, recorder=a_recorder()) as store:
        store.attach(Attachments(evidence=(an_action(),)))
    lost = Recorder(KeyStore(tmp_path / "evidence.key", is_ours=True), "0.1.0", lambda: "another-chain")
    with SqliteStore(path, recorder=lost) as store:
        with pytest.raises(StoreError, match="evidence key"):
            store.attach(Attachments(evidence=(an_action(),)))
        assert store.evidence.status().entries == 2
    assert not (tmp_path / "evidence.key").exists()
