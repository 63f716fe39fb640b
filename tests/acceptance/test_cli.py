"""The command line as people and programs meet it: exit codes, streams, documents, help, messages."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from compliance_agent.adapters.version import version
from compliance_agent.cli.exits import PRECEDENCE
from compliance_agent.cli.main import COMMANDS, cli, run
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.pattern import OPERATOR_NAMES
from compliance_agent.engine.dispatch import HANDLERS
from tests.support.cli import cli as call
from tests.support.cli import command, environment
from tests.support.local_site import HEALS, LocalSite, a_rule, on_a_terminal

REPOSITORY = Path(__file__).parents[2]
CLI_REFERENCE = (REPOSITORY / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
PATTERNS = (REPOSITORY / "docs" / "PATTERNS.md").read_text(encoding="utf-8")
ESCAPE = "\x1b["


@pytest.fixture
def site(tmp_path):
    return LocalSite(tmp_path).write()


@pytest.fixture
def inside(capsys, monkeypatch):
    """Run a command line within this process: for those that end before they do anything."""
    monkeypatch.delenv("COMPLIANCE_AGENT_CONFIG", raising=False)
    monkeypatch.setattr("compliance_agent.cli.common.CONFIG_DEFAULT", Path("/nonexistent/settings.yaml"))

    def inside_run(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return inside_run


def every_command() -> list[tuple[str, ...]]:
    """Return the words of each command and subcommand."""
    found: list[tuple[str, ...]] = []
    with click.Context(cli) as context:
        for name in COMMANDS:
            one = cli.get_command(context, name)
            found.append((name,))
            if isinstance(one, click.Group):
                found += [(name, sub) for sub in one.list_commands(context)]
    return found


# --- usage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("--frobnicate",),
        ("plan", "--frobnicate"),
        ("plan", "surplus"),
        ("plan", "-o", "xml"),
        ("plan", "-c", "/nonexistent/settings.yaml"),
        ("plan", "-c", "/"),
        ("plan", "-c"),
        ("plan", "--local", "-t", "nobody"),
        ("scan",),
        ("plan",),
        ("run",),
        ("status",),
        ("doctor", "--local", "-c", "/dev/null"),
        ("apply", "--yes"),
        ("targets", "list"),
        ("targets", "frobnicate"),
        ("targets",),
        ("targets", "add", "x"),
        ("targets", "add", "x", "--host", "h", "--user", "u", "--port", "0"),
        ("targets", "remove"),
        ("rules",),
        ("rules", "list"),
        ("runbooks", "show", "--local"),
        ("runbooks", "show", "LIN-NONE-001", "--local"),
        ("runbooks", "check", "/nonexistent"),
        ("config",),
        ("config", "check"),
        ("config", "check", "/nonexistent/settings.yaml"),
        ("config", "show"),
        ("explain",),
        ("explain", "/nonexistent/incident.json", "--local"),
        ("match", "--rules", "/dev/null"),
        ("match", "--rules", "/nonexistent", "--incidents", "-"),
        ("match", "--rules", "/dev/null", "--incidents", "/nonexistent"),
        ("undo",),
        ("undo", "some-attempt"),
        ("version", "surplus"),
    ],
    ids=lambda arguments: " ".join(arguments) or "(nothing)",
)
def test_wrong_usage_is_64_and_says_why_on_standard_error(inside, arguments):
    code, out, err = inside(*arguments)
    assert (code, out) == (64, "")
    assert err
    assert "Traceback" not in err


@pytest.mark.parametrize(("typed", "said"), [("stauts", "Did you mean status?"), ("zzz", "there is no command zzz.")])
def test_a_command_that_is_not_there_is_64_with_the_one_that_was_meant(inside, typed, said):
    code, _, error = inside(typed)
    assert (code, said in error) == (64, True)


def test_local_and_a_settings_file_exclude_each_other(inside, site):
    code, _, err = inside("plan", "--local", "-c", str(site.settings))
    assert code == 64
    assert "exclude each other" in err


def test_without_settings_the_message_names_every_way_to_go_on(inside):
    _, _, err = inside("plan")
    for way in ("-c FILE", "$COMPLIANCE_AGENT_CONFIG", "--local"):
        assert way in err


def test_a_variable_that_names_no_file_is_wrong_usage(inside, monkeypatch):
    monkeypatch.setenv("COMPLIANCE_AGENT_CONFIG", "/nonexistent/settings.yaml")
    code, _, err = inside("plan")
    assert (code, "/nonexistent/settings.yaml" in err) == (64, True)


def test_the_variable_names_the_settings_file(site):
    done = call("config", "show", "-o", "json", COMPLIANCE_AGENT_CONFIG=str(site.settings))
    assert done.returncode == 0
    assert {"setting": "site_id", "value": "north-valley", "origin": f"{site.settings}:1"} in json.loads(done.stdout)[
        "settings"
    ]


@pytest.mark.parametrize("arguments", [("apply",), ("undo", "some-attempt", "--reason", "because")])
def test_with_nobody_to_ask_a_change_needs_yes(site, arguments):
    site.say("bad")
    done = site(*arguments)
    assert done.returncode == 64
    assert "--yes" in done.stderr
    assert site.says() == "bad"
    assert not site.state.exists()


# --- exit codes of the work --------------------------------------------------------------------


def test_clean_is_0_drift_is_2_healed_is_0_and_a_failed_remedy_is_1(tmp_path):
    site = LocalSite(tmp_path, remedies={HEALS: '[ ! -e "$PARAM_PATH.stop" ] && printf good >"$PARAM_PATH"'}).write()
    assert site("plan").returncode == 0
    site.say("bad")
    assert site("plan").returncode == 2
    assert site("scan").returncode == 2
    assert site("apply", "--yes").returncode == 0
    site.path().with_name(f"{HEALS}.stop").touch()
    site.say("bad")
    document, code = site.json("apply", "--yes")
    assert (document["outcomes"], document["exit_code"], code) == ({"failed": 1}, 1, 1)


def test_malformed_settings_are_1_with_every_problem_at_its_file_and_line(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        f"site_id: north-valley\nstate_dir: {tmp_path}\nschedule: {{linux_interval_s: 1}}\nmodus: observe\n"
        "targets:\n  - {id: a, transport: local, port: 99999}\n  - {id: a, transport: local}\n",
        encoding="utf-8",
    )
    for done in (call("plan", "-c", str(path)), call("config", "check", str(path))):
        assert (done.returncode, done.stdout) == (1, "")
        for line in (3, 4, 6, 7):
            assert re.search(rf"^error: {re.escape(str(path))}:{line}:\d+: ", done.stderr, re.MULTILINE), line
        assert "problems; nothing was done." in done.stderr


def test_an_unknown_key_is_refused_with_a_suggestion(site):
    site.settings.write_text(site.settings.read_text().replace("schedule:", "shedule:"), encoding="utf-8")
    done = call("config", "check", str(site.settings))
    assert done.returncode == 1
    assert "shedule" in done.stderr
    assert "did you mean schedule" in done.stderr


def test_a_byte_order_mark_is_accepted(site):
    site.settings.write_bytes(b"\xef\xbb\xbf" + site.settings.read_bytes())
    done = call("config", "check", str(site.settings))
    assert (done.returncode, done.stderr) == (0, "")


# --- streams and documents -----------------------------------------------------------------------


def test_version_answers_in_two_ways(inside):
    code, out, _ = inside("--version")
    assert (code, out) == (0, f"compliance-agent {version()}\n")
    code, out, _ = inside("version")
    assert (code, out.split()[:2]) == (0, ["compliance-agent", version()])
    code, out, _ = inside("version", "-o", "json")
    assert json.loads(out)["compliance_agent"] == version()


def test_version_imports_none_of_the_heavy_libraries():
    code = (
        "import sys\nfrom compliance_agent.cli.main import run\nrun(['--version'])\n"
        "print(sorted({'paramiko', 'pydantic', 'yaml', 'requests', 'rich', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run([command()[0], "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_starts_in_a_python_that_has_imported_nothing_yet(name):
    done = subprocess.run(command(name, "--help"), capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: compliance-agent {name} ")


@pytest.mark.parametrize("arguments", [("plan",), ("plan", "-v"), ("scan", "-v"), ("apply", "--yes", "-v")])
def test_json_is_one_document_on_standard_output_whatever_is_said_beside_it(site, arguments):
    site.say("bad")
    done = site(*arguments, "-o", "json")
    assert done.stdout.count("\n") == 1
    document = json.loads(done.stdout)
    assert (document["schema"], document["command"]) == ("turn/v1", arguments[0])
    assert document["exit_code"] == done.returncode
    assert document["targets"][0]["checks"][0]["verdict"] == "fail"
    assert done.stderr
    if "-v" in arguments:
        for line in done.stderr.splitlines():
            assert {"event", "level", "timestamp"} <= json.loads(line).keys()


def test_ndjson_is_one_check_a_line(tmp_path):
    site = LocalSite(tmp_path, remedies={HEALS: ":", "TEST-FILE-002": ":"}).write()
    rows = [json.loads(line) for line in site("plan", "-o", "ndjson").stdout.splitlines()]
    assert [(row["target"], row["check"], row["verdict"]) for row in rows] == [
        ("front-desk", HEALS, "pass"),
        ("front-desk", "TEST-FILE-002", "pass"),
    ]


@pytest.mark.parametrize("arguments", [("status",), ("doctor",), ("rules", "list"), ("runbooks", "list")])
def test_other_lists_parse_too(site, arguments):
    document = json.loads(site(*arguments, "-o", "json").stdout)
    rows = [json.loads(line) for line in site(*arguments, "-o", "ndjson").stdout.splitlines()]
    assert isinstance(document, dict)
    assert rows
    assert all(isinstance(row, dict) for row in rows)


@pytest.mark.parametrize("arguments", [("config", "show"), ("targets", "list")])
def test_lists_that_need_no_work_parse_too(inside, site, arguments):
    _, out, _ = inside(*arguments, "-c", str(site.settings), "-o", "json")
    assert isinstance(json.loads(out), dict)
    _, out, _ = inside(*arguments, "-c", str(site.settings), "-o", "ndjson")
    assert all(isinstance(json.loads(line), dict) for line in out.splitlines())


def test_a_table_is_on_standard_output_and_progress_on_standard_error(site):
    site.say("bad")
    done = site("plan")
    assert HEALS in done.stdout
    assert "would_change" in done.stdout
    assert "Nothing was written" in done.stdout
    assert "[0/1] front-desk: 1 checks" in done.stderr
    assert "[0/1]" not in done.stdout


def test_colours_are_for_terminals_only_and_never_with_no_color(site):
    site.say("bad")
    arguments = ("plan", "-c", str(site.settings))
    plain = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env=coloured())
    assert ESCAPE not in plain.stdout + plain.stderr
    shown, code = on_a_terminal(*arguments)
    assert (code, "\x1b[1;31m✗ fail" in shown) == (2, True)
    shown, code = on_a_terminal(*arguments, NO_COLOR="1")
    assert (code, "✗ fail" in shown) == (2, True)
    assert re.search(r"\x1b\[[0-9;]*3[0-7]m", shown) is None


def coloured() -> dict[str, str]:
    variables = environment(TERM="xterm-256color")
    del variables["NO_COLOR"]
    return variables


def test_a_narrow_terminal_gets_a_list(site):
    site.say("bad")
    shown, _ = on_a_terminal("plan", "-c", str(site.settings), columns=70, NO_COLOR="1")
    assert "OBSERVED" not in shown
    assert f"{HEALS}  ✗ fail" in re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.mark.parametrize("arguments", [("runbooks", "list", "--local"), ("rules", "list", "--local", "-o", "ndjson")])
def test_a_reader_that_goes_away_is_no_error(arguments):
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


# --- asking --------------------------------------------------------------------------------------


def test_apply_asks_on_a_terminal_and_a_no_changes_nothing(site):
    site.say("bad")
    shown, code = on_a_terminal("apply", "-c", str(site.settings), answers=[("Do 1 thing as shown?", "n\n")])
    assert (code, site.says()) == (2, "bad")
    assert "would_change" in shown


def test_apply_asks_on_a_terminal_and_a_yes_heals(site):
    site.say("bad")
    shown, code = on_a_terminal("apply", "-c", str(site.settings), answers=[("Do 1 thing as shown?", "y\n")])
    assert (code, site.says()) == (0, "good")
    assert "remediated" in shown


def test_an_interrupt_at_the_question_changes_nothing(site):
    site.say("bad")
    shown, code = on_a_terminal("apply", "-c", str(site.settings), answers=[("Do 1 thing as shown?", "^C")])
    assert (code, site.says()) == (1, "bad")
    assert "Stopped." in shown
    assert "Traceback" not in shown


def test_with_nothing_to_do_apply_does_not_ask(site):
    shown, code = on_a_terminal("apply", "-c", str(site.settings))
    assert (code, "There is nothing to do." in shown) == (0, True)


# --- help and documents that can fail ---------------------------------------------------------


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_of_every_command_works(inside, words):
    for option in ("-h", "--help"):
        code, out, err = inside(*words, option)
        assert (code, err) == (0, "")
        assert out.startswith(f"Usage: compliance-agent {' '.join(words)}")


def test_help_lists_every_command_and_the_exit_codes(inside):
    _, out, _ = inside("--help")
    assert [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if re.match(r"  \w", line)][
        : len(COMMANDS)
    ] == list(COMMANDS)
    assert "64 > 1 > 4 > 2 > 3 > 0" in " ".join(out.split())


def rows_of(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    lines = iter(text.split(heading, 1)[1].splitlines())
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows:
            break
    return rows[2:]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_reference_names_every_command_in_order():
    assert [names(row[0])[0] for row in rows_of(CLI_REFERENCE, "# Command line")] == list(COMMANDS)


def test_the_reference_names_every_subcommand():
    documented = {names(row[0])[0]: row[1] for row in rows_of(CLI_REFERENCE, "# Command line")}
    for name, sub in (words for words in every_command() if len(words) == 2):
        assert re.search(rf"`{sub}\b", documented[name]), f"{name} {sub}"


def test_the_reference_tells_the_exit_codes_and_their_order():
    assert {int(row[0]) for row in rows_of(CLI_REFERENCE, "## Exit codes")} == {int(code) for code in PRECEDENCE}
    assert " > ".join(str(int(code)) for code in PRECEDENCE) in CLI_REFERENCE


def test_the_reference_tells_the_code_of_every_outcome():
    from compliance_agent.cli.exits import _OF_OUTCOME

    table = CLI_REFERENCE[CLI_REFERENCE.index("| outcome of drift") :]
    documented = {name: int(row[1]) for row in rows_of("#" + table, "#") for name in names(row[0])}
    assert documented == {kind.value: int(_OF_OUTCOME[kind]) for kind in OutcomeKind}


def test_the_patterns_page_has_exactly_the_operators_that_there_are():
    assert {name for row in rows_of(PATTERNS, "## Operators") for name in names(row[0])} == set(OPERATOR_NAMES)


def test_the_reference_has_exactly_the_handler_prefixes_that_there_are():
    assert [names(row[0])[0].partition(":")[0] for row in rows_of(CLI_REFERENCE, "## Actions")] == list(HANDLERS)


# --- config ----------------------------------------------------------------------------------------


def test_the_example_passes_its_own_check(inside, tmp_path):
    _, example, _ = inside("config", "example")
    path = tmp_path / "settings.yaml"
    path.write_text(example.replace("/var/lib/compliance-agent", str(tmp_path / "state")), encoding="utf-8")
    code, out, err = inside("config", "check", str(path))
    assert (code, err) == (0, "")
    assert "no problem found; 1 target" in out


def test_config_show_tells_where_each_value_comes_from(inside, site):
    _, out, _ = inside("config", "show", "-c", str(site.settings), "-o", "json")
    rows = {row["setting"]: row for row in json.loads(out)["settings"]}
    assert rows["schedule.linux_interval_s"]["value"] == "5"
    assert rows["schedule.linux_interval_s"]["origin"] == f"{site.settings}:6"
    assert rows["schedule.workers"] == {"setting": "schedule.workers", "value": "16", "origin": "default"}


# --- rules and runbooks ------------------------------------------------------------------------

QUARANTINED = {
    "T-UNKNOWN-RUNBOOK": ("run_linux_runbook:LIN-NONE-999", "there is no runbook LIN-NONE-999"),
    "T-UNKNOWN-PREFIX": ("run_shell:reboot", "unknown handler prefix 'run_shell'"),
    "RB-AUTO-7": ("run_linux_runbook:AUTO-0007", "AUTO-0007 is a placeholder"),
    "T-WINDOWS": ("run_windows_runbook:LIN-SSH-001", "is for linux, not windows"),
    "T-NO-PREFIX": ("reboot", "need prefix:argument"),
    "T-DETECT-ONLY": ("run_linux_runbook:LIN-PATCH-001", "only detects"),
}


@pytest.fixture
def mixed(tmp_path):
    """Return a site with one good rule, one that replaces a built-in one, and many that cannot be used."""
    rules = [a_rule(HEALS), a_rule("LIN-PERM-001", "alert:shadow", rule_id="L1-LIN-PERM-001")]
    rules += [a_rule("LIN-SSH-001", action, rule_id=name) for name, (action, _) in QUARANTINED.items()]
    rules.append(a_rule("LIN-SSH-001", "alert:x", rule_id="T-EMPTY", incident_pattern={}))
    return LocalSite(tmp_path, rules=rules).write()


def test_rules_list_shows_what_is_set_aside_and_why(inside, mixed):
    code, out, _ = inside("rules", "list", "-c", str(mixed.settings), "-o", "json")
    document = json.loads(out)
    aside = {row["rule"]: row for row in document["quarantined"]}
    for name, (action, reason) in QUARANTINED.items():
        assert aside[name]["action"] == action
        assert reason in aside[name]["reason"]
        assert aside[name]["place"].startswith(f"{mixed.folder}/rules/local.json:1:")
    assert aside["L1-LIN-PERM-001"]["source"] == "builtin"
    assert "replaced by the local rule" in aside["L1-LIN-PERM-001"]["reason"]
    assert "T-EMPTY" in aside
    admitted = {row["rule"]: row for row in document["rules"]}
    assert (admitted["L1-LIN-PERM-001"]["action"], code) == ("alert:shadow", 0)
    assert not admitted.keys() & {*QUARANTINED, "T-EMPTY"}


def test_people_are_shown_the_same(inside, mixed):
    _, out, _ = inside("rules", "list", "-c", str(mixed.settings))
    _, doctor, _ = inside("doctor", "-c", str(mixed.settings))
    _, _, warned = inside("config", "check", str(mixed.settings))
    for text in (out, doctor, warned):
        words = " ".join(text.split())
        for name, (_, reason) in QUARANTINED.items():
            assert name in words
            assert reason in words


def test_runbooks_list_and_show(inside, site):
    _, out, _ = inside("runbooks", "list", "-c", str(site.settings), "-o", "json")
    rows = {row["runbook"]: row for row in json.loads(out)["runbooks"]}
    assert {HEALS, "LIN-SSH-001"} <= rows.keys()
    assert all(row["hipaa"] for row in rows.values())
    for name in rows:
        code, out, _ = inside("runbooks", "show", name, "-c", str(site.settings))
        assert (code, name in out, "detect" in out) == (0, True, True)


def test_runbooks_can_be_looked_at_without_any_settings(inside):
    code, out, _ = inside("runbooks", "show", "LIN-SSH-001", "-o", "json")
    assert (code, json.loads(out)["id"]) == (0, "LIN-SSH-001")


def test_a_broken_runbook_is_named_with_line_and_column(inside, site):
    folder = site.folder / "content"
    path = folder / f"{HEALS}.yaml"
    path.write_text(path.read_text().replace("severity: low", "severity: tiny"), encoding="utf-8")
    for arguments in (("runbooks", "check", str(folder)), ("runbooks", "list", "-c", str(site.settings))):
        code, out, err = inside(*arguments)
        assert (code, out) == (1, "")
        assert re.search(rf"^error: {re.escape(str(path))}:6:\d+: severity: ", err, re.MULTILINE), err


def test_whole_folders_of_runbooks_pass_their_check(inside, site):
    code, out, _ = inside("runbooks", "check")
    builtin = int(out.split()[0])
    assert (code, builtin >= 10) == (0, True)
    _, out, _ = inside("runbooks", "check", str(site.folder / "content"))
    assert out.startswith(f"{builtin + 1} runbooks checked")


# --- explain ---------------------------------------------------------------------------------------


@pytest.fixture
def incident(mixed) -> Path:
    mixed.say("bad")
    planned, _ = mixed.json("plan")
    (check,) = planned["targets"][0]["checks"]
    path = Path(mixed.folder) / "incident.json"
    path.write_text(json.dumps(check["incident"]), encoding="utf-8")
    return path


def test_explain_tells_clause_by_clause(inside, mixed, incident):
    code, out, _ = inside("explain", str(incident), "-c", str(mixed.settings), "-o", "json", "--limit", "50")
    document: dict[str, Any] = json.loads(out)
    rows = {row["rule"]: row for row in document["rules"]}
    assert (document["winner"], code) == (f"T-{HEALS}", 0)
    assert rows[f"T-{HEALS}"]["matches"] is True
    loser = rows["L1-LIN-SSH-001"]
    assert (loser["matches"], loser["clauses"][0]["holds"]) == (False, False)


def test_explain_of_one_rule_shows_every_clause(inside, mixed, incident):
    _, out, _ = inside("explain", str(incident), "--rule", f"T-{HEALS}", "-c", str(mixed.settings), "-o", "json")
    (row,) = json.loads(out)["rules"]
    assert [(one["field"], one["holds"]) for one in row["clauses"]] == [("check_id", True)]
    assert [gate["allows"] for gate in row["gate"]] == [True] * 10
    code, out, _ = inside("explain", str(incident), "--rule", f"T-{HEALS}", "-c", str(mixed.settings))
    assert (code, f"Winner: T-{HEALS}" in out, "✓ check_id" in out) == (0, True, True)


@pytest.mark.parametrize(("rule", "why"), [("T-WINDOWS", "is for linux, not windows"), ("T-NOBODY", "rules list")])
def test_explain_of_a_rule_that_cannot_match_says_why(inside, mixed, incident, rule, why):
    code, out, err = inside("explain", str(incident), "--rule", rule, "-c", str(mixed.settings))
    assert (code, out) == (64, "")
    assert rule in err
    assert why in err


@pytest.mark.parametrize("text", ["[]", "{", "7"])
def test_what_is_no_incident_is_1_with_its_name(inside, tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    code, out, err = inside("explain", str(path), "--local")
    assert (code, out) == (1, "")
    assert str(path) in err


def test_doctor_names_what_is_missing_for_a_machine(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text(
        f"site_id: north-valley\nstate_dir: {tmp_path / 'state'}\nknown_hosts: none\n"
        f"targets:\n  - {{id: far, host: 192.0.2.1, user: u, identity_file: missing-key}}\n",
        encoding="utf-8",
    )
    done = call("doctor", "-c", str(path))
    assert done.returncode == 1
    assert "missing-key" in done.stdout
    assert "no host key is pinned for 192.0.2.1:22" in done.stdout
