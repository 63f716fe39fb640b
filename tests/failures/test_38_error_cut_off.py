"""Failure 38: rebuilds failed for 59 days on a full disk, and the error was cut off before the words that said so.

Here the end of what a failed step said is kept, since the cause stands there, and a state file on a full disk is told
as that, with what to do. Issue 8 brings rebuilds and proves that theirs are told the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.errors import StoreError
from tests.support.state import an_entry
from tests.support.turns import REMEDIES, make_world

if TYPE_CHECKING:
    from pathlib import Path

CHECK = "TEST-FILE-001"
CAUSE = "error: writing to /nix/store: No space left on device"


@pytest.mark.parametrize("chatter", [0, 100, 5_000, 200_000])
def test_the_cause_at_the_end_of_a_long_text_is_what_people_read(tmp_path: Path, monkeypatch, chatter: int) -> None:
    line = "echo 'building a derivation that nobody asked about' >&2"
    noise = f"i=0; while [ $i -lt {chatter // 50} ]; do {line}; i=$((i+1)); done"
    monkeypatch.setitem(REMEDIES, CHECK, f"{noise}; echo '{CAUSE}' >&2; exit 1")
    world = make_world(tmp_path, CHECK)
    world.say(CHECK, "bad")
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.FAILED
    assert CAUSE in outcome.reason
    assert CAUSE in outcome.steps[0].error


def test_a_full_disk_is_told_as_that_and_nothing_that_was_kept_is_lost(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        store.attach(Attachments([an_entry(1)]))
        database = store._database._connection
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full") as caught:
            store.attach(Attachments([an_entry(2, body=b"x" * 1_000_000)]))
        assert caught.value.hint == "the disk is full: free some space"
        assert caught.value.retryable
        database.execute("PRAGMA max_page_count = 1000000")
        store.attach(Attachments([an_entry(3)]))
        kept = [row.entry.entry_id for row in store.due_entries(an_entry().created_at, rows_max=9, bytes_max=9_999)]
    assert kept == [an_entry(1).entry_id, an_entry(3).entry_id]
