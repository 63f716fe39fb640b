"""What many entries say together, and what they do not."""

from __future__ import annotations

from datetime import timedelta

from compliance_agent.domain.evidence.assessment import TECHNICAL_SAFEGUARDS, Assessor
from compliance_agent.domain.evidence.drafts import (
    ActionKind,
    EvidenceDraft,
    EvidenceKind,
    Place,
    action_draft,
    unreachable_draft,
)
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.target import Target
from compliance_agent.testing import NOON
from compliance_agent.wire.evidence.chain import read_payload
from compliance_agent.wire.evidence.oscal import control_id
from tests.support.evidence import Chain, a_heal, a_scan, an_action
from tests.support.state import CHECK, SITE, TARGET

DAY = timedelta(days=1)


def assess(*drafts, since="", until=""):
    assessor = Assessor(since=since, until=until)
    for line in Chain().add(*drafts).lines:
        assessor.take(read_payload(line))
    return assessor.finish()


def an_end_of_waiver(at):
    return action_draft(ActionKind.WAIVER_ENDED, Place(SITE, TARGET, CHECK), actor="kim", reason="done", at=at)


def test_the_last_verdict_counts() -> None:
    seen = assess(a_scan(NOON), a_scan(NOON + DAY, Verdict.FAIL))
    assert [(one.check_id, one.verdict, one.seq) for one in seen.drift()] == [(CHECK, "fail", 3)]


def test_a_verified_fix_makes_a_check_pass_and_is_counted() -> None:
    seen = assess(a_scan(NOON, Verdict.FAIL), a_heal(NOON), a_heal(NOON, OutcomeKind.VERIFY_FAILED))
    state = seen.checks[TARGET, CHECK]
    assert (state.verdict, state.healed, state.failed, state.outcome) == ("pass", 1, 1, "verify_failed")
    assert [one.outcome for one in seen.remedies] == ["remediated", "verify_failed"]


def test_errors_and_missing_privileges_are_not_assessed() -> None:
    for verdict in (Verdict.ERROR, Verdict.NOT_ASSESSED):
        assert [one.check_id for one in assess(a_scan(NOON, verdict)).not_assessed()] == [CHECK]
    for verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.FAIL):
        assert assess(a_scan(NOON, verdict)).not_assessed() == []


def test_days_without_a_scan_are_gaps_and_say_why() -> None:
    lost = unreachable_draft(Target(TARGET, SITE), fault="refused", message="nobody listens", at=NOON + 2 * DAY)
    seen = assess(a_scan(NOON), lost, a_scan(NOON + 4 * DAY))
    assert [(str(gap.first), str(gap.last), gap.why) for gap in seen.gaps()] == [
        ("2026-01-16", "2026-01-16", "no scan was made"),
        ("2026-01-17", "2026-01-17", "not reached: nobody listens"),
        ("2026-01-18", "2026-01-18", "no scan was made"),
    ]


def test_days_before_a_machine_first_came_up_are_no_gap_and_those_until_the_end_are() -> None:
    seen = assess(a_scan(NOON), a_scan(NOON + 2 * DAY, target_id="laptop"))
    assert [(gap.target_id, str(gap.first), str(gap.last)) for gap in seen.gaps()] == [
        (TARGET, "2026-01-16", "2026-01-17")
    ]


def test_a_waiver_is_in_force_until_it_ends_or_is_ended() -> None:
    assert [one.actor for one in assess(an_action(), a_scan(NOON + DAY)).waivers()] == ["kim"]
    assert assess(an_action(), an_end_of_waiver(NOON + DAY)).waivers() == []
    assert assess(an_action(), a_scan(NOON + 31 * DAY)).waivers() == []


def test_a_waiver_of_before_the_period_still_counts_and_other_old_actions_do_not() -> None:
    resumed = action_draft(ActionKind.RESUMED, Place(SITE), actor="kim", reason="done", at=NOON)
    seen = assess(an_action(), resumed, a_scan(NOON + DAY), since="2026-01-16T00:00:00.000000Z")
    assert [one.action for one in seen.acts] == ["waived"]
    assert seen.entries == 1


def test_held_drift_is_told_with_its_end() -> None:
    held = a_heal(NOON, OutcomeKind.SUPPRESSED)
    seen = assess(held, a_scan(NOON + DAY, Verdict.FAIL))
    assert [(one.outcome, one.check_id) for one in seen.held()] == [("suppressed", CHECK)]
    assert assess(held, a_scan(NOON + DAY)).held() == []


def test_safeguards_that_no_check_supports_are_all_of_them_without_checks() -> None:
    assert assess().unsupported() == TECHNICAL_SAFEGUARDS


def test_what_happened_to_the_chain_itself_is_told() -> None:
    pruned = EvidenceDraft(EvidenceKind.SEGMENTS_PRUNED, NOON, SITE, {"last_seq": 1, "last_sha256": ""})
    refused = EvidenceDraft(EvidenceKind.REFUSED, NOON, SITE, {"kind": "scan", "reason": "no"})
    assert [one.action for one in assess(pruned, refused).oddities] == ["segments_pruned", "refused"]


def test_controls_have_the_ids_of_nists_catalogue() -> None:
    assert [control_id(one) for one in ("AC-7", "AC-6(1)", "SC-7 (5)")] == ["ac-7", "ac-6.1", "sc-7.5"]
