"""The shipped content: what it promises, what it concludes from recorded facts, and that its scripts keep the rules."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.rule_files import builtin_rules_path, load_rule_files
from compliance_agent.domain.bundle import BundleStep, StepResult
from compliance_agent.domain.content_rules import unquoted_parameters
from compliance_agent.domain.facts import parse_facts
from compliance_agent.domain.rule import RuleSource
from compliance_agent.wire.runbook_document import ARGUMENT_BYTES_MAX
from tests.support.content import (
    RUNBOOKS,
    execute_here,
    phases,
    recorded_cases,
    run_steps,
    shipped,
    shipped_scripts,
)

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.rule import Rule
    from tests.support.content import RecordedCase, ShippedScript

# Id, check type, severity and HIPAA citations, as the earlier system had them; rules and evidence refer to them.
TABLE = [
    ("APP-DISK-001", "disk_space", "high", ("164.312(b)", "164.312(c)(1)")),
    ("APP-FW-001", "firewall", "critical", ("164.312(e)(1)",)),
    ("APP-NIXOS-001", "nixos_generation", "medium", ("164.308(a)(5)(ii)(B)", "164.312(c)(1)")),
    ("APP-SVC-001", "critical_services", "high", ("164.312(b)", "164.308(a)(1)(ii)(D)")),
    ("LIN-ACCT-001", "accounts", "critical", ("164.312(a)(1)",)),
    ("LIN-ACCT-002", "accounts", "medium", ("164.312(a)(1)", "164.308(a)(5)(ii)(D)")),
    ("LIN-AUDIT-001", "audit", "high", ("164.312(b)", "164.308(a)(1)(ii)(D)")),
    ("LIN-AUDIT-002", "audit", "high", ("164.312(b)",)),
    ("LIN-BANNER-001", "banner", "low", ("164.310(b)",)),
    ("LIN-BOOT-001", "boot", "medium", ("164.310(a)(1)",)),
    ("LIN-CRON-001", "cron", "medium", ("164.308(a)(1)(ii)(D)",)),
    ("LIN-CRYPTO-001", "crypto", "high", ("164.312(e)(2)(ii)",)),
    ("LIN-FW-001", "firewall", "critical", ("164.312(e)(1)",)),
    ("LIN-INTEGRITY-001", "integrity", "high", ("164.312(c)(1)", "164.312(c)(2)", "164.312(b)")),
    ("LIN-IR-001", "incident_response", "high", ("164.308(a)(6)", "164.312(b)")),
    ("LIN-KERN-001", "kernel", "high", ("164.312(a)(1)",)),
    ("LIN-KERN-002", "kernel", "medium", ("164.310(d)(1)",)),
    ("LIN-LOG-001", "logging", "high", ("164.312(b)",)),
    ("LIN-MAC-001", "mac", "high", ("164.312(a)(1)", "164.312(c)(1)")),
    ("LIN-NET-001", "network", "medium", ("164.312(e)(1)",)),
    ("LIN-NTP-001", "time_sync", "high", ("164.312(b)", "164.308(a)(1)(ii)(D)")),
    ("LIN-PATCH-001", "patching", "high", ("164.308(a)(5)(ii)(B)",)),
    ("LIN-PERM-001", "permissions", "critical", ("164.312(a)(1)", "164.312(c)(1)")),
    ("LIN-PERM-002", "permissions", "high", ("164.312(a)(1)",)),
    ("LIN-PERM-003", "permissions", "high", ("164.312(c)(1)",)),
    ("LIN-PERM-004", "permissions", "high", ("164.312(a)(1)",)),
    ("LIN-SSH-001", "ssh_config", "high", ("164.312(d)", "164.312(a)(1)")),
    ("LIN-SSH-002", "ssh_config", "high", ("164.312(d)", "164.312(a)(1)")),
    ("LIN-SSH-003", "ssh_config", "medium", ("164.312(a)(1)",)),
    ("LIN-SSH-004", "ssh_config", "high", ("164.312(a)(2)(iii)",)),
    ("LIN-SUID-001", "permissions", "critical", ("164.312(a)(1)", "164.308(a)(5)(ii)(C)")),
    ("LIN-SVC-001", "services", "critical", ("164.312(a)(1)",)),
    ("LIN-SVC-002", "services", "high", ("164.312(b)",)),
    ("LIN-SVC-003", "services", "high", ("164.312(b)",)),
    ("LIN-SVC-004", "services", "critical", ("164.312(e)(1)",)),
]
CATALOGUE = shipped()
IDS = [runbook.id for runbook in CATALOGUE]
REMEDIABLE = [runbook.id for runbook in CATALOGUE if runbook.runbook.remediate is not None]


def builtin_rules() -> list[Rule]:
    rules, quarantined = load_rule_files([builtin_rules_path()], RuleSource.BUILTIN)
    assert not quarantined
    return rules


@pytest.mark.parametrize(("runbook_id", "check_type", "severity", "hipaa"), TABLE, ids=[row[0] for row in TABLE])
def test_a_runbook_keeps_its_check_type_severity_and_citations(
    runbook_id: str, check_type: str, severity: str, hipaa: tuple[str, ...]
) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    runbook = compiled.runbook
    assert (runbook.check_type, runbook.severity, runbook.controls.hipaa) == (check_type, severity, hipaa)


def test_exactly_the_runbooks_of_the_table_are_shipped() -> None:
    assert [row[0] for row in TABLE] == IDS


@pytest.mark.parametrize("runbook_id", IDS)
def test_a_file_is_named_after_its_id_and_tells_editors_its_schema(runbook_id: str) -> None:
    first = (RUNBOOKS / "linux" / f"{runbook_id}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../../docs/reference/schemas/runbook.schema.json"


@pytest.mark.parametrize("file", sorted((RUNBOOKS / "linux" / "resources").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_resource_tells_editors_its_schema(file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../../../docs/reference/schemas/resource.schema.json"


@pytest.mark.parametrize("runbook_id", IDS)
def test_a_runbook_says_what_it_means_for_hipaa_and_names_its_sources(runbook_id: str) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    assert "HIPAA" in compiled.runbook.description
    assert compiled.runbook.controls.nist_800_53
    assert compiled.runbook.references


@pytest.mark.parametrize("runbook_id", REMEDIABLE)
def test_what_a_machine_mends_it_can_undo(runbook_id: str) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    assert compiled.runbook.effects.reversible
    assert compiled.runbook.rollback is not None


@pytest.mark.parametrize("runbook_id", REMEDIABLE)
def test_what_may_shut_the_agent_out_must_be_confirmed_by_a_new_session(runbook_id: str) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    parameters = compiled.parameters({})
    steps = compiled.remediate_steps(parameters, attempt_id="a")
    if not any("ca_sshd_reload" in step.script or "ufw --force enable" in step.script for step in steps):
        return
    assert compiled.confirm_within_s is not None
    undo = steps[0].environment["CA_DEADMAN_UNDO"]
    assert len(f"CA_DEADMAN_UNDO={undo}".encode()) < ARGUMENT_BYTES_MAX


@pytest.mark.parametrize("case", recorded_cases(), ids=str)
def test_recorded_facts_give_the_recorded_verdict(case: RecordedCase) -> None:
    compiled = CATALOGUE.get(case.check_id)
    assert compiled is not None
    assert len(case.stdouts) == len(compiled.runbook.detect.steps)
    parameters = compiled.parameters(case.parameters)
    results = {
        f"{case.check_id}/{index}": StepResult(
            f"{case.check_id}/{index}", exit_code=0, stdout=stdout.rstrip("\n"), finished=True
        )
        for index, stdout in enumerate(case.stdouts)
    }
    judgement = compiled.judge(results, parameters, case.host)
    assert (str(judgement.verdict), case.reason in judgement.reason) == (case.verdict, True), judgement.reason
    if case.guard is not None:
        reason = compiled.guard_reason(judgement.facts, parameters, case.host)
        assert case.guard in reason if case.guard else not reason


@pytest.mark.parametrize("runbook_id", IDS)
def test_recorded_facts_cover_pass_fail_nixos_and_what_does_not_apply(runbook_id: str) -> None:
    cases = [case for case in recorded_cases() if case.check_id == runbook_id]
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    wanted = {"pass", "fail"} | ({"not_applicable"} if compiled.runbook.applies_when else set())
    assert wanted <= {case.verdict for case in cases}
    assert {"nixos", "debian"} <= {case.host.os_id for case in cases}


@pytest.mark.parametrize("runbook_id", IDS)
def test_a_check_whose_script_failed_is_an_error_and_never_a_pass(runbook_id: str) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    host = recorded_cases()[0].host
    assert compiled.judge({}, compiled.parameters({}), host).verdict == "error"


def test_every_rule_names_a_runbook_that_is_shipped_and_can_mend() -> None:
    arguments = [rule.action.argument for rule in builtin_rules() if rule.action.prefix == "run_linux_runbook"]
    assert sorted(arguments) == REMEDIABLE


@pytest.mark.parametrize("platform", ["linux", "nixos"])
@pytest.mark.parametrize("runbook_id", REMEDIABLE)
def test_a_failed_check_is_answered_by_the_rule_for_it_alone(runbook_id: str, platform: str) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    incident = {
        "check_id": runbook_id,
        "incident_type": compiled.runbook.check_type,
        "status": "fail",
        "platform": platform,
    }
    matching = [rule for rule in builtin_rules() if rule.pattern.matches(incident)]
    assert [str(rule.action) for rule in matching] == [f"run_linux_runbook:{runbook_id}"]


@pytest.mark.parametrize(
    ("check_id", "prefix"),
    [
        ("APP-DISK-001", "alert"),
        ("APP-FW-001", "alert"),
        ("APP-NIXOS-001", "alert"),
        ("APP-SVC-001", "alert"),
        ("LIN-ACCT-001", "escalate"),
        ("LIN-PATCH-001", "alert"),
    ],
)
def test_what_no_machine_mends_reaches_a_person(check_id: str, prefix: str) -> None:
    rules = [rule for rule in builtin_rules() if rule.rule_id == f"L1-{check_id}"]
    assert [rule.action.prefix for rule in rules] == [prefix]


@pytest.mark.parametrize("shell", [("dash", "-n"), ("bash", "--posix", "-n")], ids=["dash", "bash"])
@pytest.mark.parametrize("script", shipped_scripts(), ids=str)
def test_a_script_is_posix_shell(script: ShippedScript, shell: tuple[str, ...]) -> None:
    command = [shell[0] if shell[0] == "bash" else "/bin/sh", *shell[1:]]
    done = subprocess.run(
        command, input=f"{script.library}\n{script.text}", capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", shipped_scripts(), ids=str)
def test_a_script_uses_parameters_quoted(script: ShippedScript) -> None:
    assert unquoted_parameters(script.text) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('echo "$PARAM_X"', False),
        ("echo $PARAM_X", True),
        ("x=$PARAM_X", True),
        ('x="${PARAM_X:-1}"', False),
        ('a "b" $PARAM_X', True),
        ("a 'b' \"${PARAM_X}\"", False),
    ],
)
def test_an_unquoted_parameter_is_found(line: str, found: bool) -> None:
    assert bool(unquoted_parameters(line)) is found


@pytest.mark.parametrize("script", shipped_scripts(), ids=str)
def test_a_script_evaluates_no_text_and_reaches_for_no_network(script: ShippedScript) -> None:
    text = f"{script.library}\n{script.text}"
    assert not re.search(r"(?:^|[;&|(]\s*)(?:eval|source|\.|curl|wget|python3?|perl)\s", text, re.MULTILINE)


@pytest.mark.parametrize("runbook_id", IDS)
def test_a_detect_step_is_quick_by_its_own_limit(runbook_id: str) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    assert dict(phases(compiled))["detect"].timeout_s <= 30


@pytest.mark.parametrize("runbook_id", IDS)
def test_every_check_reaches_a_verdict_on_this_machine(runbook_id: str) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    parameters = compiled.parameters({})
    steps = [CATALOGUE.host_step(), *compiled.detect_steps(parameters)]
    results = run_steps(steps, execute_here)
    host = CATALOGUE.host_facts(results["@host"])
    judgement = compiled.judge(results, parameters, host)
    assert judgement.verdict != "error", judgement.reason


_WRITES = re.compile(
    r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE|\b(?:mkdir|unlink|rename|link|symlink|f?chmod|[fl]?chown|f?truncate|utime"
    r"|mknod|setxattr|u?mount|f?init_module|clock_settime|adjtimex)\w*\("
)


@pytest.mark.needs("strace")
@pytest.mark.parametrize("runbook_id", IDS)
def test_a_check_writes_nothing_as_strace_sees_it(runbook_id: str, tmp_path: Path) -> None:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    trace = tmp_path / "trace"
    steps = [CATALOGUE.host_step(), *compiled.detect_steps(compiled.parameters({}))]
    calls = "trace=%file,ftruncate,fchmod,fchown,fsetxattr,init_module,finit_module,clock_settime,adjtimex"
    run_steps(steps, lambda script: execute_here(script, "strace", "-f", "-qq", "-e", calls, "-o", str(trace)))
    lines = trace.read_text(errors="replace").splitlines()
    assert len(lines) > 100
    assert [
        line for line in lines if _WRITES.search(line) and '"/dev/null"' not in line and "/dev/tty" not in line
    ] == []


def file_mode_of(path: Path) -> dict[str, object]:
    """Run the real ``file_mode`` resource on a path here; return its facts."""
    resource = CATALOGUE.resource("file_mode")
    assert resource is not None
    assert resource.get is not None
    environment = {"PARAM_PATH": str(path), "PARAM_MAX_MODE": "0600", "PARAM_GROUPS": "root"}
    prelude = f"{CATALOGUE.library.detect}\n"
    step = BundleStep("file_mode", resource.get.script, environment, prelude=prelude)
    result = run_steps([step], execute_here)["file_mode"]
    return dict(parse_facts(result.stdout, resource.facts)) if result.succeeded else {"trouble": result.trouble()}


def test_a_file_in_a_folder_that_is_not_there_is_not_there(tmp_path: Path) -> None:
    """A fresh machine without OpenSSH has no /etc/ssh; that is no error."""
    assert file_mode_of(tmp_path / "no" / "folder" / "file")["exists"] is False


def test_the_excess_bits_of_a_mode_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o644)
    path.chmod(0o644)
    facts = file_mode_of(path)
    assert (facts["mode"], facts["excess"]) == ("0644", "0044")
