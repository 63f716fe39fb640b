"""One site never sees, changes or makes what is another's, whatever a statement of ours forgets."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tests.support.central import NOW, add_rule, add_site, as_agent, execution, report

_OF_A_SITE = [
    "sites",
    "appliances",
    "credentials",
    "enrolment_tokens",
    "l1_rules",
    "execution_telemetry",
    "appliance_commands",
    "evidence_bundles",
]


@pytest.fixture
def two_sites(owner: psycopg.Connection) -> psycopg.Connection:
    add_site(owner, "site-2", "a")
    add_rule(owner, "RULE-2", site_id="site-2")
    report(owner, [execution()], site_id="site-1")
    report(owner, [execution()], site_id="site-2")
    for site_id in ("site-1", "site-2"):
        owner.execute(
            "INSERT INTO credentials (site_id, credential_id, appliance_id, token_sha256, scopes)"
            " VALUES (%s, gen_random_uuid(), 'a', sha256(%s::bytea), '{sync}')",
            (site_id, site_id),
        )
        owner.execute(
            "INSERT INTO enrolment_tokens (site_id, token_sha256, created_by, expires_at)"
            " VALUES (%s, sha256(%s::bytea), 'jane', %s)",
            (site_id, site_id, NOW),
        )
        owner.execute(
            "INSERT INTO appliance_commands"
            " (site_id, appliance_id, command_id, dedup_key, kind, params, envelope, created_by, expires_at)"
            " VALUES (%s, 'a', gen_random_uuid(), 'k', 'scan', '{}', '', 'jane', %s)",
            (site_id, NOW),
        )
        owner.execute(
            "INSERT INTO evidence_bundles"
            " (site_id, appliance_id, chain_id, seq, entry_id, entry_sha256, envelope, kind, made_at)"
            " VALUES (%s, 'a', 'c', 1, gen_random_uuid(), sha256(''), '', 'attempt', %s)",
            (site_id, NOW),
        )
    return owner


@pytest.mark.parametrize("table", _OF_A_SITE)
def test_an_agent_sees_its_own_site_and_the_fleets_rules(two_sites, table) -> None:
    with as_agent(two_sites, "site-1"):
        seen = {row[0] for row in two_sites.execute(sql.SQL("SELECT site_id FROM {}").format(sql.Identifier(table)))}
    assert seen == ({"*"} if table == "l1_rules" else {"site-1"})


@pytest.mark.parametrize("table", _OF_A_SITE)
def test_without_a_site_an_agent_sees_nothing_of_any(two_sites, table) -> None:
    with two_sites.transaction():
        two_sites.execute("SET LOCAL ROLE central_agent")
        seen = two_sites.execute(sql.SQL("SELECT site_id FROM {}").format(sql.Identifier(table))).fetchall()
    assert seen == ([("*",)] if table == "l1_rules" else [])


def test_the_site_of_one_transaction_is_forgotten_in_the_next(two_sites) -> None:
    with as_agent(two_sites, "site-1"):
        pass
    with two_sites.transaction():
        two_sites.execute("SET LOCAL ROLE central_agent")
        assert two_sites.execute("SELECT count(*) FROM execution_telemetry").fetchone() == (0,)


def test_an_agent_cannot_report_for_another_site(two_sites) -> None:
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        as_agent(two_sites, "site-1"),
    ):
        two_sites.execute(
            "INSERT INTO telemetry_delta (site_id, appliance_id, execution_ids) VALUES ('site-2', 'a', '{}')"
        )


def test_an_agent_cannot_change_another_sites_appliance(two_sites) -> None:
    with as_agent(two_sites, "site-1"):
        changed = two_sites.execute("UPDATE appliances SET version = 'x' WHERE site_id = 'site-2'").rowcount
    assert changed == 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM evidence_bundles",
        "UPDATE evidence_bundles SET kind = 'x'",
        "DELETE FROM execution_telemetry",
        "UPDATE l1_rules SET stage = 'enabled'",
        "INSERT INTO l1_rules DEFAULT VALUES",
        "UPDATE credentials SET scopes = '{sync,commands}'",
        "UPDATE appliance_commands SET params = '{}'",
        "UPDATE enrolment_tokens SET expires_at = 'infinity'",
        "DELETE FROM audit_log",
        "ALTER TABLE l1_rules DISABLE ROW LEVEL SECURITY",
    ],
)
def test_an_agent_has_no_right_to(two_sites, statement) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_agent(two_sites, "site-1"):
        two_sites.execute(statement)


@pytest.mark.parametrize("statement", ["DELETE FROM evidence_bundles", "UPDATE audit_log SET actor = 'x'"])
def test_even_the_fleets_role_rewrites_no_proof(fleet, statement) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        fleet.execute(statement)


def test_every_table_of_a_site_has_row_security_that_is_forced(owner) -> None:
    unprotected = owner.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'site_id'"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
    ).fetchall()
    assert unprotected == []


def test_a_partition_is_no_way_around(two_sites) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_agent(two_sites, "site-1"):
        two_sites.execute("SELECT * FROM execution_telemetry_2026_03")


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        pytest.param({"runbook_id": None}, "l1_rules_check", id="a runbook that is named in the action alone"),
        pytest.param({"action": "run_linux_runbook:AUTO-SSH"}, "l1_rules_check", id="two names that differ"),
        pytest.param({"incident_pattern": "{}"}, "incident_pattern", id="an empty pattern"),
        pytest.param({"incident_pattern": "[]"}, "incident_pattern", id="a pattern that is no object"),
        pytest.param({"rule_id": "x" * 129}, "rule_name", id="an id that would have to be cut"),
        pytest.param({"site_id": "RULE-1", "rule_id": "RULE-1"}, "l1_rules_rule_id_key", id="an id that is taken"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_the_database(owner, columns, constraint) -> None:
    with pytest.raises(psycopg.errors.IntegrityError, match=constraint):
        add_rule(owner, **{"rule_id": "RULE-9", **columns})


def test_a_rule_with_a_runbook_outside_the_catalogue_is_refused(owner) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        add_rule(owner, "RULE-9", "LIN-NO-001")


def test_a_placeholder_cannot_enter_the_catalogue(owner) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute("INSERT INTO runbooks VALUES ('AUTO-SSH', '', '{linux}', 'x', 1, 'none', 'never', true)")


def test_a_rule_id_may_begin_like_a_placeholder(owner) -> None:
    add_rule(owner, "RB-AUTO-SSH_CONFIG")
    assert owner.execute("SELECT enabled FROM l1_rules WHERE rule_id = 'RB-AUTO-SSH_CONFIG'").fetchone() == (True,)
