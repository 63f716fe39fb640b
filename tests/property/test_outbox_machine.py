"""The outbox through random lives, with crashes, lost answers, refusals and a full spool: nothing is lost or doubled.

The same as ``tests/chaos`` does with the file and real kills, here with the store in memory and a fake receiver, and
with the file beside it: both must say the same.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from compliance_agent.adapters.store import DeadAction, MemoryStore, SqliteStore
from compliance_agent.app.outbox_worker import OutboxWorker
from compliance_agent.domain.outbox import LEFT, Held, OutboxClass, OutboxFate, OutboxLimits, to_evict
from compliance_agent.domain.outcome import FinishedAttempt
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.domain.uplink import Answer, EntryAnswer, EntryFate, SendPolicy
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.engine.reporter import Conclusion
from compliance_agent.errors import StoreError
from compliance_agent.testing import FakeClock, FakeUplink
from tests.support.state import an_attempt, an_end, an_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.reporter import Reversal

LIMITS = OutboxLimits(rows_max=6, bytes_max=400, heartbeat_age_max_s=60, telemetry_age_max_s=600)
POLICY = SendPolicy(batch_rows_max=3, batch_bytes_max=120, retry_base_s=5, retry_max_s=60, late_after_s=100)

kinds = st.sampled_from(OutboxClass)
sizes = st.sampled_from([2, 50, 130, 500])
troubles = st.sampled_from(
    [
        Answer(None, "the line broke"),
        Answer(503, "answered 503", retry_after_s=30),
        Answer(429, "answered 429"),
        Answer(401, "answered 401"),
        Answer(200),
    ]
)


class Reporter:
    """Makes one entry a conclusion, numbered."""

    def __init__(self, machine: OutboxMachine) -> None:
        self._machine = machine

    def of_conclusion(self, conclusion: Conclusion) -> Attachments:
        del conclusion
        return Attachments([self._machine.an_entry(OutboxClass.TELEMETRY, 30)])

    def of_scan(self, target: Target, observations: Sequence[Observation], *, now: datetime) -> Attachments:
        raise NotImplementedError

    def of_unreachable(self, target: Target, *, fault: str, message: str, now: datetime) -> Attachments:
        raise NotImplementedError

    def of_undo(self, reversal: Reversal) -> Attachments:
        raise NotImplementedError


class OutboxMachine(RuleBasedStateMachine):
    """Does the same to the file and to the memory; each has a receiver of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.stores: list[Any] = [self._sqlite(), MemoryStore(outbox_limits=LIMITS)]
        self.uplinks = [FakeUplink(), FakeUplink()]
        self.clock = FakeClock()
        self.made = 0
        self.attempts = 0

    def _sqlite(self) -> SqliteStore:
        return SqliteStore(self.folder / "state.db", outbox_limits=LIMITS)

    def teardown(self) -> None:
        self.stores[0].close()
        shutil.rmtree(self.folder)

    def both(self, act: Callable[[Any], object]) -> object:
        answers = []
        made = self.made
        for store in self.stores:
            self.made = made
            try:
                answers.append(("returned", act(store)))
            except StoreError as error:
                answers.append(("refused", error.message))
        assert answers[0] == answers[1]
        return answers[0][1]

    def an_entry(self, kind: OutboxClass, size: int) -> Any:
        self.made += 1
        return an_entry(self.made, kind, self.clock.now(), b"1" * size)

    @rule(seconds=st.sampled_from([1, 30, 70, 700, 100_000, -30, -100_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(kind=kinds, size=sizes, copies=st.integers(1, 2))
    def enqueue(self, kind: OutboxClass, size: int, copies: int) -> None:
        self.both(lambda store: store.attach(Attachments([self.an_entry(kind, size)] * copies)))

    @rule(finishes=st.booleans())
    def heal(self, finishes: bool) -> None:
        """An attempt ends with its report, or is cut off, so that the next start reports it."""
        self.attempts += 1
        attempt = an_attempt(f"attempt-{self.attempts}", self.clock.now(), check_id=f"check-{self.attempts}")
        self.both(lambda store: store.begin(attempt))
        if finishes:
            end = an_end(attempt, when=self.clock.now())
            self.both(
                lambda store: store.finish(
                    TurnEnd(end, attachments=Reporter(self).of_conclusion(Conclusion(end, attempt=attempt)))
                )
            )

    @rule()
    def crash_and_start(self) -> None:
        self.stores[0].close()
        self.stores[0] = self._sqlite()
        self.both(lambda store: interrupt_unfinished(store, now=self.clock.now(), reporter=Reporter(self)))
        assert self.both(lambda store: list(store.unfinished())) == []

    def send(self) -> None:
        reports = [
            OutboxWorker(store, uplink, self.clock, Random(self.made), policy=POLICY).send_due()  # noqa: S311 - jitter
            for store, uplink in zip(self.stores, self.uplinks, strict=True)
        ]
        assert reports[0] == reports[1]

    @rule(spoilt=st.lists(troubles, max_size=2), lost=st.integers(0, 2))
    def send_over_a_bad_line(self, spoilt: list[Answer], lost: int) -> None:
        for uplink in self.uplinks:
            uplink.answers, uplink.answers_lost = list(spoilt), lost
        self.send()
        for uplink in self.uplinks:
            uplink.answers, uplink.answers_lost = [], 0

    @rule()
    def send_over_a_good_line(self) -> None:
        self.send()

    @precondition(lambda self: self.stores[1].due_entries(self.clock.now(), rows_max=9, bytes_max=999))
    @rule(data=st.data())
    def send_what_can_never_be_taken(self, data: st.DataObject) -> None:
        due = self.stores[1].due_entries(self.clock.now(), rows_max=9, bytes_max=999)
        poison = data.draw(st.sampled_from([row.entry.entry_id for row in due]))
        for uplink in self.uplinks:
            uplink.rejected = {poison}
        self.send()
        for uplink in self.uplinks:
            uplink.rejected = set()

    @precondition(lambda self: self.stores[1].due_entries(self.clock.now(), rows_max=9, bytes_max=999))
    @rule(data=st.data(), fate=st.sampled_from([EntryFate.AGAIN, EntryFate.HOPELESS]))
    def send_with_a_partial_answer(self, data: st.DataObject, fate: EntryFate) -> None:
        due = self.stores[1].due_entries(self.clock.now(), rows_max=3, bytes_max=120)
        one = data.draw(st.sampled_from([row.entry.entry_id for row in due]))
        for uplink in self.uplinks:
            uplink.answers = [Answer(200, entries={one: EntryAnswer(fate, "because")})]
        self.send()

    @rule(is_drop=st.booleans(), known=st.booleans())
    def act_on_the_dead(self, is_drop: bool, known: bool) -> None:
        action = DeadAction(is_drop, "alice", "mended", self.clock.now())
        self.both(lambda store: store.act_on_dead(None if known else ["no-such"], action))

    @invariant()
    def both_say_the_same(self) -> None:
        self.both(lambda store: dict(store.counts().outbox))
        self.both(lambda store: (store.dead_entries(), store.dead_actions(), store.uplink()))
        self.both(lambda store: store.due_entries(self.clock.now(), rows_max=4, bytes_max=200))
        assert self.uplinks[0].batches == self.uplinks[1].batches

    @invariant()
    def every_entry_is_somewhere_or_counted(self) -> None:
        for numbers in self.stores[1].counts().outbox.values():
            fates = Counter(numbers.fates)
            assert fates[OutboxFate.ENQUEUED] == numbers.waiting + numbers.dead + sum(fates[fate] for fate in LEFT)
            assert fates[OutboxFate.DUPLICATE] <= fates[OutboxFate.DELIVERED]
            assert fates[OutboxFate.LATE] <= fates[OutboxFate.DELIVERED]

    @invariant()
    def the_receiver_has_all_that_counts_as_delivered(self) -> None:
        have = Counter(copies[0].kind for copies in self.uplinks[1].received.values())
        for kind, numbers in self.stores[1].counts().outbox.items():
            assert numbers.fates.get(OutboxFate.DELIVERED, 0) <= have[kind]

    @invariant()
    def no_attempt_is_lost_and_each_that_ended_has_one_outcome(self) -> None:
        for store in self.stores:
            kept = [store.attempt(f"attempt-{number}") for number in range(1, self.attempts + 1)]
            assert None not in kept
            ended = [one.attempt.attempt_id for one in kept if isinstance(one, FinishedAttempt)]
            told = [one.outcome.attempt_id for one in store.recent_outcomes(self.attempts + 1)]
            assert sorted(told) == sorted(ended)

    @invariant()
    def the_limits_hold(self) -> None:
        counts = self.stores[1].counts().outbox.values()
        assert sum(numbers.waiting + numbers.dead for numbers in counts) <= LIMITS.rows_max
        assert sum(numbers.size_bytes for numbers in counts) <= LIMITS.bytes_max

    @invariant()
    def all_copies_are_the_same(self) -> None:
        assert all(len(set(copies)) == 1 for copies in self.uplinks[1].received.values())


OutboxMachine.TestCase.settings = settings(
    settings.get_profile(settings.get_current_profile_name()), max_examples=40, stateful_step_count=30
)
TestOutboxMachine = OutboxMachine.TestCase


held = st.builds(Held, st.integers(0, 10_000), kinds, st.booleans(), st.integers(1, 100))


@given(
    all_=st.lists(held, max_size=30, unique_by=lambda one: one.sequence),
    rows=st.integers(1, 20),
    size=st.integers(1, 900),
)
def test_eviction_keeps_the_limits_drops_no_more_than_needed_and_the_lowest_first(all_, rows, size) -> None:
    order = sorted(all_, key=lambda one: one.eviction_order)
    total = sum(one.size_bytes for one in all_)
    limits = OutboxLimits(rows_max=rows, bytes_max=size)
    gone = to_evict(iter(order), rows=len(order), size_bytes=total, limits=limits)
    kept = order[len(gone) :]
    assert gone == order[: len(gone)]
    assert len(kept) <= rows
    assert sum(one.size_bytes for one in kept) <= size
    if gone:
        one_more = [gone[-1], *kept]
        assert len(one_more) > rows or sum(one.size_bytes for one in one_more) > size
    if any(one.kind is OutboxClass.EVIDENCE for one in gone):
        assert all(one.kind is OutboxClass.EVIDENCE for one in kept)
