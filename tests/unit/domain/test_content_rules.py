"""What runbooks' scripts and references must keep to."""

from __future__ import annotations

import pytest

from compliance_agent.domain.content_rules import (
    citation_problems,
    forbidden_commands,
    reference_problem,
    unknown_parameters,
    unquoted_parameters,
)

KNOWN = {"ComplianceAsCode": {"service_sshd_enabled"}, "CIS Debian Linux Benchmark": {"Ensure AIDE is installed"}}


def test_an_unquoted_parameter_is_told_with_its_line() -> None:
    assert unquoted_parameters('a\necho "$PARAM_A" $PARAM_B\n') == [(2, 'echo "$PARAM_A" $PARAM_B')]


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ('x "$(cat "$PARAM_A")"', []),
        ('x "$(cat $PARAM_A)"', [1]),
        ("x '$PARAM_A' \"it's $PARAM_A\" $PARAM_A", [1]),
        ("# it's \"a\nx $PARAM_A", [2]),
        ('x="a\n$PARAM_A"\ny $PARAM_A', [3]),
        ('x=$(case "$y" in a) echo "$PARAM_A" ;; esac)\ny "$PARAM_A"', []),
        ('x=$(case "$y" in (a) echo $PARAM_A ;; esac); y "$PARAM_A"\nz $PARAM_A', [1, 2]),
        ('( x "$PARAM_A" )\ny "\\"$PARAM_A"', []),
        ('for x in ${PARAM_A}; do y "${PARAM_A:-1}"; done', [1]),
        ("x=$((${PARAM_A} + 1)); $PARAM_A", [1]),
        ("x=$(((PARAM_A + $PARAM_A) / 2))", []),
        ('x="$(($PARAM_A + 1))"', []),
    ],
)
def test_quotes_are_followed_over_lines_and_into_commands(script: str, lines: list[int]) -> None:
    assert [number for number, _ in unquoted_parameters(script)] == lines


def test_a_parameter_that_is_not_declared_is_told() -> None:
    assert unknown_parameters('echo "$PARAM_A"\necho "${PARAM_AB:-}"', ["a"]) == [(2, "PARAM_AB")]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('x=1\neval "$x"', [(2, "eval")]),
        ("true && curl -s example", [(1, "curl")]),
        (". /etc/os-release", [(1, ".")]),
        ("# then eval this", []),
        ("retrieval x", []),
        ("echo . eval", []),
    ],
)
def test_a_command_that_evaluates_text_or_reaches_out_is_told(script: str, found: list[tuple[int, str]]) -> None:
    assert forbidden_commands(script) == found


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("ComplianceAsCode: service_sshd_enabled", ""),
        ("CIS Debian Linux Benchmark: Ensure AIDE is installed", ""),
        ("Clinic handbook: chapter 3", ""),
        ("ComplianceAsCode: service_sshd_enable", "names service_sshd_enable, which ComplianceAsCode does not have"),
        ("CIS Debian Benchmark: Ensure AIDE is installed", "none of CIS Debian Linux Benchmark, ComplianceAsCode"),
        ("Complianceascode: service_sshd_enabled", "names the source Complianceascode"),
        ("service_sshd_enabled", "no reference of the form"),
        ("ComplianceAsCode: ", "no reference of the form"),
    ],
)
def test_a_reference_is_of_the_form_and_names_what_there_is(reference: str, problem: str) -> None:
    said = reference_problem(reference, KNOWN)
    assert problem in said
    assert bool(said) is bool(problem)


def test_a_citation_that_the_security_rule_does_not_have_is_told() -> None:
    assert list(citation_problems(["164.312(b)", "164.312(z)"], {"164.312(b)"})) == [
        "164.312(z) is no standard or specification of 45 CFR 164.308 to 164.312"
    ]
