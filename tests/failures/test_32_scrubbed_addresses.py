"""Failure 32: addresses were scrubbed as if they were personal, and discovery found nothing any more.

Here addresses, ports and names of machines stay, in facts, reasons, steps and reports; only secrets and personal data
go. What is signed is scrubbed once, before: ``test_31_scrubbing_after_signing.py``.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.domain.outcome import StepRecord
from compliance_agent.domain.scrub import scrub
from compliance_agent.domain.turn_end import TurnEnd
from tests.support.state import SITE, TARGET, an_observation, an_outcome, at

ADDRESSES = [
    "192.168.1.10",
    "10.0.0.1:22",
    "172.16.254.254/12",
    "255.255.255.255",
    "8.8.8.8",
    "fe80::1ff:fe23:4567:890a%eth0",
    "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
    "[::1]:8443",
    "00:1a:2b:3c:4d:5e",
    "dc01.clinic.example",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_stays(address) -> None:
    said = f"connected to {address}, peer={address} host: {address}; {address}"
    assert scrub(said) == said


def test_what_the_state_keeps_of_a_machine_still_names_it(tmp_path) -> None:
    said = ", ".join(ADDRESSES)
    with SqliteStore(tmp_path / "state.sqlite") as store:
        seen = an_observation(reason=f"listens on {said} password=hunter2x", facts={"peers": list(ADDRESSES)})
        store.record_scan(TARGET, [seen], site_id=SITE, now=at(0))
        steps = (StepRecord("set", 0, said, f"warning: {said}"),)
        store.finish(TurnEnd(replace(an_outcome(reason=f"mended {said}"), steps=steps)))
        (kept,) = store.latest_observations(TARGET)
        (outcome,) = [one.outcome for one in store.recent_outcomes(9, TARGET)]
    assert kept.facts["peers"] == ADDRESSES
    assert kept.reason == f"listens on {said} password=[removed]"
    assert outcome.reason == f"mended {said}"
    assert (outcome.steps[0].output, outcome.steps[0].error) == (said, f"warning: {said}")
