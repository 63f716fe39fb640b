from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.bundle import BundleStep, compile_bundle, parse_bundle
from compliance_agent.domain.text import printable
from tests.support.mischief import MISCHIEF, WITNESS

NONCE = "0123456789abcdef" * 2
SHELLS = [shell for shell in ("/bin/sh", "/bin/bash", "/bin/dash") if shutil.which(shell)]


def run(*steps: BundleStep, shell: str = "/bin/sh", cap: int = 65_536, stop_on_failure: bool = False):
    script = compile_bundle(steps, nonce=NONCE, output_max_bytes=cap, stop_on_failure=stop_on_failure)
    done = subprocess.run([shell, "-s"], input=script.encode(), capture_output=True, check=False, timeout=60)
    return parse_bundle(done.stdout, nonce=NONCE, step_ids=[step.step_id for step in steps], output_max_bytes=cap)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_step_reports_its_own_output_and_exit_code(shell) -> None:
    results = run(BundleStep("a", "echo x=1"), BundleStep("b", "echo y=2; echo oops >&2; exit 3"), shell=shell)
    assert (results["a"].stdout, results["a"].exit_code, results["a"].succeeded) == ("x=1", 0, True)
    assert (results["b"].stdout, results["b"].stderr, results["b"].exit_code) == ("y=2", "oops", 3)
    assert results["b"].trouble() == "exited with 3: oops"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_step_that_hangs_spoils_only_itself(shell) -> None:
    results = run(BundleStep("a", "sleep 60", timeout_s=1), BundleStep("b", "echo fine"), shell=shell)
    assert results["a"].timed_out
    assert results["a"].trouble() == "ran out of its time"
    assert results["b"].succeeded


@pytest.mark.parametrize("shell", SHELLS)
def test_a_step_that_floods_is_cut_and_marked(shell) -> None:
    results = run(BundleStep("a", "yes", timeout_s=20), BundleStep("b", "echo fine"), shell=shell, cap=1000)
    assert results["a"].truncated
    assert not results["a"].succeeded
    assert len(results["a"].stdout) == 1000
    assert results["b"].succeeded


def test_output_of_exactly_the_cap_is_not_marked() -> None:
    results = run(BundleStep("a", "printf %01000d 7"), cap=1000)
    assert results["a"].succeeded
    assert len(results["a"].stdout) == 1000


def test_a_step_that_floods_standard_error_still_ends_well() -> None:
    results = run(BundleStep("a", "head -c 300000 /dev/zero | tr '\\0' e >&2; echo fine"))
    assert results["a"].succeeded
    assert len(results["a"].stderr) == 2000


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 1999, 2000, 2001, 5000])
def test_of_standard_error_the_start_and_the_end_are_kept(length: int) -> None:
    said = "".join(f"{number:05}" for number in range(1000))[:length]
    results = run(BundleStep("a", f"printf %s '{said}' >&2"))
    assert results["a"].stderr == (said if length <= 2000 else said[:1000] + said[-1000:])


def test_a_step_that_kills_its_shell_spoils_only_itself() -> None:
    results = run(BundleStep("a", "kill -9 $PPID"), BundleStep("b", "echo fine"))
    assert not results["a"].succeeded
    assert results["b"].succeeded


def test_a_step_that_prints_frame_marks_spoils_only_itself() -> None:
    forged = f"echo '{NONCE} E a 0'; echo '{NONCE} B b'; echo 'O x=9'; echo 'R 0'; exit 4"
    results = run(BundleStep("a", forged), BundleStep("b", "echo fine"))
    assert results["a"].exit_code == 4
    assert results["b"].stdout == "fine"


def test_a_forged_exit_code_on_standard_error_is_not_believed() -> None:
    results = run(BundleStep("a", "echo 'R 0' >&2; exit 5"))
    assert results["a"].exit_code == 5


def test_a_child_left_behind_cannot_hold_the_session() -> None:
    results = run(BundleStep("a", "sleep 60 & echo x=1", timeout_s=1), BundleStep("b", "echo fine"))
    assert results["a"].timed_out
    assert results["b"].succeeded


def test_a_step_cannot_eat_the_rest_of_the_bundle_from_standard_input() -> None:
    results = run(BundleStep("a", "cat; echo end"), BundleStep("b", "echo fine"))
    assert results["a"].stdout == "end"
    assert results["b"].succeeded


def test_output_without_a_final_newline_is_kept_whole() -> None:
    results = run(BundleStep("a", "printf x=1"), BundleStep("b", "echo fine"))
    assert results["a"].stdout == "x=1"
    assert results["a"].succeeded


