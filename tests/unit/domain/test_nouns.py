from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from compliance_agent.domain.incident import Incident, fingerprint, incident_id_for
from compliance_agent.domain.observation import HostFacts
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import Action, Rule, RuleSource
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.domain.target import Mode, Target, TransportKind, strictest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_fingerprint_depends_on_each_part_and_on_where_it_ends() -> None:
    prints = {
        fingerprint("a", "b", "c"),
        fingerprint("a", "bc", ""),
        fingerprint("ab", "", "c"),
        fingerprint("a", "b", "d"),
    }
    assert len(prints) == 4


def test_the_incident_id_is_a_uuid_of_version_8_and_stays_while_the_incident_is_open() -> None:
    one = incident_id_for("print", NOON)
    assert uuid.UUID(one).version == 8
    assert one == incident_id_for("print", NOON)
    assert one != incident_id_for("print", NOON + timedelta(seconds=1))


def test_an_incident_reads_as_the_documented_v1() -> None:
    incident = Incident(
        "id", "site", "front-desk", "fd", "linux", "debian", "LIN-SSH-003", "ssh_config", "medium", NOON, NOON, {"n": 6}
    )
    assert incident.document() == {
        "schema": "incident/v1",
        "incident_id": "id",
        "site_id": "site",
        "target_id": "front-desk",
        "hostname": "fd",
        "platform": "linux",
        "distro": "debian",
        "check_id": "LIN-SSH-003",
        "incident_type": "ssh_config",
        "severity": "medium",
        "status": "fail",
        "detected_at": "2026-03-01T12:00:00+00:00",
        "facts": {"n": 6},
    }


def test_only_remediated_is_success() -> None:
    assert [kind for kind in OutcomeKind if kind.is_success] == [OutcomeKind.REMEDIATED]


def test_nixos_is_a_platform_of_its_own_for_rules() -> None:
    assert HostFacts(os_id="nixos").platform == "nixos"
    assert HostFacts(os_id="debian").platform == "linux"


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ((), Mode.ENFORCE),
        ((Mode.ENFORCE, Mode.ENFORCE), Mode.ENFORCE),
        ((Mode.ENFORCE, Mode.OBSERVE), Mode.OBSERVE),
        ((Mode.OBSERVE, Mode.ENFORCE, Mode.ENFORCE), Mode.OBSERVE),
    ],
)
def test_observe_wins(modes, expected) -> None:
    assert strictest(*modes) is expected


def test_an_address_is_readable_for_ipv6_too() -> None:
    target = Target("t", "s", transport=TransportKind.SSH, host="2001:db8::1", port=2222)
    assert target.address == "[2001:db8::1]:2222"


def rule(rule_id: str, priority: int = 100, source: RuleSource = RuleSource.BUILTIN, *, enabled: bool = True) -> Rule:
    return Rule(rule_id, compile_pattern({"a": 1}), Action("alert", "x"), "", priority, source, enabled)


def test_rules_go_by_priority_then_source_then_id() -> None:
    rules = RuleSet(
        [
            rule("C"),
            rule("P", source=RuleSource.PROMOTED),
            rule("Z", 5, RuleSource.PROMOTED),
            rule("B"),
            rule("Y", source=RuleSource.LOCAL),
            rule("S", source=RuleSource.SYNCED),
        ]
    )
    assert [one.rule_id for one in rules.matching({"a": 1})] == ["Z", "Y", "B", "C", "S", "P"]


def test_the_order_of_the_input_does_not_matter() -> None:
    rules = [rule("B"), rule("A"), rule("C", 1)]
    assert RuleSet(rules).rules == RuleSet(reversed(rules)).rules


def test_a_disabled_rule_never_matches() -> None:
    assert RuleSet([rule("A", enabled=False)]).first({"a": 1}) is None


def test_two_rules_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        RuleSet([rule("A"), rule("A", 5)])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"transport": TransportKind.LOCAL}, ""),
        ({"identity_file": "/k"}, "key"),
        ({"password_file": "/p"}, "password"),
        ({"identity_file": "/k", "password_file": "/p"}, "either"),
    ],
)
def test_how_a_session_logs_in_follows_from_the_credentials_of_the_target(fields, expected):
    target = Target("front-desk", "clinic", **{"transport": TransportKind.SSH, **fields})
    assert target.login_by == expected
