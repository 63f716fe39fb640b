"""The sender: what it sends, in which batches, and what it does with the answers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from compliance_agent.app.outbox_worker import BATCHES_MAX, OutboxWorker, SendReport
from compliance_agent.domain.outbox import OutboxClass, OutboxFate
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.domain.uplink import Answer, EntryAnswer, EntryFate, SendPolicy
from compliance_agent.errors import StoreError
from compliance_agent.testing import FakeClock, FakeStore, FakeUplink
from tests.support.state import an_entry

POLICY = SendPolicy(batch_rows_max=4, retry_base_s=10, retry_max_s=60)


class Certain(Random):
    """Chance at its upper end: a wait is as long as its bound."""

    def random(self) -> float:
        return 1.0


def a_store(number: int) -> FakeStore:
    store = FakeStore()
    store.attach(Attachments([an_entry(one) for one in range(1, number + 1)]))
    return store


def worker(store: Any, uplink: FakeUplink, clock: FakeClock | None = None) -> OutboxWorker:
    return OutboxWorker(store, uplink, clock or FakeClock(), Certain(), policy=POLICY)


def numbers(batch: list[str]) -> list[int]:
    return [int(entry_id[-12:], 16) for entry_id in batch]


def test_all_that_waits_is_sent_in_batches() -> None:
    store, uplink = a_store(10), FakeUplink()
    assert worker(store, uplink).send_due() == SendReport(delivered=10)
    assert [len(batch) for batch in uplink.batches] == [4, 4, 2]
    assert store.due_entries(FakeClock().now(), rows_max=99, bytes_max=9_999) == []


def test_a_batch_holds_one_class() -> None:
    store, uplink = FakeStore(), FakeUplink()
    kinds = [OutboxClass.TELEMETRY, OutboxClass.HEARTBEAT, OutboxClass.EVIDENCE, OutboxClass.TELEMETRY]
    store.attach(Attachments([an_entry(number, kind) for number, kind in enumerate(kinds, start=1)]))
    assert worker(store, uplink).send_due().delivered == 4
    assert [numbers(batch) for batch in uplink.batches] == [[2], [3], [1, 4]]


def test_a_long_backlog_is_sent_in_several_calls() -> None:
    store, uplink = a_store(POLICY.batch_rows_max * BATCHES_MAX + 1), FakeUplink()
    assert worker(store, uplink).send_due().delivered == POLICY.batch_rows_max * BATCHES_MAX
    assert worker(store, uplink).send_due().delivered == 1


def test_a_stop_ends_it_before_the_next_batch() -> None:
    store, uplink = a_store(10), FakeUplink()
    assert worker(store, uplink).send_due(lambda: not uplink.batches).delivered == 4


def test_with_nothing_waiting_nothing_is_sent() -> None:
    uplink = FakeUplink()
    assert worker(a_store(0), uplink).send_due() == SendReport()
    assert uplink.batches == []


def test_a_line_that_fails_is_left_alone_until_its_time() -> None:
    store, uplink, clock = a_store(10), FakeUplink(Answer(503, "answered 503")), FakeClock()
    assert worker(store, uplink, clock).send_due() == SendReport(trouble="answered 503")
    clock.advance(9)
    assert worker(store, uplink, clock).send_due() == SendReport()
    assert len(uplink.batches) == 1
    clock.advance(1)
    assert worker(store, uplink, clock).send_due() == SendReport(delivered=10)


def test_waits_grow_across_restarts_of_the_sender() -> None:
    store, clock = a_store(1), FakeClock()
    waits = []
    for _ in range(5):
        worker(store, FakeUplink(Answer(None, "no route")), clock).send_due()
        due = store.uplink().next_try_at
        assert due is not None
        waits.append((due - clock.now()).total_seconds())
        clock.advance(waits[-1])
    assert waits == [10, 20, 40, 60, 60]


def test_the_receivers_wish_is_waited_for() -> None:
    store, clock = a_store(1), FakeClock()
    worker(store, FakeUplink(Answer(429, "answered 429", retry_after_s=3_600)), clock).send_due()
    due = store.uplink().next_try_at
    assert due is not None
    assert (due - clock.now()).total_seconds() == 3_600


def test_an_answer_that_was_lost_makes_a_duplicate_that_is_counted() -> None:
    store, uplink, clock = a_store(2), FakeUplink(answers_lost=1), FakeClock()
    worker(store, uplink, clock).send_due()
    clock.advance(60)
    worker(store, uplink, clock).send_due()
    assert {entry_id: len(copies) for entry_id, copies in uplink.received.items()} == {
        an_entry(1).entry_id: 2,
        an_entry(2).entry_id: 2,
    }
    assert store.counts().outbox[OutboxClass.TELEMETRY].fates == {
        OutboxFate.ENQUEUED: 2,
        OutboxFate.DELIVERED: 2,
        OutboxFate.DUPLICATE: 2,
    }


@pytest.mark.parametrize("poison", [1, 2, 3, 4])
def test_one_entry_that_can_never_be_taken_does_not_hold_up_the_others(poison) -> None:
    store, uplink = a_store(4), FakeUplink(rejected=[an_entry(poison).entry_id])
    assert worker(store, uplink).send_due() == SendReport(delivered=3, dead=1)
    (dead,) = store.dead_entries()
    assert (dead.entry, dead.last_error) == (an_entry(poison), "answered 422: cannot be read")
    assert len(uplink.batches) <= 5


def test_a_line_that_fails_between_two_halves_keeps_the_rest() -> None:
    uplink = FakeUplink(Answer(413, "answered 413"), Answer(503, "answered 503"))
    store = a_store(4)
    assert worker(store, uplink).send_due() == SendReport(trouble="answered 503")
    assert [numbers(batch) for batch in uplink.batches] == [[1, 2, 3, 4], [1, 2]]
    assert len(store.due_entries(FakeClock().now(), rows_max=9, bytes_max=999)) == 4
    assert store.dead_entries() == []


def test_a_credential_that_is_refused_gives_up_nothing() -> None:
    store = a_store(3)
    assert worker(store, FakeUplink(Answer(401, "answered 401"))).send_due().trouble == "answered 401"
    assert store.dead_entries() == []


def test_what_is_asked_for_again_comes_later_and_the_rest_goes_on() -> None:
    again = {an_entry(1).entry_id: EntryAnswer(EntryFate.AGAIN, "busy")}
    taken = {an_entry(number).entry_id: EntryAnswer(EntryFate.TAKEN) for number in (2, 3, 4)}
    store, uplink, clock = a_store(6), FakeUplink(Answer(200, entries=again | taken)), FakeClock()
    assert worker(store, uplink, clock).send_due() == SendReport(delivered=5, again=1)
    assert [numbers(batch) for batch in uplink.batches] == [[1, 2, 3, 4], [5, 6]]
    clock.advance(10)
    assert worker(store, uplink, clock).send_due() == SendReport(delivered=1)


def test_what_is_too_old_is_dropped_before_it_is_sent() -> None:
    store, uplink, clock = a_store(1), FakeUplink(), FakeClock()
    clock.advance(31 * 86_400)
    worker(store, uplink, clock).send_due()
    assert uplink.batches == []


def test_a_state_that_cannot_be_written_is_told_and_not_raised() -> None:
    class Full(FakeStore):
        def record_sending(self, *_arguments: object, **_more: object) -> None:
            raise StoreError("the disk is full")

    store = Full()
    store.attach(Attachments([an_entry(1)]))
    assert worker(store, FakeUplink()).send_due() == SendReport(trouble="the disk is full", store_failed=True)


def test_an_uplink_that_breaks_its_promise_is_survived() -> None:
    class Broken(FakeUplink):
        def send(self, *_arguments: object, **_more: object) -> Answer:
            raise RuntimeError("never")

    assert "unexpected" in worker(a_store(1), Broken()).send_due().trouble
