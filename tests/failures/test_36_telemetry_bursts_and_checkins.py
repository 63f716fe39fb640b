"""Failure 36: telemetry bursts had the check-ins rate-limited; a healthy site showed as offline.

Here a sign of life goes before everything else that waits, in the same batch, and a receiver that says "slow down" is
obeyed once for all of it: the next thing that it hears is again the newest sign of life. Issue 6 brings the other side,
which must not count them together either.
"""

from __future__ import annotations

from random import Random

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.app.outbox_worker import OutboxWorker
from compliance_agent.domain.outbox import OutboxClass
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.domain.uplink import Answer, SendPolicy
from compliance_agent.testing import FakeClock, FakeStore, FakeUplink
from tests.support.state import an_entry, at

BURST = 5_000


def test_a_sign_of_life_goes_before_a_burst_of_telemetry() -> None:
    store, uplink = FakeStore(), FakeUplink()
    store.attach(Attachments([an_entry(number) for number in range(BURST)]))
    store.attach(Attachments([an_entry(BURST, OutboxClass.HEARTBEAT)]))
    OutboxWorker(store, uplink, FakeClock(), Random(1)).send_due()  # noqa: S311 - jitter
    assert uplink.batches[0][0] == an_entry(BURST).entry_id


def test_the_state_file_hands_it_out_first_too(tmp_path) -> None:
    with SqliteStore(tmp_path / "state.sqlite") as store:
        store.attach(Attachments([an_entry(number) for number in range(150)]))
        store.attach(Attachments([an_entry(150, OutboxClass.HEARTBEAT)]))
        due = store.due_entries(at(0), rows_max=100, bytes_max=1_000_000)
    assert due[0].entry.entry_id == an_entry(150).entry_id
    assert len(due) == 100


def test_after_a_slow_down_the_first_thing_that_is_said_is_a_sign_of_life() -> None:
    store, clock = FakeStore(), FakeClock()
    store.attach(Attachments([an_entry(number) for number in range(BURST)]))
    uplink = FakeUplink(Answer(429, "answered 429", retry_after_s=120))
    worker = OutboxWorker(store, uplink, clock, Random(1), policy=SendPolicy(retry_max_s=60))  # noqa: S311 - jitter
    worker.send_due()
    for _ in range(119):
        clock.advance(1)
        worker.send_due()
    assert len(uplink.batches) == 1, "it was asked again before its time"
    store.attach(Attachments([an_entry(BURST, OutboxClass.HEARTBEAT, clock.advance(1))]))
    worker.send_due()
    assert uplink.batches[1][0] == an_entry(BURST).entry_id
