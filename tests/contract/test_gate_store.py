"""What every store promises of the gate's memory: the file and the one in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from compliance_agent.adapters.store import MemoryStore, SqliteStore, Undo
from compliance_agent.domain.evidence.drafts import ActionKind
from compliance_agent.domain.gate import Allow, BlastLimits, FlapPolicy, Hold
from compliance_agent.domain.gate.flap import FRESH, FlapEvent, FlapEventKind, FlapUpdate, Phase
from compliance_agent.domain.gate.ledger import (
    ChangeFlap,
    Charge,
    EndApproval,
    EndWaiver,
    Forgive,
    GateEnd,
    SetApproval,
    SetPause,
    SetWaiver,
)
from compliance_agent.domain.gate.people import (
    Approval,
    ApprovalRequest,
    Pause,
    PersonAction,
    Term,
    Told,
    Waiver,
)
from compliance_agent.domain.gate.suppression import judge
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.timeline import Instant
from compliance_agent.domain.turn_end import TurnEnd
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.errors import StoreError
from compliance_agent.testing import NOON
from tests.support.state import (
    CHECK,
    FINGERPRINT,
    SITE,
    TARGET,
    an_alert,
    an_attempt,
    an_end,
    an_observation,
    an_outcome,
)

TERM = Term(NOON + timedelta(hours=2), 7_200.0)
ACTION = PersonAction(ActionKind.PAUSED, "ann", "works", NOON, details={"a": 1})


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    kept = SqliteStore(tmp_path / "state" / "state.db") if request.param == "sqlite" else MemoryStore()
    with kept:
        yield kept


def instant(seconds: float = 0.0) -> Instant:
    return Instant(NOON + timedelta(seconds=seconds), "b", seconds, seconds, seconds)


def a_charge(seconds: float = 0.0, **limits: int) -> Charge:
    return Charge(instant(seconds), BlastLimits(**limits))


def an_update(*kinds: FlapEventKind, seconds: float = 0.0) -> FlapUpdate:
    events = tuple(FlapEvent(kind, seconds, NOON + timedelta(seconds=seconds), digest="d") for kind in kinds)
    return FlapUpdate(FINGERPRINT, SITE, TARGET, CHECK, events, FlapPolicy())


def tries(store, since_s: float = 0.0, since_uptime_s: float = -1.0):
    return store.tries(SITE, target_id=TARGET, since_s=since_s, since_uptime_s=since_uptime_s)


def test_an_empty_store_remembers_nothing(store):
    assert (store.last_instant(), store.pause(), store.flap(FINGERPRINT)) == (None, None, None)
    assert (tries(store), store.flaps(), store.waivers(), store.requests(), store.actions(9)) == ([], [], [], [], [])
    assert (store.waiver(TARGET, CHECK), store.approval("i"), dict(store.forgiven())) == (None, None, {})


def test_the_instant_is_kept_and_never_goes_back(store):
    store.keep_instant(instant(100))
    store.keep_instant(instant(5))
    assert store.last_instant() == instant(100)
    store.keep_instant(instant(130))
    assert store.last_instant() == instant(100), "a recent one is left as it is"
    store.keep_instant(instant(160))
    assert store.last_instant() == instant(160)


def test_a_begin_takes_a_token_and_its_end_is_remembered(store):
    assert store.begin(an_attempt(), a_charge(10)) is None
    (one,) = tries(store)
    assert (one.attempt_id, one.begun_s, one.outcome, one.ended_s) == ("attempt-1", 10, None, None)
    end = an_end(an_attempt(), OutcomeKind.FAILED)
    store.finish(TurnEnd(end, gate=GateEnd(instant(25))))
    (one,) = tries(store)
    assert (one.outcome, one.ended_s, one.reason) == (OutcomeKind.FAILED, 25, "as told")


@pytest.mark.parametrize(
    ("change", "undone"),
    [
        (SetPause(Pause("ann", "works", NOON, TERM)), SetPause(None)),
        (SetWaiver(Waiver(TARGET, CHECK, "ann", "accepted", NOON, TERM)), EndWaiver(TARGET, CHECK)),
    ],
    ids=["pause", "waiver"],
)
def test_what_a_person_commands_between_plan_and_deed_holds_the_deed(store, change, undone):
    store.record_action(ACTION, [change])
    assert isinstance(store.begin(an_attempt(), a_charge(10)), Hold)
    assert (store.attempt("attempt-1"), tries(store)) == (None, [])
    assert store.begin(an_attempt(), a_charge(7_201)) is None  # its time is over
    store.finish(TurnEnd(an_end(an_attempt()), gate=GateEnd(instant(7_202))))
    store.record_action(ACTION, [change])
    store.record_action(ACTION, [undone])
    assert store.begin(an_attempt("attempt-2"), a_charge(20)) is None


def test_a_begin_beyond_a_limit_is_refused_and_writes_nothing(store):
    assert store.begin(an_attempt(), a_charge(0, target_hour=1)) is None
    store.finish(TurnEnd(an_end(an_attempt()), gate=GateEnd(instant(1))))
    refused = store.begin(an_attempt("attempt-2"), a_charge(2, target_hour=1))
    assert isinstance(refused, Hold)
    assert (store.attempt("attempt-2"), len(tries(store))) == (None, 1)
    assert store.begin(an_attempt("attempt-2"), a_charge(3_600, target_hour=1)) is None


def test_a_begin_that_fails_uses_nothing_up(store):
    store.begin(an_attempt(), a_charge())
    with pytest.raises(StoreError, match="has not ended"):
        store.begin(an_attempt("attempt-2"), replace(a_charge(9), flap=an_update(FlapEventKind.VERIFY_FAILED)))
    assert len(tries(store)) == 1
    assert store.flap(FINGERPRINT) is None


def test_an_attempt_that_a_crash_cut_off_ended_no_earlier_than_is_known(store):
    store.begin(an_attempt(), a_charge(10))
    store.keep_instant(instant(500))
    store.finish(TurnEnd(an_end(an_attempt(), OutcomeKind.INTERRUPTED)))
    assert tries(store)[0].ended_s == 500


def test_tries_are_found_by_uptime_at_the_site_and_by_elapsed_time_on_the_target(store):
    for number, target in enumerate((TARGET, "other")):
        attempt = an_attempt(f"attempt-{number}", target_id=target)
        store.begin(attempt, a_charge(number))
        store.finish(TurnEnd(an_end(attempt), gate=GateEnd(instant(100))))
    assert [one.target_id for one in tries(store, since_s=0, since_uptime_s=-1)] == [TARGET, "other"]
    assert [one.target_id for one in tries(store, since_s=100, since_uptime_s=50)] == [TARGET]
    assert tries(store, since_s=101, since_uptime_s=50) == []


def test_events_of_a_flap_are_applied_to_what_is_there(store):
    store.change_flap(an_update(FlapEventKind.FIXED, FlapEventKind.RELAPSE))
    store.change_flap(an_update(FlapEventKind.FIXED, FlapEventKind.RELAPSE, seconds=60))
    row = store.flap(FINGERPRINT)
    assert (row.place, row.state.total, row.state.phase) == (f"{TARGET}/{CHECK}", 2, Phase.CLOSED)
    assert row.state.fast == pytest.approx(1_998.075, abs=0.01)
    assert store.flaps() == [row]


def test_the_end_of_a_turn_moves_the_flap_with_it(store):
    store.finish(TurnEnd(an_outcome(), gate=GateEnd(instant(5), an_update(FlapEventKind.VERIFY_FAILED, seconds=5))))
    assert store.flap(FINGERPRINT).state.failed_verifies == 1
    assert store.last_instant() == instant(5)


def test_an_undone_fix_is_no_relapse_later(store):
    store.begin(an_attempt(), a_charge())
    end = GateEnd(instant(1), an_update(FlapEventKind.FIXED, seconds=1))
    store.finish(TurnEnd(an_end(an_attempt()), gate=end))
    store.record_undo(Undo("attempt-1", succeeded=True, actor="ann", reason="no", at=NOON), at_s=50.0)
    assert store.flap(FINGERPRINT).state.fixed_s is None
    assert tries(store)[0].undone_s == 50


def test_what_people_did_is_kept_with_name_and_reason(store):
    store.record_action(ACTION, [SetPause(Pause("ann", "works", NOON, TERM))])
    store.record_action(replace(ACTION, kind=ActionKind.RESUMED, reason="password=hunter2hunter2"), [SetPause(None)])
    newest, oldest = store.actions(9)
    assert oldest == ACTION
    assert (newest.kind, "hunter2" in newest.reason) == (ActionKind.RESUMED, False)
    assert store.actions(1) == [newest]


def test_pauses_waivers_approvals_and_forgiveness_come_back_as_they_were(store):
    pause = Pause("ann", "works", NOON, TERM)
    waiver = Waiver(TARGET, CHECK, "ann", "replaced in May", NOON, TERM)
    approval = Approval("i-1", "digest", "ann", "tonight", NOON, TERM)
    store.record_action(ACTION, [SetPause(pause), SetWaiver(waiver), SetApproval(approval), Forgive(TARGET, 1.5)])
    assert (store.pause(), store.waiver(TARGET, CHECK), store.approval("i-1")) == (pause, waiver, approval)
    assert dict(store.forgiven()) == {TARGET: 1.5}
    store.record_action(ACTION, [SetPause(None), EndWaiver(TARGET, CHECK)])
    assert (store.pause(), store.waivers()) == (None, [])


def test_a_waiver_is_told_of_once_and_only_as_it_was_read(store):
    store.record_action(ACTION, [SetWaiver(Waiver(TARGET, CHECK, "ann", "accepted", NOON, TERM))])
    (read,) = store.waivers()
    assert store.tell_of_waiver(read, Told.SOON, an_alert())
    assert not store.tell_of_waiver(read, Told.SOON, an_alert()), "it was told of since"
    (told,) = store.waivers()
    store.record_action(ACTION, [SetWaiver(replace(read, reason="renewed"))])
    assert not store.tell_of_waiver(told, Told.OVER, an_alert()), "it was renewed since"
    (renewed,) = store.waivers()
    store.record_action(ACTION, [EndWaiver(TARGET, CHECK)])
    assert not store.tell_of_waiver(renewed, Told.SOON, an_alert()), "it was withdrawn since"
    assert [one.raised_count for one in store.alerts()] == [1]


def test_an_approval_and_its_request_are_used_up_as_the_attempt_begins(store):
    request = ApprovalRequest("i-1", TARGET, CHECK, "digest", "run it", NOON)
    store.finish(TurnEnd(an_outcome(OutcomeKind.AWAITING_APPROVAL), gate=GateEnd(instant(), request=request)))
    assert store.requests() == [request]
    store.record_action(ACTION, [SetApproval(Approval("i-1", "digest", "ann", "yes", NOON, TERM))])
    assert store.begin(an_attempt(), replace(a_charge(), approval="i-1", plan_digest="digest")) is None
    assert (store.requests(), store.approval("i-1")) == ([], None)


APPROVAL = Approval("i-1", "digest", "ann", "yes", NOON, TERM)


@pytest.mark.parametrize(
    ("changes", "seconds", "digest"),
    [
        ([], 0, "digest"),
        ([SetApproval(APPROVAL), EndApproval("i-1")], 0, "digest"),
        ([SetApproval(APPROVAL)], 0, "another plan"),
        ([SetApproval(APPROVAL)], 7_200, "digest"),
    ],
    ids=["none", "withdrawn", "of another plan", "expired"],
)
def test_a_begin_that_needs_an_approval_is_refused_without_one_that_stands(store, changes, seconds, digest):
    for one in changes:
        store.record_action(ACTION, [one])
    refused = store.begin(an_attempt(), replace(a_charge(seconds), approval="i-1", plan_digest=digest))
    assert isinstance(refused, Hold)
    assert (store.attempt("attempt-1"), tries(store)) == (None, [])


def test_an_approval_is_good_until_the_last_moment(store):
    store.record_action(ACTION, [SetApproval(APPROVAL)])
    charge = replace(a_charge(7_199), approval="i-1", plan_digest="digest")
    assert store.begin(an_attempt(), charge) is None


def test_an_approval_that_was_used_cannot_be_withdrawn_and_nothing_is_kept_of_the_try(store):
    store.record_action(ACTION, [SetApproval(APPROVAL)])
    store.begin(an_attempt(), replace(a_charge(), approval="i-1", plan_digest="digest"))
    with pytest.raises(StoreError, match="no approval of incident i-1 to withdraw"):
        store.record_action(replace(ACTION, kind=ActionKind.APPROVAL_WITHDRAWN), [EndApproval("i-1")])
    assert [one.kind for one in store.actions(9)] == [ACTION.kind]


def test_a_persons_hold_of_a_check_between_plan_and_deed_holds_the_deed(store):
    held = FlapEvent(FlapEventKind.HELD, 5, NOON, until_s=100)
    store.record_action(ACTION, [ChangeFlap(replace(an_update(), events=(held,)))])
    assert isinstance(store.begin(an_attempt(), a_try_of(10)), Hold)
    assert store.begin(an_attempt(), a_try_of(100)) is None


def a_try_of(seconds: float) -> Charge:
    return replace(a_charge(seconds), flap=an_update(FlapEventKind.TRIED, seconds=seconds))


def test_a_plan_waits_for_nobody_once_its_check_passes(store):
    request = ApprovalRequest("i-1", TARGET, CHECK, "digest", "run it", NOON)
    other = ApprovalRequest("i-2", TARGET, "LIN-OTHER-001", "digest", "run it", NOON)
    for one in (request, other):
        store.finish(TurnEnd(an_outcome(OutcomeKind.AWAITING_APPROVAL), gate=GateEnd(instant(), request=one)))
    store.record_action(ACTION, [SetApproval(APPROVAL)])
    store.record_scan(TARGET, [an_observation(verdict=Verdict.ERROR)], site_id=SITE, now=NOON)
    assert store.requests() == [request, other]
    store.record_scan(TARGET, [an_observation(verdict=Verdict.PASS)], site_id=SITE, now=NOON)
    assert (store.requests(), store.approvals()) == ([other], [])


def test_a_request_keeps_its_time_until_the_plan_changes(store):
    request = ApprovalRequest("i-1", TARGET, CHECK, "digest", "run it", NOON)
    for one in (request, replace(request, at=NOON + timedelta(hours=1))):
        store.finish(TurnEnd(an_outcome(OutcomeKind.AWAITING_APPROVAL), gate=GateEnd(instant(), request=one)))
    assert store.requests() == [request]
    changed = replace(request, plan_digest="other", at=NOON + timedelta(hours=2))
    store.finish(TurnEnd(an_outcome(OutcomeKind.AWAITING_APPROVAL), gate=GateEnd(instant(), request=changed)))
    assert store.requests() == [changed]


def test_a_cleared_flap_can_be_put_back(store):
    store.change_flap(an_update(FlapEventKind.FIXED, FlapEventKind.RELAPSE))
    before = store.flap(FINGERPRINT)
    store.record_action(ACTION, [ChangeFlap(an_update(FlapEventKind.CLEARED))])
    assert store.flap(FINGERPRINT).state.fast == FRESH.fast
    store.record_action(ACTION, [ChangeFlap(an_update(FlapEventKind.RESTORED))])
    assert store.flap(FINGERPRINT) == before


def test_a_cleared_flap_that_is_put_back_keeps_what_came_back_since(store):
    store.change_flap(an_update(FlapEventKind.FIXED, FlapEventKind.RELAPSE))
    store.record_action(ACTION, [ChangeFlap(an_update(FlapEventKind.CLEARED, seconds=10))])
    store.change_flap(an_update(FlapEventKind.FIXED, FlapEventKind.RELAPSE, seconds=60))
    store.record_action(ACTION, [ChangeFlap(an_update(FlapEventKind.RESTORED, seconds=70))])
    state = store.flap(FINGERPRINT).state
    assert (state.total, state.before) == (2, None)
    assert state.fast == pytest.approx(1_998.075, abs=0.01)


def a_fix(store, attempt_id: str, seconds: float) -> None:
    store.begin(an_attempt(attempt_id), a_charge(seconds))
    gate = GateEnd(instant(seconds + 1), an_update(FlapEventKind.FIXED, seconds=seconds + 1))
    store.finish(TurnEnd(an_end(an_attempt(attempt_id)), gate=gate))


def undo(store, attempt_id: str) -> None:
    store.record_undo(Undo(attempt_id, succeeded=True, actor="ann", reason="no", at=NOON), at_s=500.0)


def test_undoing_an_older_attempt_leaves_the_newer_fix_that_may_come_back(store):
    a_fix(store, "attempt-1", 0)
    a_fix(store, "attempt-2", 100)
    undo(store, "attempt-1")
    assert store.flap(FINGERPRINT).state.fixed_s == 101
    undo(store, "attempt-2")
    assert store.flap(FINGERPRINT).state.fixed_s is None


def test_the_single_try_of_a_flap_is_used_up_once_though_a_crash_cuts_it_off(store):
    store.change_flap(an_update(*[FlapEventKind.FIXED, FlapEventKind.RELAPSE] * 3))
    store.record_action(ACTION, [ChangeFlap(an_update(FlapEventKind.ARMED))])
    assert judged(store, 60) == Allow("one try after a pause")
    store.begin(an_attempt(), replace(a_charge(60), flap=an_update(FlapEventKind.TRIED, seconds=60)))
    interrupt_unfinished(store, now=NOON)
    assert isinstance(judged(store, 61), Hold)


def judged(store, seconds: float):
    state = store.flap(FINGERPRINT).state
    return judge(state, FlapPolicy(), digest="d", unattended=True, place="p", now=instant(seconds))


def test_the_gates_memory_survives_a_restart(tmp_path):
    with SqliteStore(tmp_path / "state.db") as store:
        store.begin(an_attempt(), replace(a_charge(7), flap=an_update(FlapEventKind.VERIFY_FAILED)))
        kept = (store.last_instant(), tries(store), store.flaps())
    with SqliteStore(tmp_path / "state.db") as store:
        assert (store.last_instant(), tries(store), store.flaps()) == kept
