"""What every store promises: the file and the one in memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.store import (
    AlertState,
    ChannelDelivery,
    DeadAction,
    DeliveryState,
    Limits,
    MemoryStore,
    OutboxCounts,
    SqliteStore,
    Undo,
)
from compliance_agent.domain.incident import fingerprint
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outbox import OutboxClass, OutboxFate, OutboxLimits
from compliance_agent.domain.outcome import ATTEMPT_OUTCOMES, FinishedAttempt, OutcomeKind, StepRecord
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.domain.uplink import EntryFate, Settlement, UplinkState
from compliance_agent.engine.ports import TargetStatus
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.errors import StoreError
from compliance_agent.testing import NOON
from tests.support.state import (
    CHECK,
    EPOCH,
    FINGERPRINT,
    SITE,
    TARGET,
    an_alert,
    an_attempt,
    an_end,
    an_entry,
    an_observation,
    an_outcome,
    at,
)

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

HEARTBEAT, TELEMETRY, EVIDENCE = OutboxClass.HEARTBEAT, OutboxClass.TELEMETRY, OutboxClass.EVIDENCE
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----"


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    kept = SqliteStore(tmp_path / "state" / "state.db") if request.param == "sqlite" else MemoryStore()
    with kept:
        yield kept


def scan(store, *observations, when=NOON, target_id=TARGET):
    store.record_scan(target_id, observations, site_id=SITE, now=when)


# --- scans


def test_an_empty_store_knows_nothing(store) -> None:
    assert store.opened_at(FINGERPRINT) is None
    assert store.history(FINGERPRINT, since=EPOCH) == []
    assert (store.targets(), store.latest_observations(), store.open_incidents()) == ([], [], [])
    assert (store.recent_outcomes(10), store.alerts(), store.attempt("attempt-1")) == ([], [], None)


def test_a_failing_check_opens_an_incident(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    assert store.opened_at(FINGERPRINT) == NOON


def test_an_incident_that_is_open_stays_the_same_one(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    scan(store, an_observation(Verdict.FAIL), when=at(120))
    assert store.opened_at(FINGERPRINT) == NOON
    assert store.open_incidents()[0].last_seen_at == at(120)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.NOT_APPLICABLE])
def test_a_check_that_passes_or_does_not_apply_closes_the_incident(store, verdict) -> None:
    scan(store, an_observation(Verdict.FAIL))
    scan(store, an_observation(verdict), when=at(120))
    assert store.opened_at(FINGERPRINT) is None
    assert store.open_incidents() == []


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.NOT_ASSESSED])
def test_a_check_that_could_not_be_carried_out_leaves_the_incident_open(store, verdict) -> None:
    scan(store, an_observation(Verdict.FAIL))
    scan(store, an_observation(verdict), when=at(120))
    assert store.opened_at(FINGERPRINT) == NOON


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.FAIL])
def test_nothing_but_a_failure_opens_an_incident(store, verdict) -> None:
    scan(store, an_observation(verdict))
    assert store.opened_at(FINGERPRINT) is None


def test_an_incident_that_comes_back_opens_anew(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    scan(store, an_observation(Verdict.PASS), when=at(120))
    scan(store, an_observation(Verdict.FAIL), when=at(240))
    assert store.opened_at(FINGERPRINT) == at(240)


def test_another_check_of_the_target_has_its_own_incident(store) -> None:
    scan(store, an_observation(Verdict.FAIL), an_observation(Verdict.PASS, check_id="LIN-FW-001"))
    assert [incident.check_id for incident in store.open_incidents()] == [CHECK]


def test_only_the_latest_observation_of_a_check_is_kept(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    later = an_observation(Verdict.PASS, at(120))
    scan(store, later, when=at(120))
    assert store.latest_observations() == [later]


def test_observations_can_be_asked_for_one_target(store) -> None:
    scan(store, an_observation())
    scan(store, an_observation(target_id="srv02"), target_id="srv02")
    assert [one.target_id for one in store.latest_observations("srv02")] == ["srv02"]
    assert len(store.latest_observations()) == 2


def test_numbers_in_facts_keep_every_digit(store) -> None:
    facts: dict[str, JsonValue] = {
        "offset": Decimal("-0.000012345678901234567890"),
        "big": 10**18,
        "none": None,
        "list": [True, "x"],
    }
    scan(store, an_observation(facts=facts))
    kept = store.latest_observations()[0].facts
    assert kept == facts
    assert str(kept["offset"]) == "-0.000012345678901234567890"


def test_text_that_no_database_takes_does_not_break_the_store(store) -> None:
    scan(store, an_observation(reason="half \ud800 and nul \0", facts={"text": "\ud800\0", "\0": 1}))
    assert "\0" not in store.latest_observations()[0].reason


def test_a_binary_float_is_refused_and_leaves_nothing_behind(tmp_path) -> None:
    with SqliteStore(tmp_path / "state.db") as store:
        with pytest.raises(TypeError):
            scan(store, an_observation(facts={"offset": 0.1}))  # type: ignore[dict-item]
        assert store.targets() == []


def test_a_target_that_was_reached_says_when(store) -> None:
    scan(store)
    assert store.targets() == [TargetStatus(TARGET, scanned_at=NOON, attempted_at=NOON)]


def test_an_unreachable_target_keeps_its_observations_and_incidents(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    store.record_unreachable(TARGET, fault="timed_out", message="no answer in 10 s", now=at(120))
    assert store.opened_at(FINGERPRINT) == NOON
    assert len(store.latest_observations()) == 1
    assert store.targets() == [TargetStatus(TARGET, NOON, at(120), "timed_out", "no answer in 10 s")]


def test_a_target_that_was_never_reached_has_no_scan_time(store) -> None:
    store.record_unreachable(TARGET, fault="refused", message="connection refused", now=NOON)
    assert store.targets() == [TargetStatus(TARGET, None, NOON, "refused", "connection refused")]
    assert store.counts().unreachable_targets == 1


def test_a_target_that_is_back_has_no_fault(store) -> None:
    store.record_unreachable(TARGET, fault="refused", message="connection refused", now=NOON)
    scan(store, when=at(60))
    assert store.targets() == [TargetStatus(TARGET, at(60), at(60))]


# --- attempts


def test_an_attempt_that_began_is_unfinished(store) -> None:
    store.begin(an_attempt())
    assert store.attempt("attempt-1") == an_attempt()
    assert store.counts().unfinished_attempts == 1
    assert store.history(FINGERPRINT, since=EPOCH) == []


def test_a_second_attempt_for_the_same_incident_is_refused_while_the_first_runs(store) -> None:
    store.begin(an_attempt("attempt-1"))
    with pytest.raises(StoreError, match="has not ended"):
        store.begin(an_attempt("attempt-2"))
    assert store.attempt("attempt-2") is None


def test_an_attempt_id_is_never_used_twice(store) -> None:
    store.begin(an_attempt())
    store.finish(TurnEnd(an_end(an_attempt())))
    with pytest.raises(StoreError, match="recorded already"):
        store.begin(an_attempt())


def test_attempts_on_different_checks_run_side_by_side(store) -> None:
    store.begin(an_attempt("attempt-1"))
    store.begin(an_attempt("attempt-2", check_id="LIN-FW-001"))
    assert store.counts().unfinished_attempts == 2


@pytest.mark.parametrize("kind", sorted(ATTEMPT_OUTCOMES))
def test_history_tells_how_an_attempt_ended(store, kind) -> None:
    store.begin(an_attempt())
    store.finish(TurnEnd(an_end(an_attempt(), kind, at(5))))
    ended = FinishedAttempt(an_attempt(), kind, "as told", at(5))
    assert store.history(FINGERPRINT, since=EPOCH) == [ended]
    assert store.attempt("attempt-1") == ended


@pytest.mark.parametrize("kind", sorted(set(OutcomeKind) - ATTEMPT_OUTCOMES))
def test_an_attempt_cannot_end_in_what_is_no_end(store, kind) -> None:
    store.begin(an_attempt())
    with pytest.raises(StoreError, match="cannot end as"):
        store.finish(TurnEnd(an_end(an_attempt(), kind)))
    assert store.attempt("attempt-1") == an_attempt()
    assert store.recent_outcomes(10) == []


def test_an_attempt_ends_once(store) -> None:
    store.begin(an_attempt())
    store.finish(TurnEnd(an_end(an_attempt(), OutcomeKind.FAILED)))
    with pytest.raises(StoreError, match="ended already"):
        store.finish(TurnEnd(an_end(an_attempt(), OutcomeKind.REMEDIATED)))
    assert [past.outcome for past in store.history(FINGERPRINT, since=EPOCH)] == [OutcomeKind.FAILED]


def test_an_attempt_that_never_began_cannot_end(store) -> None:
    with pytest.raises(StoreError, match="not there"):
        store.finish(TurnEnd(an_end(an_attempt())))


def test_history_is_oldest_first_and_starts_at_since(store) -> None:
    for number, seconds in enumerate((30, 10, 20)):
        attempt = an_attempt(f"attempt-{number}")
        store.begin(attempt)
        store.finish(TurnEnd(an_end(attempt, OutcomeKind.FAILED, at(seconds))))
    ends = [past.finished_at for past in store.history(FINGERPRINT, since=at(20))]
    assert ends == [at(20), at(30)]


def test_history_has_only_its_own_fingerprint(store) -> None:
    other = an_attempt(check_id="LIN-FW-001")
    store.begin(other)
    store.finish(TurnEnd(an_end(other)))
    assert store.history(FINGERPRINT, since=EPOCH) == []


def test_times_compare_as_times_whatever_zone_they_came_in(store) -> None:
    attempt = an_attempt()
    store.begin(attempt)
    store.finish(TurnEnd(an_end(attempt, when=NOON.astimezone(timezone(timedelta(hours=-11))))))
    past = store.history(FINGERPRINT, since=NOON)[0]
    assert past.finished_at == NOON
    assert past.finished_at.tzinfo is UTC


def test_a_crash_leaves_attempts_that_the_next_start_ends_as_interrupted(store) -> None:
    store.begin(an_attempt("attempt-2", at(1)))
    store.begin(an_attempt("attempt-1", at(0), check_id="LIN-FW-001"))
    assert [one.attempt_id for one in interrupt_unfinished(store, now=at(60))] == ["attempt-1", "attempt-2"]
    past = store.history(FINGERPRINT, since=EPOCH)[0]
    assert (past.outcome, past.finished_at) == (OutcomeKind.INTERRUPTED, at(60))
    assert [one.outcome.kind for one in store.recent_outcomes(10)] == [OutcomeKind.INTERRUPTED] * 2


def test_nothing_is_interrupted_twice(store) -> None:
    store.begin(an_attempt())
    interrupt_unfinished(store, now=at(60))
    assert interrupt_unfinished(store, now=at(61)) == ()


def test_after_an_interruption_a_new_attempt_may_begin(store) -> None:
    store.begin(an_attempt("attempt-1"))
    interrupt_unfinished(store, now=at(60))
    store.begin(an_attempt("attempt-2", at(61)))
    assert store.attempt("attempt-2") == an_attempt("attempt-2", at(61))


def test_many_threads_begin_one_attempt_each(store) -> None:
    def turn(number: int) -> None:
        attempt = an_attempt(f"attempt-{number}", target_id=f"srv{number:02}")
        store.begin(attempt)
        store.finish(TurnEnd(an_end(attempt), observations=[an_observation(Verdict.PASS, target_id=attempt.target_id)]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, range(24)))
    assert (store.counts().attempts, store.counts().unfinished_attempts, store.counts().outcomes) == (24, 0, 24)


def test_of_many_threads_that_begin_for_the_same_incident_one_succeeds(store) -> None:
    start = threading.Barrier(8)

    def begin(number: int) -> bool:
        start.wait()
        try:
            store.begin(an_attempt(f"attempt-{number}"))
        except StoreError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1


# --- outcomes


def test_the_end_of_a_turn_brings_everything_at_once(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    store.begin(an_attempt())
    steps = (StepRecord("set", 0, "changed", ""), StepRecord("reload", None, "", "no answer"))
    end = replace(an_end(an_attempt(), when=at(5)), steps=steps, until=at(300))
    fresh = an_observation(Verdict.PASS, at(5))
    store.finish(TurnEnd(end, observations=[fresh], alerts=[an_alert()]))
    assert store.opened_at(FINGERPRINT) is None
    assert store.latest_observations() == [fresh]
    assert [recorded.outcome for recorded in store.recent_outcomes(10)] == [end]
    assert [queued.alert for queued in store.alerts()] == [an_alert()]


def test_a_turn_whose_end_cannot_be_written_leaves_nothing_behind(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    with pytest.raises(StoreError):
        store.finish(TurnEnd(an_end(an_attempt()), observations=[an_observation(Verdict.PASS)], alerts=[an_alert()]))
    assert store.opened_at(FINGERPRINT) == NOON
    assert (store.recent_outcomes(10), store.alerts()) == ([], [])


def test_a_fresh_detect_that_still_fails_leaves_the_incident_the_same(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    store.begin(an_attempt())
    end = an_end(an_attempt(), OutcomeKind.VERIFY_FAILED, at(5))
    store.finish(TurnEnd(end, observations=[an_observation(Verdict.FAIL, at(5))]))
    assert store.opened_at(FINGERPRINT) == NOON


def test_a_fresh_detect_may_open_the_incident_of_another_check(store) -> None:
    scan(store)
    store.finish(TurnEnd(an_outcome(), observations=[an_observation(Verdict.FAIL, check_id="LIN-FW-001")]))
    assert store.opened_at(fingerprint(SITE, TARGET, "LIN-FW-001")) == NOON


def test_a_held_incident_does_not_grow_the_store(store) -> None:
    store.finish(TurnEnd(replace(an_outcome(), until=at(300))))
    store.finish(TurnEnd(replace(an_outcome(when=at(120)), until=at(420))))
    recorded = store.recent_outcomes(10)
    assert [(one.outcome.at, one.last_seen_at, one.seen_count) for one in recorded] == [(NOON, at(120), 2)]
    assert recorded[0].outcome.until == at(420)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"kind": OutcomeKind.SUPPRESSED}, id="another kind"),
        pytest.param({"reason": "another reason"}, id="another reason"),
        pytest.param({"rule_id": "L1-OTHER"}, id="another rule"),
    ],
)
def test_an_outcome_that_differs_is_a_row_of_its_own(store, change) -> None:
    store.finish(TurnEnd(an_outcome()))
    store.finish(TurnEnd(replace(an_outcome(when=at(1)), **change)))
    store.finish(TurnEnd(an_outcome(when=at(2))))
    assert [one.seen_count for one in store.recent_outcomes(10)] == [1, 1, 1]


def test_an_outcome_with_an_attempt_is_always_a_row_of_its_own(store) -> None:
    for number in range(2):
        attempt = an_attempt(f"attempt-{number}")
        store.begin(attempt)
        store.finish(TurnEnd(an_end(attempt, OutcomeKind.FAILED, at(number))))
    assert len(store.recent_outcomes(10)) == 2


def test_outcomes_come_newest_first_and_not_more_than_asked_for(store) -> None:
    for number in range(3):
        store.finish(TurnEnd(an_outcome(reason=f"reason {number}", when=at(number))))
    store.finish(TurnEnd(an_outcome(reason="elsewhere", when=at(9), target_id="srv02")))
    assert [one.outcome.reason for one in store.recent_outcomes(2)] == ["elsewhere", "reason 2"]
    assert [one.outcome.reason for one in store.recent_outcomes(2, TARGET)] == ["reason 2", "reason 1"]


def test_an_open_incident_shows_its_last_outcome(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    store.finish(TurnEnd(replace(an_outcome(OutcomeKind.SUPPRESSED, reason="came back"), until=at(300))))
    incident = store.open_incidents()[0]
    assert (incident.outcome_kind, incident.outcome_reason) == (OutcomeKind.SUPPRESSED, "came back")
    assert (incident.outcome_until, incident.rule_id) == (at(300), "L1-SSH-001")


def test_an_incident_does_not_show_the_outcome_of_the_one_before_it(store) -> None:
    store.finish(TurnEnd(an_outcome(OutcomeKind.DEFERRED)))
    scan(store, an_observation(Verdict.FAIL), when=at(60))
    assert store.open_incidents()[0].outcome_kind is None


def test_what_machines_said_is_scrubbed_and_cut_before_it_is_kept(store) -> None:
    steps = (StepRecord("set", 1, "x" * 100_000, f"password=hunter2secret {PEM}"),)
    store.finish(TurnEnd(replace(an_outcome(reason="token: abcdefgh1234"), steps=steps)))
    scan(store, an_observation(reason="Authorization: Bearer abc123", facts={"line": PEM}))
    store.record_unreachable("srv02", fault="auth_failed", message="passphrase=opensesame", now=NOON)
    store.finish(TurnEnd(an_outcome(), alerts=[an_alert(document={"key": [PEM]})]))
    everything = repr((store.recent_outcomes(9), store.latest_observations(), store.targets(), store.alerts()))
    for secret in ("hunter2secret", "b3BlbnNzaC1rZXk", "abcdefgh1234", "abc123", "opensesame"):
        assert secret not in everything
    assert len(store.recent_outcomes(9)[-1].outcome.steps[0].output) < 10_000


# --- undo


def an_undo(*, succeeded: bool = True, attempt_id: str = "attempt-1") -> Undo:
    return Undo(attempt_id, succeeded, "alice", "broke the login", at(60), (StepRecord("restore", 0, "", ""),))


def healed(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    store.begin(an_attempt())
    store.finish(TurnEnd(an_end(an_attempt()), observations=[an_observation(Verdict.PASS)]))


def test_an_undone_fix_is_no_relapse_in_history(store) -> None:
    healed(store)
    store.record_undo(an_undo())
    past = store.history(FINGERPRINT, since=EPOCH)[0]
    assert past.undone_at == at(60)


def test_history_has_an_old_fix_that_was_undone_lately(store) -> None:
    healed(store)
    store.record_undo(an_undo())
    assert len(store.history(FINGERPRINT, since=at(60))) == 1
    assert store.history(FINGERPRINT, since=at(61)) == []


def test_an_undo_is_recorded_and_the_attempt_stays_as_it_was(store) -> None:
    healed(store)
    store.record_undo(an_undo())
    assert store.undos("attempt-1") == [an_undo()]
    kept = store.attempt("attempt-1")
    assert kept == FinishedAttempt(an_attempt(), OutcomeKind.REMEDIATED, "as told", NOON, undone_at=at(60))


def test_what_a_fresh_detect_found_after_an_undo_opens_the_incident_again(store) -> None:
    healed(store)
    store.record_undo(an_undo(), observations=[an_observation(Verdict.FAIL, at(60))])
    assert store.opened_at(FINGERPRINT) == at(60)


def test_an_undo_that_failed_is_recorded_and_changes_nothing(store) -> None:
    healed(store)
    store.record_undo(an_undo(succeeded=False))
    assert store.history(FINGERPRINT, since=EPOCH)[0].undone_at is None
    store.record_undo(an_undo())
    assert [undo.succeeded for undo in store.undos("attempt-1")] == [False, True]


def test_what_was_undone_is_not_undone_again(store) -> None:
    healed(store)
    store.record_undo(an_undo())
    with pytest.raises(StoreError, match="undone already"):
        store.record_undo(an_undo())


def test_only_a_finished_attempt_can_be_undone(store) -> None:
    store.begin(an_attempt())
    for attempt_id in ("attempt-1", "no-such"):
        with pytest.raises(StoreError, match="no finished attempt"):
            store.record_undo(an_undo(attempt_id=attempt_id))


# --- alerts


def raised(store, *alerts) -> None:
    store.finish(TurnEnd(an_outcome(), alerts=alerts or (an_alert(),)))


def only(store):
    return store.alerts()[0]


def test_an_alert_is_due_at_once_on_every_channel(store) -> None:
    raised(store)
    assert [one.alert for one in store.due_alerts(NOON, 10, ["webhook"])] == [an_alert()]
    assert only(store).is_due("webhook", NOON)


def test_without_a_channel_no_alert_is_due_and_none_is_lost(store) -> None:
    raised(store)
    assert store.due_alerts(NOON, 10, []) == []
    store.settle_alerts([], now=NOON)
    assert store.counts().alerts == {AlertState.PENDING: 1}


def test_an_alert_that_is_open_is_counted_and_not_queued_again(store) -> None:
    raised(store, an_alert(), an_alert(when=at(60)))
    assert (len(store.alerts()), only(store).raised_count, only(store).last_raised_at) == (1, 2, at(60))


def test_alerts_of_different_keys_are_queued_apart_oldest_first(store) -> None:
    raised(store, an_alert("b", at(1)), an_alert("a", at(2)), an_alert("c", NOON))
    assert [one.alert.dedupe_key for one in store.due_alerts(at(9), 2, ["webhook"])] == ["c", "b"]


def test_an_alert_that_all_channels_took_is_delivered(store) -> None:
    raised(store)
    store.alert_delivered(only(store).alert_id, "webhook")
    store.settle_alerts(["webhook"], now=at(1))
    assert (only(store).state, only(store).settled_at) == (AlertState.DELIVERED, at(1))
    assert store.due_alerts(at(9), 10, ["webhook"]) == []


def test_an_alert_waits_for_the_channel_that_has_not_taken_it(store) -> None:
    raised(store)
    store.alert_delivered(only(store).alert_id, "webhook")
    store.settle_alerts(["webhook", "smtp"], now=at(1))
    assert only(store).state is AlertState.PENDING
    assert store.due_alerts(at(1), 10, ["webhook"]) == []
    assert len(store.due_alerts(at(1), 10, ["webhook", "smtp"])) == 1
    assert not only(store).is_due("webhook", at(1))


def test_a_failed_delivery_is_due_when_its_time_has_come(store) -> None:
    raised(store)
    store.alert_failed(only(store).alert_id, "webhook", error="answered 503", next_try_at=at(30))
    assert store.due_alerts(at(29), 10, ["webhook"]) == []
    due = store.due_alerts(at(30), 10, ["webhook"])[0]
    assert due.deliveries == (ChannelDelivery("webhook", DeliveryState.PENDING, 1, "answered 503", at(30)),)


def test_tries_are_counted_and_a_success_ends_them(store) -> None:
    raised(store)
    for _ in range(2):
        store.alert_failed(only(store).alert_id, "webhook", error="answered 503", next_try_at=at(30))
    store.alert_delivered(only(store).alert_id, "webhook")
    assert only(store).delivery("webhook") == ChannelDelivery("webhook", DeliveryState.DELIVERED, 3)


def test_a_dead_alert_stays_visible_with_its_error(store) -> None:
    raised(store)
    store.alert_failed(only(store).alert_id, "webhook", error="answered 400", next_try_at=None)
    store.settle_alerts(["webhook"], now=at(1))
    assert store.alerts(AlertState.DEAD)[0].delivery("webhook").last_error == "answered 400"
    assert store.counts().alerts == {AlertState.DEAD: 1}


def test_an_alert_that_one_channel_took_and_one_gave_up_is_partly_delivered(store) -> None:
    raised(store)
    store.alert_delivered(only(store).alert_id, "webhook")
    store.alert_failed(only(store).alert_id, "smtp", error="refused", next_try_at=None)
    store.settle_alerts(["webhook", "smtp"], now=at(1))
    assert only(store).state is AlertState.PARTLY_DELIVERED


HOURS = 3600


@pytest.mark.parametrize(
    ("seconds", "queued"),
    [
        pytest.param(24 * HOURS - 1, 1, id="within the repeat interval it is the same alert"),
        pytest.param(24 * HOURS, 2, id="after it people are told again"),
    ],
)
def test_a_delivered_alert_stays_open_for_the_repeat_interval(store, seconds, queued) -> None:
    raised(store)
    store.alert_delivered(only(store).alert_id, "webhook")
    store.settle_alerts(["webhook"], now=NOON)
    raised(store, an_alert(when=at(seconds)))
    assert len(store.alerts()) == queued


def test_the_result_of_an_unknown_alert_is_refused(store) -> None:
    with pytest.raises(StoreError, match="no alert"):
        store.alert_delivered("no-such", "webhook")
    with pytest.raises(StoreError, match="no alert"):
        store.alert_failed("no-such", "webhook", error="", next_try_at=None)


def test_an_error_that_quotes_a_secret_is_scrubbed(store) -> None:
    raised(store)
    store.alert_failed(only(store).alert_id, "webhook", error="Authorization: Bearer abc", next_try_at=NOON)
    assert "abc" not in only(store).delivery("webhook").last_error


# --- pruning

DAY = 86_400


def test_pruning_a_small_young_store_drops_nothing(store) -> None:
    healed(store)
    raised(store)
    assert store.prune(NOON) == {}
    assert store.counts().outcomes == 2


def test_what_is_older_than_the_retention_time_goes_and_is_counted(store) -> None:
    healed(store)
    store.record_undo(an_undo())
    raised(store)
    store.alert_delivered(only(store).alert_id, "webhook")
    store.settle_alerts(["webhook"], now=NOON)
    expected = {
        "outcomes": 2,
        "attempts": 1,
        "incidents": 1,
        "observations": 1,
        "targets": 1,
        "alerts_settled": 1,
    }
    assert store.prune(at(30 * DAY)) == {}
    assert store.prune(at(30 * DAY + 1)) == expected
    assert store.counts().dropped == expected
    assert store.undos("attempt-1") == []


def test_an_unfinished_attempt_is_never_pruned(store) -> None:
    store.begin(an_attempt())
    assert store.prune(at(365 * DAY), Limits(attempts_max=0)) == {}


def test_an_open_incident_of_a_target_that_is_still_tried_is_never_pruned(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    store.record_unreachable(TARGET, fault="refused", message="refused", now=at(365 * DAY))
    assert store.prune(at(365 * DAY)) == {}
    assert store.opened_at(FINGERPRINT) == NOON


def test_a_check_that_a_target_no_longer_gets_is_forgotten(store) -> None:
    scan(store, an_observation(Verdict.FAIL))
    scan(store, an_observation(Verdict.PASS, at(31 * DAY), check_id="LIN-FW-001"), when=at(31 * DAY))
    assert store.prune(at(31 * DAY)) == {"incidents": 1, "observations": 1}


def test_beyond_the_most_outcomes_the_oldest_go(store) -> None:
    for number in range(5):
        store.finish(TurnEnd(an_outcome(reason=f"reason {number}", when=at(number))))
    assert store.prune(NOON, Limits(outcomes_max=2)) == {"outcomes": 3}
    assert [one.outcome.reason for one in store.recent_outcomes(9)] == ["reason 4", "reason 3"]


def test_beyond_the_most_attempts_the_oldest_go(store) -> None:
    for number in range(3):
        attempt = an_attempt(f"attempt-{number}")
        store.begin(attempt)
        store.finish(TurnEnd(an_end(attempt, OutcomeKind.FAILED, at(number))))
    assert store.prune(NOON, Limits(attempts_max=1)) == {"attempts": 2}
    assert isinstance(store.attempt("attempt-2"), FinishedAttempt)


def test_beyond_the_most_alerts_settled_ones_go_before_undelivered_ones(store) -> None:
    raised(store, *(an_alert(f"key {number}", at(number)) for number in range(4)))
    store.alert_delivered(store.alerts()[3].alert_id, "webhook")
    store.settle_alerts(["webhook"], now=at(9))
    assert store.prune(NOON, Limits(alerts_max=2)) == {"alerts_settled": 1, "alerts_undelivered": 1}
    assert [one.alert.dedupe_key for one in store.alerts()] == ["key 1", "key 2"]


def test_what_was_dropped_adds_up(store) -> None:
    for number in range(4):
        store.finish(TurnEnd(an_outcome(reason=f"reason {number}", when=at(number))))
    store.prune(NOON, Limits(outcomes_max=3))
    store.prune(NOON, Limits(outcomes_max=1))
    assert store.counts().dropped == {"outcomes": 3}


def test_a_time_without_zone_is_refused(tmp_path) -> None:
    with SqliteStore(tmp_path / "state.db") as store, pytest.raises(ValueError, match="time zone"):
        store.prune(datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused


# --- outbox


def entries(store) -> dict[OutboxClass, tuple[int, int]]:
    return {kind: (numbers.waiting, numbers.size_bytes) for kind, numbers in store.counts().outbox.items()}


def test_what_is_attached_commits_with_the_outcome(store) -> None:
    store.finish(TurnEnd(an_outcome(), attachments=Attachments([an_entry(1), an_entry(2)])))
    assert entries(store) == {OutboxClass.TELEMETRY: (2, 14)}


def test_what_is_attached_to_an_end_that_fails_is_not_kept(store) -> None:
    with pytest.raises(StoreError):
        store.finish(TurnEnd(an_end(an_attempt()), attachments=Attachments([an_entry()])))
    assert entries(store) == {}


def test_an_outcome_that_only_repeats_is_not_told_again(store) -> None:
    for number in range(3):
        store.finish(TurnEnd(an_outcome(when=at(number)), attachments=Attachments([an_entry(number)])))
    assert entries(store) == {OutboxClass.TELEMETRY: (1, 7)}


def test_a_scan_and_an_undo_carry_attachments_too(store) -> None:
    store.record_scan(TARGET, [], site_id=SITE, now=NOON, attachments=Attachments([an_entry(1)]))
    healed(store)
    store.record_undo(an_undo(), attachments=Attachments([an_entry(2)]))
    store.attach(Attachments([an_entry(3, OutboxClass.HEARTBEAT)]))
    assert entries(store) == {OutboxClass.HEARTBEAT: (1, 7), OutboxClass.TELEMETRY: (2, 14)}


def test_an_entry_is_enqueued_once_whatever_is_asked(store) -> None:
    for _ in range(2):
        store.attach(Attachments([an_entry(1), an_entry(1)]))
    assert store.counts().outbox == {
        OutboxClass.TELEMETRY: OutboxCounts(1, 0, 7, NOON, {OutboxFate.ENQUEUED: 1}),
    }


def attach(store, *added) -> None:
    store.attach(Attachments(added))


def waiting(store, when=NOON, rows_max: int = 99, bytes_max: int = 10_000) -> list[int]:
    due = store.due_entries(when, rows_max=rows_max, bytes_max=bytes_max)
    return [int(row.entry.entry_id[-12:], 16) for row in due]


def settle(store, *settlements, state=None, when=NOON, late_after_s: float = 900) -> None:
    store.record_sending(settlements, state or UplinkState(), now=when, late_after_s=late_after_s)


def settlement(number: int, fate: EntryFate, reason: str = "", next_try_at=None) -> Settlement:
    return Settlement(an_entry(number).entry_id, fate, reason, next_try_at)


def fates(store, kind: OutboxClass = OutboxClass.TELEMETRY) -> dict[OutboxFate, int]:
    return dict(store.counts().outbox[kind].fates)


def test_heartbeats_are_sent_first_then_evidence_then_telemetry_each_oldest_first(store) -> None:
    for number, kind in enumerate("ttehhe"):
        attach(store, an_entry(number, {"t": TELEMETRY, "e": EVIDENCE, "h": HEARTBEAT}[kind]))
    assert waiting(store) == [3, 4, 2, 5, 0, 1]


def test_a_batch_keeps_its_bounds(store) -> None:
    attach(store, *(an_entry(number, body=b"1" * 10) for number in range(5)))
    assert waiting(store, rows_max=3) == [0, 1, 2]
    assert waiting(store, bytes_max=25) == [0, 1]
    assert waiting(store, bytes_max=5) == [0]


def test_what_was_taken_is_gone_and_counted(store) -> None:
    attach(store, an_entry(1), an_entry(2))
    settle(store, settlement(1, EntryFate.TAKEN), settlement(2, EntryFate.HAD), when=at(900))
    assert waiting(store) == []
    assert fates(store) == {OutboxFate.ENQUEUED: 2, OutboxFate.DELIVERED: 2, OutboxFate.DUPLICATE: 1}


@pytest.mark.parametrize(("seconds", "late"), [(900, 0), (901, 1)])
def test_what_was_delivered_late_is_counted(store, seconds, late) -> None:
    attach(store, an_entry(1))
    settle(store, settlement(1, EntryFate.TAKEN), when=at(seconds))
    assert fates(store).get(OutboxFate.LATE, 0) == late


def test_what_is_asked_for_again_waits_until_then(store) -> None:
    attach(store, an_entry(1), an_entry(2))
    settle(store, settlement(1, EntryFate.AGAIN, "busy", at(30)))
    assert waiting(store, at(29)) == [2]
    assert waiting(store, at(30)) == [1, 2]
    row = store.due_entries(at(30), rows_max=1, bytes_max=99)[0]
    assert (row.tries, row.last_error) == (1, "busy")


def test_what_can_never_be_taken_is_dead_with_its_reason_and_not_sent_again(store) -> None:
    attach(store, an_entry(1))
    settle(store, settlement(1, EntryFate.HOPELESS, "answered 422"), when=at(5))
    assert waiting(store) == []
    (row,) = store.dead_entries()
    assert (row.entry, row.last_error, row.dead_at, row.tries) == (an_entry(1), "answered 422", at(5), 1)
    assert fates(store) == {OutboxFate.ENQUEUED: 1, OutboxFate.DEAD: 1}


def test_an_answer_that_comes_twice_counts_once(store) -> None:
    attach(store, an_entry(1))
    for _ in range(2):
        settle(store, settlement(1, EntryFate.TAKEN))
    assert fates(store) == {OutboxFate.ENQUEUED: 1, OutboxFate.DELIVERED: 1}


def test_a_reason_that_quotes_a_secret_is_scrubbed(store) -> None:
    attach(store, an_entry(1))
    settle(store, settlement(1, EntryFate.HOPELESS, "password=hunter2x"), state=UplinkState(trouble="token=abc1234x"))
    assert "hunter2x" not in store.dead_entries()[0].last_error
    assert "abc1234x" not in store.uplink().trouble


def test_how_the_conversation_stands_is_kept(store) -> None:
    assert store.uplink() == UplinkState()
    state = UplinkState(3, at(1), at(0), at(60), "no route")
    settle(store, state=state)
    assert store.uplink() == state


def dead(store, *numbers: int) -> None:
    attach(store, *(an_entry(number) for number in numbers))
    settle(store, *(settlement(number, EntryFate.HOPELESS, "answered 422") for number in numbers))


def test_a_dead_entry_that_is_put_back_is_sent_again_in_its_old_place(store) -> None:
    dead(store, 1)
    attach(store, an_entry(2))
    action = DeadAction(False, "alice", "the server was mended", at(60))
    assert store.act_on_dead([an_entry(1).entry_id], action) == [an_entry(1).entry_id]
    assert waiting(store) == [1, 2]
    assert store.dead_actions() == [(an_entry(1).entry_id, action)]
    assert fates(store)[OutboxFate.REVIVED] == 1


def test_a_dead_entry_that_is_dropped_is_gone_counted_and_recorded(store) -> None:
    dead(store, 1, 2)
    action = DeadAction(True, "alice", "a test of ours", at(60))
    assert store.act_on_dead(None, action) == [an_entry(1).entry_id, an_entry(2).entry_id]
    assert store.dead_entries() == []
    assert fates(store)[OutboxFate.DISCARDED] == 2
    assert [entry_id[-1] for entry_id, _ in store.dead_actions()] == ["1", "2"]


def test_an_id_that_is_not_dead_is_refused_and_nothing_is_done(store) -> None:
    dead(store, 1)
    attach(store, an_entry(2))
    for other in (an_entry(2).entry_id, "no-such"):
        with pytest.raises(StoreError, match="no dead entry"):
            store.act_on_dead([an_entry(1).entry_id, other], DeadAction(True, "alice", "", NOON))
    assert len(store.dead_entries()) == 1
    assert store.dead_actions() == []


@pytest.mark.parametrize(
    ("kind", "age_s"), [(HEARTBEAT, 3_600), (TELEMETRY, 30 * DAY), (EVIDENCE, 2_192 * DAY)], ids=str
)
def test_what_is_too_old_is_dropped_and_counted_by_class(store, kind, age_s) -> None:
    attach(store, an_entry(1, kind))
    assert store.expire_outbox(at(age_s)) == 0
    assert store.expire_outbox(at(age_s + 1)) == 1
    assert fates(store, kind) == {OutboxFate.ENQUEUED: 1, OutboxFate.DROPPED_AGE: 1}


def test_the_dead_do_not_age(store) -> None:
    dead(store, 1)
    assert store.expire_outbox(at(9_999 * DAY)) == 0


@pytest.fixture(params=["sqlite", "memory"])
def small(request, tmp_path):
    limits = OutboxLimits(rows_max=3, bytes_max=100)
    path = tmp_path / "state.db"
    kept = SqliteStore(path, outbox_limits=limits) if request.param == "sqlite" else MemoryStore(outbox_limits=limits)
    with kept:
        yield kept


def test_a_full_outbox_drops_heartbeats_then_telemetry_then_evidence_oldest_first(small) -> None:
    attach(small, an_entry(1, EVIDENCE), an_entry(2, TELEMETRY), an_entry(3, HEARTBEAT))
    kept = []
    for number in range(4, 8):
        attach(small, an_entry(number, EVIDENCE))
        kept.append(waiting(small))
    assert kept == [[1, 4, 2], [1, 4, 5], [4, 5, 6], [5, 6, 7]]
    assert fates(small, EVIDENCE)[OutboxFate.DROPPED_FULL] == 2


def test_evidence_is_not_dropped_for_what_it_outranks(small) -> None:
    attach(small, *(an_entry(number, EVIDENCE) for number in range(3)))
    attach(small, an_entry(3, TELEMETRY), an_entry(4, HEARTBEAT))
    assert waiting(small) == [0, 1, 2]
    assert fates(small, TELEMETRY) == {OutboxFate.ENQUEUED: 1, OutboxFate.DROPPED_FULL: 1}


def test_the_dead_go_before_those_of_their_class_that_wait(small) -> None:
    attach(small, an_entry(1))
    dead(small, 2)
    attach(small, an_entry(3), an_entry(4))
    assert waiting(small) == [1, 3, 4]
    assert small.dead_entries() == []


def test_dead_evidence_outlives_telemetry(small) -> None:
    attach(small, an_entry(1, EVIDENCE))
    settle(small, settlement(1, EntryFate.HOPELESS, "answered 422"))
    attach(small, *(an_entry(number) for number in range(2, 6)))
    assert len(small.dead_entries()) == 1
    assert waiting(small) == [4, 5]


def test_bytes_are_bounded_too(small) -> None:
    attach(small, an_entry(1, body=b"1" * 60))
    attach(small, an_entry(2, body=b"1" * 40))
    assert waiting(small) == [1, 2]
    attach(small, an_entry(3, body=b"1"))
    assert waiting(small) == [2, 3]


def test_an_entry_larger_than_the_whole_outbox_displaces_nothing(small) -> None:
    attach(small, an_entry(1, HEARTBEAT))
    attach(small, an_entry(2, body=b"1" * 101))
    assert waiting(small) == [1]
    assert fates(small) == {OutboxFate.ENQUEUED: 1, OutboxFate.DROPPED_SIZE: 1}


def test_an_entry_of_exactly_the_size_of_the_outbox_fits(small) -> None:
    attach(small, an_entry(1, body=b"1" * 100))
    assert waiting(small) == [1]
