"""Failure 29: each resolved incident was counted twice; the success rate was over 100 %.

Here an attempt ends once, an outcome that only repeats is the same one, and a report has an id under which it counts
once, however often it is enqueued or sent. Issue 6 counts on the other side, by the same ids.
"""

from __future__ import annotations

from random import Random

import pytest

from compliance_agent.adapters.store import SqliteStore
from compliance_agent.app.outbox_worker import OutboxWorker
from compliance_agent.domain.outbox import OutboxClass, OutboxFate
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.domain.uplink import SendPolicy
from compliance_agent.errors import StoreError
from compliance_agent.testing import FakeClock, FakeUplink
from tests.support.state import EPOCH, FINGERPRINT, an_attempt, an_end, an_entry, an_outcome, at


@pytest.fixture
def store(tmp_path):
    with SqliteStore(tmp_path / "state.sqlite") as opened:
        yield opened


def test_an_attempt_ends_once(store) -> None:
    attempt = an_attempt()
    store.begin(attempt)
    store.finish(TurnEnd(an_end(attempt)))
    with pytest.raises(StoreError, match="has ended already"):
        store.finish(TurnEnd(an_end(attempt, when=at(60))))
    assert len(store.history(FINGERPRINT, since=EPOCH)) == 1
    assert store.counts().outcomes == 1


def test_successes_never_outnumber_attempts(store) -> None:
    for number in range(10):
        attempt = an_attempt(f"attempt-{number}", at(number))
        store.begin(attempt)
        store.finish(TurnEnd(an_end(attempt, when=at(number))))
        for _ in range(3):
            with pytest.raises(StoreError):
                store.finish(TurnEnd(an_end(attempt, when=at(number))))
    ends = [past.outcome for past in store.history(FINGERPRINT, since=EPOCH)]
    assert sum(end.is_success for end in ends) == len(ends) == store.counts().attempts == 10


def test_an_outcome_that_repeats_is_reported_once(store) -> None:
    for number in range(5):
        report = Attachments([an_entry(number)])
        store.finish(TurnEnd(an_outcome(when=at(60 * number)), attachments=report))
    counts = store.counts()
    assert counts.outcomes == 1
    assert counts.outbox[OutboxClass.TELEMETRY].fates[OutboxFate.ENQUEUED] == 1


def test_a_report_that_is_enqueued_and_sent_again_is_one_report(store) -> None:
    store.attach(Attachments([an_entry(1)]))
    store.attach(Attachments([an_entry(1)]))
    clock, uplink = FakeClock(), FakeUplink(answers_lost=1)
    worker = OutboxWorker(store, uplink, clock, Random(1), policy=SendPolicy(retry_max_s=1))  # noqa: S311 - jitter
    worker.send_due()
    clock.advance(60)
    worker.send_due()
    assert len(uplink.batches) == 2
    assert list(uplink.received) == [an_entry(1).entry_id]
    fates = store.counts().outbox[OutboxClass.TELEMETRY].fates
    assert (fates[OutboxFate.ENQUEUED], fates[OutboxFate.DELIVERED], fates[OutboxFate.DUPLICATE]) == (1, 1, 1)