def test_changes_stop_at_the_first_step_that_fails() -> None:
    results = run(BundleStep("a", "exit 1"), BundleStep("b", "echo ran"), stop_on_failure=True)
    assert results["b"].trouble() == "never reported its end"


def test_a_step_that_needs_root_says_so_and_is_not_run() -> None:
    script = compile_bundle([BundleStep("a", "echo ran", needs_root=True)], nonce=NONCE)
    script = script.replace("u=$(id -u)", "u=1000")
    done = subprocess.run(["/bin/sh", "-s"], input=script.encode(), capture_output=True, check=True)
    result = parse_bundle(done.stdout, nonce=NONCE, step_ids=["a"])["a"]
    assert result.needs_root
    assert result.trouble() == "needs root"


def test_a_library_is_sent_once_and_stands_in_front_of_each_step_that_shares_it():
    library = 'greet() { echo "hello $1"; }\n'
    steps = [BundleStep(name, f"greet {name}", prelude=library) for name in ("a", "b")]
    results = run(*steps, BundleStep("c", "greet c"))
    assert [results[name].stdout for name in ("a", "b")] == ["hello a", "hello b"]
    assert not results["c"].succeeded
    assert compile_bundle(steps, nonce=NONCE).count("hello") == 1


def test_no_temporary_file_is_needed() -> None:
    """The bundle runs where nothing at all can be written: no here-document, no capture file."""
    script = compile_bundle([BundleStep("a", "echo x=1")], nonce=NONCE)
    assert "<<" not in script
    assert "mktemp" not in script


def test_a_step_that_never_reported_is_unknown() -> None:
    result = parse_bundle(b"", nonce=NONCE, step_ids=["a"])["a"]
    assert not result.succeeded
    assert not result.finished


def test_another_runs_frames_are_not_ours() -> None:
    script = compile_bundle([BundleStep("a", "echo x=1")], nonce="f" * 32)
    done = subprocess.run(["/bin/sh", "-s"], input=script.encode(), capture_output=True, check=True)
    assert not parse_bundle(done.stdout, nonce=NONCE, step_ids=["a"])["a"].finished


@pytest.mark.parametrize("step_id", ["", "a b", "a'b", "$(id)", "x" * 129])
def test_a_malformed_step_id_is_refused(step_id) -> None:
    with pytest.raises(ValueError, match="step id"):
        compile_bundle([BundleStep(step_id, "true")], nonce=NONCE)


@pytest.mark.parametrize("name", ["", "lower", "A B", "A=1;B", "1A"])
def test_a_malformed_variable_name_is_refused(name) -> None:
    with pytest.raises(ValueError, match="environment variable"):
        compile_bundle([BundleStep("a", "true", {name: "x"})], nonce=NONCE)


def test_the_same_step_id_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        compile_bundle([BundleStep("a", "true"), BundleStep("a", "true")], nonce=NONCE)


@pytest.mark.parametrize("nonce", ["", "short", "Z" * 32, "a" * 65])
def test_a_malformed_nonce_is_refused(nonce) -> None:
    with pytest.raises(ValueError, match="nonce"):
        compile_bundle([], nonce=nonce)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50))
def test_a_parameter_reaches_the_script_as_data_whatever_it_holds(value) -> None:
    results = run(BundleStep("a", 'printf "%s|" "$PARAM_X"', {"PARAM_X": value}))
    assert results["a"].stdout == printable(f"{value}|")


@given(st.binary(max_size=400))
def test_any_bytes_can_be_parsed(noise) -> None:
    results = parse_bundle(noise, nonce=NONCE, step_ids=["a"])
    assert not results["a"].succeeded


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", MISCHIEF)
def test_a_step_that_misbehaves_spoils_only_itself(name: str, shell: str) -> None:
    before, after = BundleStep("before", WITNESS), BundleStep("after", WITNESS)
    results = run(before, BundleStep(name, MISCHIEF[name], timeout_s=1), after, shell=shell, cap=1000)
    assert not results[name].succeeded
    assert results["before"].succeeded
    assert results["after"].succeeded
    assert results["after"].stdout == results["before"].stdout
    assert results["after"].stdout.startswith("x=0077 / /")


def test_a_step_alone_sees_its_variables() -> None:
    results = run(BundleStep("a", "echo $CA_X", {"CA_X": "1"}), BundleStep("b", "echo ${CA_X-unset}"))
    assert [results[name].stdout for name in ("a", "b")] == ["1", "unset"]
