"""The table of drifts: every Linux runbook stands in it, with a drift or the reason why there is none."""

from __future__ import annotations

from tests.distros.driver import DRIFTS, LOGINS, TABLE
from tests.support.content import shipped


def test_every_linux_runbook_has_a_drift_or_a_reason_and_never_both() -> None:
    planted, not_run = {drift.runbook for drift in DRIFTS}, set(TABLE["not_run"])
    assert planted | not_run == {one.id for one in shipped() if "linux" in one.runbook.platforms}
    assert planted & not_run == set()


def test_rows_have_names_of_their_own() -> None:
    assert len({str(drift) for drift in DRIFTS}) == len(DRIFTS)


def test_what_is_expected_instead_of_a_heal_is_said_for_a_login_that_there_is() -> None:
    for drift in DRIFTS:
        assert set(drift.expect) <= set(LOGINS)
        assert set(drift.expect.values()) <= {"alerted", "escalated", "not_applicable"}


def test_only_what_has_no_remedy_is_expected_to_be_left_to_a_person_for_every_login() -> None:
    for drift in DRIFTS:
        compiled = shipped().get(drift.runbook)
        assert compiled is not None
        assert (compiled.runbook.remediate is None) == (set(drift.expect) == set(LOGINS)), str(drift)
