"""Failure 18: addresses were split on dots, so every machine was the same one, called "192".

Here an id is compared whole, dots and all: in fingerprints, in the state and in rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.pattern import compile_pattern
from tests.support.state import CHECK, SITE, an_observation, at

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = "192.168.1.10", "192.168.1.11"


def test_two_addresses_are_two_machines() -> None:
    prints = {fingerprint(SITE, name, CHECK) for name in (FIRST, SECOND, "192", "192.168.1.1", "192.168.1.101")}
    assert len(prints) == 5


def test_what_passes_on_one_closes_nothing_on_the_other(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        for name in (FIRST, SECOND):
            store.record_scan(name, [an_observation(target_id=name)], site_id=SITE, now=at(0))
        good = an_observation(Verdict.PASS, at(60), target_id=FIRST)
        store.record_scan(FIRST, [good], site_id=SITE, now=at(60))
        assert store.opened_at(fingerprint(SITE, FIRST, CHECK)) is None
        assert store.opened_at(fingerprint(SITE, SECOND, CHECK)) == at(0)


@pytest.mark.parametrize("part", ["192", "192.168.1", "192.168.1.1", "192.168.1.100"])
def test_a_rule_for_a_part_of_an_address_matches_nobody(part: str) -> None:
    assert not compile_pattern({"target_id": part}).matches({"target_id": FIRST})
