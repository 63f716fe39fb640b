"""Failure 22: the scanner and the rules called the same check by different names, so the rules never matched.

Here one catalogue names the checks: the built-in rules are held to it, ``rules lint`` finds a rule for a check that
nobody emits, and a check without a rule. Issue 6 holds the rules of Central Command to the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.rule_files import builtin_rules_path, load_rule_files
from compliance_agent.domain.incident import Incident
from compliance_agent.domain.rule import RuleSource
from compliance_agent.domain.rule_lint import FindingKind, lint
from compliance_agent.engine.admission import admit
from compliance_agent.testing import NOON
from tests.support.content import shipped
from tests.support.turns import rule

if TYPE_CHECKING:
    from compliance_agent.domain.catalogue import CompiledRunbook


def incident_of(compiled: CompiledRunbook) -> Incident:
    """Return an incident as the scanner raises it."""
    book = compiled.runbook
    return Incident(
        "i", "clinic", "srv01", "srv01", "linux", "debian", book.id, book.check_type, book.severity, NOON, NOON
    )


def test_every_check_that_is_shipped_has_a_rule_that_matches_its_incidents() -> None:
    catalogue = shipped()
    rules, _ = load_rule_files([builtin_rules_path()], RuleSource.BUILTIN)
    admitted, quarantined = admit(rules, catalogue)
    assert quarantined == ()
    assert [compiled.id for compiled in catalogue if admitted.first(incident_of(compiled).document()) is None] == []


def test_no_rule_that_is_shipped_waits_for_an_incident_that_nobody_raises() -> None:
    catalogue = shipped()
    rules, _ = load_rule_files([builtin_rules_path()], RuleSource.BUILTIN)
    admitted, quarantined = admit(rules, catalogue)
    assert lint(admitted, quarantined, catalogue).findings == ()


@pytest.mark.parametrize("name", ["LIN-FIREWALL-001", "lin-fw-001", "LIN-FW-1"])
def test_a_rule_for_a_check_that_nobody_emits_is_found(name: str) -> None:
    catalogue = shipped()
    admitted, _ = admit([rule(name, "alert:firewall")], catalogue)
    kinds = [finding.kind for finding in lint(admitted, (), catalogue).findings]
    assert kinds == [FindingKind.UNKNOWN_VALUE]
