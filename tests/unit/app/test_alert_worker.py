"""The alert worker: at least once, in time, and never in anybody's way."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.alert_channels import ChannelError
from compliance_agent.adapters.store import AlertState, MemoryStore
from compliance_agent.app.alert_worker import NO_CHANNEL, AlertWorker, DeliveryReport, RetryPolicy
from compliance_agent.domain.turn_end import TurnEnd
from compliance_agent.errors import DeliveryError, StoreError
from compliance_agent.testing import FakeChannel, FakeClock
from tests.support.state import an_alert, an_outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.adapters.store import QueuedAlert

LATER = DeliveryError("answered 503", retryable=True)
NEVER = DeliveryError("answered 400", hint="check the url")


class Longest(random.Random):
    """Jitter at its upper end, so that waits can be told."""

    def uniform(self, _low: float, high: float) -> float:
        return high


def store_with(*keys: str) -> MemoryStore:
    store = MemoryStore()
    store.finish(TurnEnd(an_outcome(), alerts=[an_alert(key) for key in keys or ("a",)]))
    return store


def worker(store: MemoryStore, *channels: FakeChannel, clock: FakeClock | None = None, **policy: float) -> AlertWorker:
    chosen = RetryPolicy(**policy)  # type: ignore[arg-type]
    return AlertWorker(store, channels, clock or FakeClock(), Longest(), policy=chosen)


def next_try(store: MemoryStore, channel: str = "fake") -> datetime | None:
    return store.alerts()[0].delivery(channel).next_try_at


def test_a_due_alert_reaches_every_channel() -> None:
    store, mail, hook = store_with(), FakeChannel("mail"), FakeChannel("hook")
    report = worker(store, mail, hook).deliver_due()
    assert report == DeliveryReport(delivered=2)
    assert [len(mail.delivered), len(hook.delivered)] == [1, 1]
    assert store.alerts()[0].state is AlertState.DELIVERED


def test_a_delivered_alert_is_not_sent_again() -> None:
    store, channel = store_with(), FakeChannel()
    at_work = worker(store, channel)
    at_work.deliver_due()
    at_work.deliver_due()
    assert len(channel.delivered) == 1


def test_without_a_channel_alerts_stay_pending_and_the_report_says_why() -> None:
    store = store_with("a", "b")
    assert worker(store).deliver_due() == DeliveryReport(pending=2, trouble=NO_CHANNEL)
    assert store.counts().alerts == {AlertState.PENDING: 2}


def test_without_a_channel_and_without_alerts_nothing_is_wrong() -> None:
    assert worker(MemoryStore()).deliver_due() == DeliveryReport()


def test_a_channel_that_fails_does_not_stop_its_neighbour() -> None:
    store, bad, good = store_with(), FakeChannel("bad", LATER), FakeChannel("good")
    assert worker(store, bad, good).deliver_due() == DeliveryReport(delivered=1, failed=1, pending=1)
    assert len(good.delivered) == 1


def test_a_failed_delivery_is_repeated_with_the_same_id_on_that_channel_only() -> None:
    store, bad, good, clock = store_with(), FakeChannel("bad", LATER), FakeChannel("good"), FakeClock()
    at_work = worker(store, bad, good, clock=clock, base_s=30)
    at_work.deliver_due()
    clock.advance(30)
    assert at_work.deliver_due() == DeliveryReport(delivered=1)
    assert [one.alert_id for one in bad.delivered] == [one.alert_id for one in good.delivered]


def test_before_its_time_nothing_is_repeated() -> None:
    store, channel, clock = store_with(), FakeChannel("fake", LATER), FakeClock()
    at_work = worker(store, channel, clock=clock, base_s=30)
    at_work.deliver_due()
    clock.advance(29)
    assert at_work.deliver_due() == DeliveryReport(pending=1)


def test_waits_double_up_to_the_cap() -> None:
    clock, store = FakeClock(), store_with()
    at_work = worker(store, FakeChannel("fake", *[LATER] * 9), clock=clock, base_s=30, cap_s=3600)
    waits = []
    for _ in range(9):
        at_work.deliver_due()
        due = next_try(store)
        assert due is not None
        waits.append((due - clock.now()).total_seconds())
        clock.advance(waits[-1])
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_jitter_is_full() -> None:
    class Shortest(random.Random):
        def uniform(self, low: float, _high: float) -> float:
            return low

    store, clock = store_with(), FakeClock()
    AlertWorker(store, [FakeChannel("fake", LATER)], clock, Shortest()).deliver_due()
    assert next_try(store) == clock.now()


@pytest.mark.parametrize(
    ("retry_after_s", "expected_s"),
    [
        pytest.param(None, 30, id="no wish"),
        pytest.param(7.0, 30, id="a wish below the wait"),
        pytest.param(7200.0, 7200, id="a wish beyond the cap"),
    ],
)
def test_the_receivers_wish_is_the_least_wait(retry_after_s, expected_s) -> None:
    store, clock = store_with(), FakeClock()
    error = ChannelError("answered 429", retryable=True, retry_after_s=retry_after_s)
    worker(store, FakeChannel("fake", error), clock=clock, base_s=30).deliver_due()
    assert next_try(store) == clock.now() + timedelta(seconds=expected_s)


def test_what_no_retry_can_help_is_dead_at_once_and_stays_visible() -> None:
    store = store_with()
    assert worker(store, FakeChannel("fake", NEVER)).deliver_due() == DeliveryReport(dead=1)
    assert store.alerts(AlertState.DEAD)[0].delivery("fake").last_error == "answered 400 (check the url)"


def test_after_its_last_try_an_alert_is_dead() -> None:
    store, clock = store_with(), FakeClock()
    at_work = worker(store, FakeChannel("fake", *[LATER] * 3), clock=clock, tries_max=3)
    reports = []
    for _ in range(4):
        reports.append(at_work.deliver_due())
        clock.advance(86_400)
    assert [report.dead for report in reports] == [0, 0, 1, 0]
    assert store.counts().alerts == {AlertState.DEAD: 1}


def test_an_error_that_no_channel_should_raise_is_scrubbed_and_tried_again() -> None:
    store = store_with()
    broken = FakeChannel("fake", RuntimeError("password=hunter2x"))
    assert worker(store, broken).deliver_due() == DeliveryReport(failed=1, pending=1)
    assert store.alerts()[0].delivery("fake").last_error == "unexpected RuntimeError: password=[removed]"


def test_a_store_that_cannot_be_written_is_reported_and_not_raised() -> None:
    class Full(MemoryStore):
        def alert_delivered(self, alert_id: str, channel: str) -> None:
            raise StoreError(f"the disk is full, {alert_id} on {channel} was not kept")

    store = Full()
    store.finish(TurnEnd(an_outcome(), alerts=[an_alert()]))
    assert worker(store, FakeChannel()).deliver_due().trouble.startswith("the disk is full")


def test_nothing_that_goes_wrong_is_raised() -> None:
    class Broken(MemoryStore):
        def due_alerts(self, now: datetime, limit: int, channels: Sequence[str]) -> list[QueuedAlert]:
            raise ZeroDivisionError(now, limit, channels)

    assert "unexpected" in worker(Broken(), FakeChannel()).deliver_due().trouble


def test_a_delivery_whose_record_was_lost_is_sent_again_with_the_same_id() -> None:
    class Forgetful(MemoryStore):
        def alert_delivered(self, alert_id: str, channel: str) -> None:
            """Be killed between the delivery and its record."""

    store, channel = Forgetful(), FakeChannel()
    store.finish(TurnEnd(an_outcome(), alerts=[an_alert()]))
    at_work = worker(store, channel)
    at_work.deliver_due()
    at_work.deliver_due()
    assert len(channel.delivered) == 2
    assert len({one.alert_id for one in channel.delivered}) == 1


def test_an_alert_whose_channels_are_done_is_settled_even_if_that_was_not_written_before() -> None:
    store = store_with()
    store.alert_delivered(store.alerts()[0].alert_id, "fake")
    worker(store, FakeChannel()).deliver_due()
    assert store.alerts()[0].state is AlertState.DELIVERED


def test_a_channel_that_was_taken_out_of_the_settings_holds_nothing_up() -> None:
    store = store_with()
    worker(store, FakeChannel("old", LATER)).deliver_due()
    worker(store, FakeChannel("new")).deliver_due()
    assert store.alerts()[0].state is AlertState.DELIVERED


def test_one_call_sends_at_most_a_batch() -> None:
    store, channel = store_with("a", "b", "c"), FakeChannel()
    assert worker(store, channel, batch_max=2).deliver_due() == DeliveryReport(delivered=2, pending=1)


def test_two_channels_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="share a name"):
        worker(MemoryStore(), FakeChannel("x"), FakeChannel("x"))
