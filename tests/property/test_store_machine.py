"""The file and the memory, side by side, through random lives: whatever is asked, they answer the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from compliance_agent.adapters.store import Limits, MemoryStore, SqliteStore, Undo
from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import ATTEMPT_OUTCOMES, OutcomeKind
from compliance_agent.domain.turn_end import TurnEnd
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.errors import StoreError
from compliance_agent.testing import NOON
from tests.support.state import EPOCH, SITE, an_alert, an_attempt, an_end, an_observation, an_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from compliance_agent.domain.outcome import Attempt

TARGETS = ("srv01", "srv02")
CHECKS = ("LIN-SSH-001", "LIN-FW-001")
CHANNELS = ("webhook", "smtp")
FINGERPRINTS = tuple(fingerprint(SITE, target, check) for target in TARGETS for check in CHECKS)

targets, checks, channels = st.sampled_from(TARGETS), st.sampled_from(CHECKS), st.sampled_from(CHANNELS)
verdicts, ends = st.sampled_from(Verdict), st.sampled_from(sorted(ATTEMPT_OUTCOMES))
holds = st.sampled_from([OutcomeKind.DEFERRED, OutcomeKind.SUPPRESSED, OutcomeKind.WOULD_CHANGE])
reasons = st.sampled_from(["too soon", "came back", "password=hunter2x"])
numbers = st.integers(0, 7)
some_limits = st.builds(
    Limits,
    retention_days=st.integers(0, 3),
    outcomes_max=st.integers(0, 6),
    attempts_max=st.integers(0, 4),
    alerts_max=st.integers(0, 3),
)
# Both ways: clocks are set back, too.
jumps = st.sampled_from([0, 1, 60, 3_600, 20_000, 86_400, 200_000, -60, -86_400])

Store = SqliteStore | MemoryStore


class StoreMachine(RuleBasedStateMachine):
    """Does the same to both and compares what they say."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.sqlite = SqliteStore(self.folder / "state.db")
        self.memory = MemoryStore()
        self.now = NOON
        self.attempts: list[Attempt] = []

    def teardown(self) -> None:
        self.sqlite.close()
        shutil.rmtree(self.folder)

    def both(self, act: Callable[[Store], object]) -> object:
        answers = []
        for store in (self.sqlite, self.memory):
            try:
                answers.append(("returned", act(store)))
            except StoreError as error:
                answers.append(("refused", error.message))
        assert answers[0] == answers[1]
        return answers[0][1]

    def alert_ids(self) -> list[str]:
        return [queued.alert_id for queued in self.memory.alerts()]

    @rule(seconds=jumps)
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(where=targets, found=st.dictionaries(checks, verdicts))
    def scan(self, where: str, found: dict[str, Verdict]) -> None:
        seen = [an_observation(one, self.now, target_id=where, check_id=check) for check, one in found.items()]
        self.both(lambda store: store.record_scan(where, seen, site_id=SITE, now=self.now))

    @rule(where=targets)
    def cannot_reach(self, where: str) -> None:
        self.both(lambda store: store.record_unreachable(where, fault="refused", message="refused", now=self.now))

    @rule(where=targets, check=checks, number=numbers)
    def begin(self, where: str, check: str, number: int) -> None:
        attempt = an_attempt(f"attempt-{number}", self.now, target_id=where, check_id=check)
        self.attempts.append(attempt)
        self.both(lambda store: store.begin(attempt))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), kind=ends, verdict=st.none() | verdicts)
    def finish_attempt(self, data: st.DataObject, kind: OutcomeKind, verdict: Verdict | None) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        fresh = (
            []
            if verdict is None
            else [an_observation(verdict, self.now, target_id=attempt.target_id, check_id=attempt.check_id)]
        )
        self.both(lambda store: store.finish(TurnEnd(an_end(attempt, kind, self.now), observations=fresh)))

    @rule(where=targets, check=checks, kind=holds, reason=reasons, keys=st.lists(st.sampled_from("abcd"), max_size=2))
    def hold(self, where: str, check: str, kind: OutcomeKind, reason: str, keys: list[str]) -> None:
        outcome = an_outcome(kind, self.now, reason=reason, target_id=where, check_id=check)
        held = replace(outcome, until=self.now + timedelta(minutes=5))
        alerts = [an_alert(key, self.now) for key in keys]
        self.both(lambda store: store.finish(TurnEnd(held, alerts=alerts)))

    @rule(where=targets, check=checks, verdict=verdicts)
    def look_again_without_an_attempt(self, where: str, check: str, verdict: Verdict) -> None:
        fresh = [an_observation(verdict, self.now, target_id=where, check_id=check)]
        self.both(lambda store: store.finish(TurnEnd(an_outcome(when=self.now), observations=fresh)))

    @rule()
    def crash_and_start(self) -> None:
        self.sqlite.close()
        self.sqlite = SqliteStore(self.folder / "state.db")
        self.both(lambda store: list(interrupt_unfinished(store, now=self.now)))

    @rule(number=numbers, succeeded=st.booleans())
    def undo(self, number: int, succeeded: bool) -> None:
        record = Undo(f"attempt-{number}", succeeded, "alice", "not wanted", self.now)
        self.both(lambda store: store.record_undo(record))

    @rule(limits=some_limits)
    def prune(self, limits: Limits) -> None:
        self.both(lambda store: dict(store.prune(self.now, limits)))

    @precondition(lambda self: self.alert_ids())
    @rule(data=st.data(), channel=channels, wait=st.none() | st.integers(0, 7_200))
    def fail_to_deliver(self, data: st.DataObject, channel: str, wait: int | None) -> None:
        alert_id = data.draw(st.sampled_from(self.alert_ids()))
        again = None if wait is None else self.now + timedelta(seconds=wait)
        self.both(lambda store: store.alert_failed(alert_id, channel, error="answered 503", next_try_at=again))

    @precondition(lambda self: self.alert_ids())
    @rule(data=st.data(), channel=channels)
    def deliver(self, data: st.DataObject, channel: str) -> None:
        alert_id = data.draw(st.sampled_from(self.alert_ids()))
        self.both(lambda store: store.alert_delivered(alert_id, channel))

    @rule(used=st.lists(channels, unique=True))
    def settle(self, used: list[str]) -> None:
        self.both(lambda store: store.settle_alerts(used, now=self.now))

    @rule(used=st.lists(channels, unique=True), limit=st.integers(0, 3))
    def look_for_due_alerts(self, used: list[str], limit: int) -> None:
        self.both(lambda store: store.due_alerts(self.now, limit, used))

    def compare_history(self, print_: str) -> None:
        self.both(lambda store: store.opened_at(print_))
        self.both(lambda store: list(store.history(print_, since=EPOCH)))
        self.both(lambda store: list(store.history(print_, since=self.now)))

    @invariant()
    def both_say_the_same(self) -> None:
        for print_ in FINGERPRINTS:
            self.compare_history(print_)
        self.both(lambda store: (store.targets(), store.latest_observations(), store.open_incidents()))
        self.both(lambda store: (store.recent_outcomes(50), store.recent_outcomes(3, TARGETS[0]), store.alerts()))
        self.both(lambda store: [(store.attempt(f"attempt-{n}"), store.undos(f"attempt-{n}")) for n in range(8)])
        self.both(lambda store: replace(store.counts(), size_bytes=0))

    @invariant()
    def no_incident_has_two_attempts_under_way(self) -> None:
        under_way = [one for n in range(8) if (one := self.memory.attempt(f"attempt-{n}")) in self.attempts]
        prints = [getattr(one, "fingerprint", "") for one in under_way]
        assert len(prints) == len(set(prints))


StoreMachine.TestCase.settings = settings(
    settings.get_profile(settings.get_current_profile_name()), max_examples=40, stateful_step_count=30
)
TestStoreMachine = StoreMachine.TestCase
