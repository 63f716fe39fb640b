"""The gate's values as text: back as they were, and as an older version wrote them."""

from __future__ import annotations

import json
from dataclasses import replace

from compliance_agent.adapters.store import gate_codec
from compliance_agent.domain.gate.flap import FlapEventKind, FlapRow, after
from compliance_agent.domain.gate.people import Term, Told, Waiver
from tests.support.gate import CHECK, FLAPS, HOUR, NOON, PRINT, TARGET, event, flapped

CLEARED = after(flapped(0, HOUR, 2 * HOUR), event(FlapEventKind.CLEARED, 3 * HOUR), FLAPS)


def test_a_flap_comes_back_with_what_a_person_cleared():
    row = FlapRow(PRINT, "clinic", TARGET, CHECK, CLEARED)
    assert gate_codec.flap_row(gate_codec.written(row)) == row


def test_a_flap_of_an_older_version_is_read():
    state = flapped(0, HOUR, 2 * HOUR)
    older = json.loads(gate_codec.written(state))
    for key in ("before", "trying", "relapses_s"):
        del older[key]
    assert gate_codec.flap_state(older) == state


def test_a_waiver_of_an_older_version_was_told_of_by_nobody():
    waiver = Waiver(TARGET, CHECK, "ann", "why", NOON, Term(NOON, 1.0), Told.OVER)
    assert gate_codec.waiver(gate_codec.written(waiver)) == waiver
    older = json.loads(gate_codec.written(waiver))
    del older["told"]
    assert gate_codec.waiver(json.dumps(older)) == replace(waiver, told=Told.NOTHING)
