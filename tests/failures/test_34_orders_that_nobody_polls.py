"""Failure 34: orders were written to a table that nobody polled, and could not be completed: none was ever done.

There are no orders yet; issue 6 brings them, signed, and proves their whole way. Here is what exists of it: all that
this agent queues is fetched by somebody, its completion is kept, and what nobody takes shows as waiting.
"""

from __future__ import annotations

from random import Random

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.app.alert_worker import AlertWorker
from compliance_agent.app.outbox_worker import OutboxWorker
from compliance_agent.domain.outbox import OutboxClass, OutboxFate
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.testing import FakeChannel, FakeClock, FakeUplink
from tests.support.state import an_alert, an_entry, an_outcome


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "state.sqlite") as opened:
        yield opened


@pytest.mark.parametrize("kind", list(OutboxClass))
def test_whatever_is_put_into_the_outbox_is_fetched_and_its_delivery_is_kept(store, kind) -> None:
    store.attach(Attachments([an_entry(1, kind)]))
    uplink, clock = FakeUplink(), FakeClock()
    worker = OutboxWorker(store, uplink, clock, Random(1))  # noqa: S311 - jitter
    assert worker.send_due().delivered == 1
    assert list(uplink.received) == [an_entry(1).entry_id]
    numbers = store.counts().outbox[kind]
    assert (numbers.waiting, numbers.dead, numbers.fates[OutboxFate.DELIVERED]) == (0, 0, 1)
    clock.advance(3_600)
    assert worker.send_due().delivered == 0
    assert len(uplink.batches) == 1


def test_every_alert_is_fetched_and_its_delivery_is_kept(store) -> None:
    store.finish(TurnEnd(an_outcome(), alerts=[an_alert()]))
    channel, clock = FakeChannel(), FakeClock()
    worker = AlertWorker(store, [channel], clock, Random(1))  # noqa: S311 - jitter
    worker.deliver_due()
    worker.deliver_due()
    assert len(channel.delivered) == 1
    assert [alert.state.value for alert in store.alerts()] == ["delivered"]


def test_what_nobody_takes_is_seen_waiting(store) -> None:
    store.attach(Attachments([an_entry(1)]))
    store.finish(TurnEnd(an_outcome(), alerts=[an_alert()]))
    counts = store.counts()
    assert counts.outbox[OutboxClass.TELEMETRY].waiting == 1
    assert {state.value: number for state, number in counts.alerts.items()} == {"pending": 1}
