from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.evidence.drafts import ActionKind
from compliance_agent.domain.gate import BlastLimits, GatePolicy
from compliance_agent.domain.gate.ledger import EndApproval, SetApproval, SetPause
from compliance_agent.domain.gate.people import Approval, Pause, PersonAction, Term
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.target import Mode
from compliance_agent.engine.cycle import apply_turn, plan_turn, run_turn
from compliance_agent.errors import StoreError
from compliance_agent.testing import FakeClock
from tests.support.turns import NOON, make_world, rule, unreachable

if TYPE_CHECKING:
    from compliance_agent.domain.outcome import Attempt

HEALS, NO_HELP, BREAKS = "TEST-FILE-001", "TEST-FILE-002", "TEST-FILE-003"


def test_a_clean_machine_has_nothing_to_plan(tmp_path):
    world = make_world(tmp_path, HEALS)
    turn = world.turn()
    assert [seen.verdict for seen in turn.scan.observations] == [Verdict.PASS]
    assert turn.items == ()


def test_a_dry_run_foretells_and_changes_nothing(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    outcome = world.outcome(dry_run=True)
    assert outcome.kind is OutcomeKind.WOULD_CHANGE
    assert not outcome.kind.is_success
    assert world.says(HEALS) == "bad"
    assert world.store.counts().outcomes == 0
    assert world.transport.opens == 1


def test_drift_is_healed_and_verified_by_a_fresh_detect(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.REMEDIATED
    assert world.says(HEALS) == "good"
    assert world.transport.opens == 3  # scan, deed, fresh detect
    assert world.store.open_incidents() == []
    assert world.turn().items == ()


def test_the_intent_is_durable_before_the_deed(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    unfinished: list[int] = []
    world.transport.before_run = lambda _number: unfinished.append(world.store.counts().unfinished_attempts)
    world.turn()
    assert unfinished == [0, 1, 1]


def test_without_a_durable_intent_nothing_is_done(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")

    def refuse(_attempt: Attempt, _charge: object = None) -> None:
        raise StoreError("the disk is full")

    world.store.begin = refuse  # type: ignore[method-assign,assignment]
    assert world.turn().trouble == "the disk is full"
    assert world.says(HEALS) == "bad"


def test_a_remedy_that_does_not_help_is_verify_failed_and_rolled_back(tmp_path):
    world = make_world(tmp_path, NO_HELP)
    world.say(NO_HELP, "bad")
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.VERIFY_FAILED
    assert "rolled back" in outcome.reason
    assert world.says(NO_HELP) == "bad"


def test_a_remedy_that_breaks_in_the_middle_is_failed_and_rolled_back(tmp_path):
    world = make_world(tmp_path, BREAKS)
    world.say(BREAKS, "bad")
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.FAILED
    assert "cannot go on" in outcome.reason
    assert world.says(BREAKS) == "bad"
    assert [record.exit_code for record in outcome.steps] == [7, 0]


def test_a_target_that_cannot_be_reached_has_no_drift_and_keeps_its_incident(tmp_path):
    world = make_world(tmp_path, NO_HELP)
    world.say(NO_HELP, "bad")
    world.turn()
    world.transport.trouble[world.transport.opens + 1] = unreachable()
    turn = world.turn()
    assert turn.scan.unreached is not None
    assert turn.scan.unreached.hint == "start it"
    assert turn.scan.observations == ()
    assert turn.outcomes == ()
    assert len(world.store.open_incidents()) == 1


def test_a_target_lost_before_the_deed_is_unreachable_never_a_failed_heal(tmp_path):
    world = make_world(tmp_path, HEALS, policy=GatePolicy(cooldown_s=0, attempts_max=1))
    world.say(HEALS, "bad")
    world.transport.trouble[2] = unreachable()
    assert world.outcome().kind is OutcomeKind.UNREACHABLE
    assert world.outcome().kind is OutcomeKind.REMEDIATED


def test_a_connection_that_breaks_after_the_deed_is_settled_by_a_fresh_detect(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    world.transport.cuts.add(2)
    assert world.outcome().kind is OutcomeKind.REMEDIATED


def test_a_connection_that_stays_away_leaves_the_attempt_interrupted(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    world.transport.cuts.add(2)
    world.transport.trouble[3] = unreachable()
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.INTERRUPTED
    assert "nobody listens" in outcome.reason


def test_after_a_lost_target_the_rest_waits_for_the_next_turn(tmp_path):
    world = make_world(tmp_path, HEALS, NO_HELP)
    world.say(HEALS, "bad")
    world.say(NO_HELP, "bad")
    world.transport.trouble[2] = unreachable()
    assert [outcome.kind for outcome in world.turn().outcomes] == [OutcomeKind.UNREACHABLE]


def test_a_fix_that_comes_back_three_times_is_suppressed_and_somebody_is_told(tmp_path):
    world = make_world(tmp_path, HEALS)
    for _ in range(3):
        world.say(HEALS, "bad")
        assert world.outcome().kind is OutcomeKind.REMEDIATED
    world.say(HEALS, "bad")
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.SUPPRESSED
    assert "came back 3 times" in outcome.reason
    assert outcome.until is not None
    assert world.says(HEALS) == "bad"
    (queued,) = world.store.alerts()
    assert "healing is paused" in queued.alert.summary


def test_suppression_stops_dispatch_only(tmp_path):
    world = make_world(tmp_path, HEALS)
    for _ in range(4):
        world.say(HEALS, "bad")
        world.turn()
    turn = world.turn()
    assert [seen.verdict for seen in turn.scan.observations] == [Verdict.FAIL]
    assert len(world.store.open_incidents()) == 1


def test_the_suppressed_incident_does_not_grow_the_store_at_every_scan(tmp_path):
    world = make_world(tmp_path, HEALS)
    for _ in range(4):
        world.say(HEALS, "bad")
        world.turn()
    before = world.store.counts().outcomes
    world.turn()
    world.turn()
    assert world.store.counts().outcomes == before


def test_failed_attempts_are_escalated_to_a_person_once(tmp_path):
    world = make_world(tmp_path, BREAKS)
    world.say(BREAKS, "bad")
    assert [world.outcome().kind for _ in range(5)] == [OutcomeKind.FAILED] * 3 + [OutcomeKind.ESCALATED] * 2
    assert len(world.store.alerts()) == 1


def test_a_fix_that_does_not_help_three_times_is_suppressed_and_a_person_told_once(tmp_path):
    world = make_world(tmp_path, NO_HELP)
    world.say(NO_HELP, "bad")
    assert [world.outcome().kind for _ in range(5)] == [OutcomeKind.VERIFY_FAILED] * 3 + [OutcomeKind.SUPPRESSED] * 2
    (alert,) = world.store.alerts()
    assert "flaps clear front-desk/TEST-FILE-002" in str(alert.alert.document["clear_with"])


def test_the_cooldown_defers_the_next_attempt(tmp_path):
    world = make_world(tmp_path, HEALS, policy=GatePolicy(cooldown_s=3600))
    world.say(HEALS, "bad")
    world.turn()
    world.say(HEALS, "bad")
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.DEFERRED
    assert world.says(HEALS) == "bad"


def test_drift_without_a_rule_is_unmatched_and_left_alone(tmp_path):
    world = make_world(tmp_path, HEALS, rules=[])
    world.say(HEALS, "bad")
    assert world.outcome().kind is OutcomeKind.UNMATCHED
    assert world.says(HEALS) == "bad"


@pytest.mark.parametrize(
    ("action", "kind"), [("alert:front-desk", OutcomeKind.ALERTED), ("escalate:look at it", OutcomeKind.ESCALATED)]
)
def test_telling_a_person_goes_to_the_durable_queue_once(tmp_path, action, kind):
    world = make_world(tmp_path, HEALS, rules=[rule(HEALS, action)])
    world.say(HEALS, "bad")
    assert [world.outcome().kind for _ in range(3)] == [kind] * 3
    (queued,) = world.store.alerts()
    assert queued.alert.document["check_id"] == HEALS
    assert world.says(HEALS) == "bad"


def test_a_dry_run_tells_nobody(tmp_path):
    world = make_world(tmp_path, HEALS, rules=[rule(HEALS, "alert:front-desk")])
    world.say(HEALS, "bad")
    assert world.outcome(dry_run=True).kind is OutcomeKind.WOULD_CHANGE
    assert world.store.alerts() == []


@pytest.mark.parametrize("where", ["site", "target", "runbook"])
def test_observe_wins_wherever_it_stands(tmp_path, where):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    if where == "site":
        world.with_engine(mode=Mode.OBSERVE)
    elif where == "target":
        world.target = replace(world.target, mode=Mode.OBSERVE)
    else:
        world.with_engine(runbook_modes={HEALS: Mode.OBSERVE})
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.WOULD_CHANGE
    assert "mode is observe" in outcome.reason
    assert world.says(HEALS) == "bad"
    assert world.store.counts().attempts == 0


def test_a_guard_makes_the_remedy_not_applicable_with_its_reason(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "hands-off")
    outcome = world.outcome()
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_APPLICABLE, "the file asks to be left alone")


def test_the_incident_stays_the_same_until_the_check_passes_again(tmp_path):
    world = make_world(tmp_path, HEALS, rules=[])
    world.say(HEALS, "bad")
    first, second = (world.turn().items[0].incident for _ in range(2))
    assert first.incident_id == second.incident_id
    assert (first.opened_at, second.opened_at) == (NOON, NOON)
    world.say(HEALS, "good")
    world.turn()
    world.say(HEALS, "bad")
    assert world.turn().items[0].incident.incident_id != first.incident_id


def test_a_dry_run_names_the_same_incident_as_the_live_path(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    foretold = world.turn(dry_run=True)
    world.now = NOON
    assert world.turn().items[0].incident == foretold.items[0].incident


def test_parameters_of_the_target_go_before_those_of_the_site(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say("elsewhere", "bad")
    world.with_engine(runbook_parameters={HEALS: {"path": str(tmp_path / "nowhere")}})
    world.target = replace(world.target, parameters={HEALS: {"path": str(tmp_path / "elsewhere")}})
    assert world.outcome().kind is OutcomeKind.REMEDIATED
    assert world.says("elsewhere") == "good"


def test_a_machine_that_does_not_say_what_it_is_is_an_error_for_every_check(tmp_path):
    world = make_world(tmp_path, HEALS)
    host = world.engine.catalogue.host_step()
    world.engine.catalogue.host_step = lambda: replace(host, script="exit 1")  # type: ignore[method-assign]
    world.say(HEALS, "bad")
    turn = world.turn()
    assert [seen.verdict for seen in turn.scan.observations] == [Verdict.ERROR]
    assert turn.items == ()


def test_a_state_that_cannot_be_written_ends_the_turn_and_blocks_nothing_afterwards(tmp_path):
    world = make_world(tmp_path, HEALS, NO_HELP)
    world.say(HEALS, "bad")
    finish = world.store.finish

    def full(*_arguments: object, **_more: object) -> None:
        raise StoreError("the disk is full")

    world.store.finish = full  # type: ignore[method-assign]
    turn = world.turn()
    assert (turn.trouble, turn.outcomes) == ("the disk is full", ())
    assert world.says(HEALS) == "good"
    world.store.finish = finish  # type: ignore[method-assign]
    world.say(HEALS, "bad")
    assert world.outcome().kind is OutcomeKind.REMEDIATED
    assert world.store.counts().unfinished_attempts == 0


def test_a_fault_of_ours_leaves_no_attempt_open(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")

    def burst(_number: int) -> None:
        if world.transport.opens == 3:
            raise RuntimeError("a bug")

    world.transport.before_run = burst
    with pytest.raises(RuntimeError):
        world.turn()
    assert world.store.counts().unfinished_attempts == 0


def test_a_rule_that_sends_another_checks_incident_does_not_get_past_the_runbooks_guards(tmp_path):
    world = make_world(tmp_path, HEALS, NO_HELP, rules=[rule(NO_HELP, f"run_linux_runbook:{HEALS}")])
    world.say(NO_HELP, "bad")
    world.say(HEALS, "hands-off")
    outcome = next(one for one in world.turn().outcomes if one.check_id == NO_HELP)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.NOT_APPLICABLE, "the file asks to be left alone")


@pytest.mark.parametrize("also", [(), (HEALS,)])
def test_a_runbook_whose_own_check_did_not_fail_here_is_not_run(tmp_path, also):
    world = make_world(tmp_path, NO_HELP, *also, rules=[rule(NO_HELP, f"run_linux_runbook:{HEALS}")])
    world.say(NO_HELP, "bad")
    outcome = world.outcome()
    assert outcome.kind is OutcomeKind.NOT_APPLICABLE
    assert "its remedy is not run" in outcome.reason


def test_a_second_incident_of_the_same_check_is_told_again(tmp_path):
    world = make_world(tmp_path, HEALS, rules=[rule(HEALS, "alert:front-desk")])
    for text in ("bad", "good", "bad"):
        world.say(HEALS, text)
        world.turn()
    assert len(world.store.alerts()) == 2


def test_an_observation_that_cannot_be_recorded_ends_the_turn_before_anything_is_changed(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")

    def full(*_arguments: object, **_more: object) -> None:
        raise StoreError("the disk is full")

    world.store.record_scan = full  # type: ignore[method-assign]
    turn = world.turn()
    assert (turn.trouble, turn.outcomes) == ("the disk is full", ())
    assert [seen.verdict for seen in turn.scan.observations] == [Verdict.FAIL]
    assert world.says(HEALS) == "bad"


def test_a_pause_after_the_plan_stops_what_was_planned(tmp_path):
    world = make_world(tmp_path, HEALS)
    world.say(HEALS, "bad")
    planned = plan_turn(world.engine, world.target, now=world.now)
    pause = Pause("ann", "stop", world.now)
    world.store.record_action(PersonAction(ActionKind.PAUSED, "ann", "stop", world.now), [SetPause(pause)])
    (outcome,) = apply_turn(world.engine, planned, now=world.now).outcomes
    assert (outcome.kind, world.says(HEALS)) == (OutcomeKind.DEFERRED, "bad")


def test_what_one_item_uses_up_holds_the_next_of_the_same_plan(tmp_path):
    policy = GatePolicy(cooldown_s=0, limits=BlastLimits(target_hour=1))
    world = make_world(tmp_path, HEALS, NO_HELP, policy=policy)
    for check in (HEALS, NO_HELP):
        world.say(check, "bad")
    assert [outcome.kind for outcome in world.turn().outcomes] == [OutcomeKind.REMEDIATED, OutcomeKind.DEFERRED]


def test_where_nothing_may_be_changed_no_person_is_asked(tmp_path):
    world = make_world(tmp_path, HEALS, policy=GatePolicy(approval_from="none"))
    world.say(HEALS, "bad")
    world.with_engine(mode=Mode.OBSERVE)
    assert world.outcome().kind is OutcomeKind.WOULD_CHANGE
    assert (world.store.requests(), world.store.alerts()) == ([], [])


TEN_YEARS_S = 3_650 * 86_400.0


@pytest.mark.parametrize("jumps", [(TEN_YEARS_S, -TEN_YEARS_S), (-TEN_YEARS_S, TEN_YEARS_S)], ids=["ahead", "behind"])
@pytest.mark.parametrize("reboots", [False, True])
def test_a_clock_ten_years_off_in_every_second_turn_changes_nothing_of_what_is_done(tmp_path, jumps, reboots):
    world, clock = make_world(tmp_path, HEALS), FakeClock(NOON)
    outcomes = []
    for number in range(6):
        world.say(HEALS, "bad")
        clock.step(jumps[number % 2])
        if reboots and number > 3:
            clock.reboot(60)
        (outcome,) = run_turn(world.engine, world.target, now=clock.read(), dry_run=False).outcomes
        outcomes.append(outcome)
        clock.advance(105 * 60)
    assert [one.kind for one in outcomes[:4]] == [OutcomeKind.REMEDIATED] * 3 + [OutcomeKind.SUPPRESSED]
    assert "came back 3 times in 3.5 h" in outcomes[3].reason
    if not reboots:  # over a reboot a clock ten years ahead may end a hold, a week early at most
        assert [one.kind for one in outcomes[4:]] == [OutcomeKind.SUPPRESSED] * 2


def test_an_approval_that_is_withdrawn_as_the_deed_begins_holds_the_deed(tmp_path, monkeypatch):
    world = make_world(tmp_path, HEALS, policy=GatePolicy(cooldown_s=0, approval_from="none"))
    world.say(HEALS, "bad")
    assert world.outcome().kind is OutcomeKind.AWAITING_APPROVAL
    (request,) = world.store.requests()
    approval = Approval(
        request.incident_id, request.plan_digest, "ann", "yes", NOON, Term(NOON.replace(year=2027), 1e9)
    )
    action = PersonAction(ActionKind.APPROVED, "ann", "yes", NOON)
    world.store.record_action(action, [SetApproval(approval)])
    begin = world.store.begin

    def withdrawn_first(attempt, charge=None):
        world.store.record_action(
            replace(action, kind=ActionKind.APPROVAL_WITHDRAWN), [EndApproval(request.incident_id)]
        )
        return begin(attempt, charge)

    with monkeypatch.context() as late:
        late.setattr(world.store, "begin", withdrawn_first)
        assert world.outcome().kind is OutcomeKind.AWAITING_APPROVAL
    assert world.says(HEALS) == "bad"
    world.store.record_action(action, [SetApproval(approval)])
    assert world.outcome().kind is OutcomeKind.REMEDIATED
