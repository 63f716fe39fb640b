"""Also: the host name was used as identity; machines of one name were one, and a renamed one was another.

Here a machine is what the settings call it, for ever; what it calls itself is only shown. And one machine that checked
in does not make its neighbours reachable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.observation import HostFacts
from compliance_agent.engine.plan import raise_incident
from tests.support.state import SITE, an_observation, at
from tests.support.turns import NOON, make_world

if TYPE_CHECKING:
    from pathlib import Path

CHECK = "TEST-FILE-001"


def test_two_machines_of_one_name_are_two(tmp_path: Path) -> None:
    world, host = make_world(tmp_path, CHECK), HostFacts(hostname="localhost")
    incidents = []
    for name in ("reception", "archive"):
        target = replace(world.target, target_id=name)
        seen = an_observation(target_id=name, check_id=CHECK)
        incidents.append(raise_incident(world.engine, target, host, seen, now=NOON))
    assert len({incident.fingerprint for incident in incidents}) == 2
    assert len({incident.incident_id for incident in incidents}) == 2


def test_a_machine_that_is_renamed_keeps_its_incident(tmp_path: Path) -> None:
    world = make_world(tmp_path, CHECK)
    seen = an_observation(target_id="front-desk", check_id=CHECK)
    world.store.record_scan("front-desk", [seen], site_id="clinic", now=NOON)
    ids = {
        raise_incident(world.engine, world.target, HostFacts(hostname=name), seen, now=at(3_600)).incident_id
        for name in ("old-name", "new-name")
    }
    assert len(ids) == 1


def test_one_machine_that_answers_makes_no_other_one_reachable(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        for name in ("reception", "archive"):
            store.record_unreachable(name, fault="refused", message="nobody listens there", now=at(0))
        store.record_scan("reception", [], site_id=SITE, now=at(60))
        faults = {target.target_id: target.fault for target in store.targets()}
        assert store.counts().unreachable_targets == 1
    assert faults == {"archive": "refused", "reception": ""}
