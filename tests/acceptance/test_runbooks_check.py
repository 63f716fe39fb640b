"""``runbooks check``: what is wrong with content, with file, line and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.shellcheck import find_shellcheck, shellcheck
from tests.support.cli import cli

if TYPE_CHECKING:
    from pathlib import Path


GOOD = """\
schema: runbook/v1
id: TEST-CHECK-001
version: 1
title: A file is there
check_type: files
severity: low
platforms: [linux]
controls: {hipaa: ["164.312(b)"]}
references: ["ComplianceAsCode: service_sshd_enabled"]
parameters:
  path: {type: string, default: /etc/hostname, description: The file}
facts:
  there: {type: boolean}
detect:
  steps:
    - script: |
        ca_flag there [ -e "$PARAM_PATH" ]
pass_when: {there: true}
fail_reason: it is not there
no_remedy_reason: a person looks
"""


def check(folder: Path, text: str) -> tuple[int, str]:
    (folder / "TEST-CHECK-001.yaml").write_text(text, encoding="utf-8")
    done = cli("runbooks", "check", str(folder))
    return done.returncode, done.stderr.replace(str(folder), "")


def test_the_shipped_content_is_clean() -> None:
    done = cli("runbooks", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" runbooks checked, no problem found.\n")


def test_a_good_runbook_is_clean(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"$PARAM_PATH"', "$PARAM_PATH", ":17: detect.steps[0].script: a parameter outside double quotes"),
        ('"$PARAM_PATH"', '"$PARAM_PTH"', ":17: detect.steps[0].script: uses PARAM_PTH, which is not declared"),
        ("ca_flag there", "local x=1\n        ca_flag there", ":17: detect.steps[0].script: SC3043"),
        ("ca_flag there", "x=$(ls *)\n        ca_flag there", ":17: detect.steps[0].script: SC2035"),
        ("ca_flag there", "eval true\n        ca_flag there", ":17: detect.steps[0].script: eval evaluates text"),
        ("sshd_enabled", "sshd_enable", ":9:14: references[0]: names service_sshd_enable"),
        ("164.312(b)", "164.312(x)", ":8:12: controls.hipaa: 164.312(x) is no standard"),
        ("fail_reason", "fail_resaon", ":19:"),
    ],
    ids=["unquoted", "undeclared", "bashism", "shellcheck", "eval", "reference", "citation", "schema"],
)
def test_a_problem_names_file_line_and_remedy(tmp_path: Path, old: str, new: str, told: str) -> None:
    code, said = check(tmp_path, GOOD.replace(old, new, 1))
    assert code == 1
    assert f"/TEST-CHECK-001.yaml{told}" in said


def test_without_shellcheck_it_is_said_that_scripts_were_not_looked_at_so_closely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compliance_agent.adapters.shellcheck.sys.executable", "/nowhere/python")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_shellcheck() is None


def test_a_shellcheck_that_fails_is_an_error_and_not_silence(tmp_path: Path) -> None:
    from compliance_agent.errors import InputError

    broken = tmp_path / "shellcheck"
    broken.write_text("#!/bin/sh\necho out of memory >&2\nexit 4\n", encoding="utf-8")
    broken.chmod(0o755)
    with pytest.raises(InputError, match="out of memory"):
        shellcheck(str(broken), [("", "true")])
