"""Also: two deployments ran on one machine at the same time.

Here one process at a time heals, and a second one is told who does; within it, a target has one turn at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.errors import StoreError
from tests.support.local_site import LocalSite
from tests.support.state import an_attempt, at

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_process_that_wants_to_heal_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    site = LocalSite(tmp_path).write()
    with SqliteStore(site.state / "state.sqlite", turns_at=at(0)):
        site.say("bad")
        done = site("apply", "--yes")
        assert done.returncode != 0
        assert "another compliance-agent" in done.stderr
        assert site.says() == "bad"
    assert site("apply", "--yes").returncode == 0
    assert site.says() == "good"


def test_one_incident_has_one_attempt_at_a_time(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        store.begin(an_attempt("attempt-1"))
        with pytest.raises(StoreError, match="has not ended"):
            store.begin(an_attempt("attempt-2", at(60)))
        assert [one.attempt_id for one in store.unfinished()] == ["attempt-1"]
