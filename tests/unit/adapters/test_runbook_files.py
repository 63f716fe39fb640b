"""Runbooks on disk: read whole, or refused with every problem at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters import runbook_files
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HOST = """\
schema: resource/v1
id: host
platforms: [linux]
description: What the machine is.
facts:
  hostname: {type: string}
  os_id: {type: string}
  os_like: {type: string}
  os_version: {type: string}
  kernel: {type: string}
  login_user: {type: string}
  is_root: {type: boolean}
  systemd: {type: boolean}
  container: {type: boolean}
get: {script: "echo hostname=x"}
"""
MODE = """\
schema: resource/v1
id: file_mode
platforms: [linux]
description: Mode of a file.
parameters:
  path: {type: string, description: Which file., pattern: "/.*"}
  mode: {type: integer, description: At most., default: 640, min: 0, max: 777}
facts:
  exists: {type: boolean}
  mode: {type: integer, optional: true}
get: {script: "echo exists=false"}
set: {script: "true"}
restore: {script: "true"}
"""
RUNBOOK = """\
schema: runbook/v1
id: LIN-A-001
version: 1
title: A
check_type: permissions
severity: high
platforms: [linux]
controls: {hipaa: ["164.312(a)(1)"]}
parameters:
  limit: {type: integer, description: Mode., default: 640}
detect:
  steps:
    - resource: file_mode
      with: {path: /etc/shadow, mode: {$param: limit}}
applies_when: {exists: true}
not_applicable_reason: there is no such file
pass_when: {mode: {$lte: {$param: limit}}, host: {container: false}}
fail_reason: others may read it
remediate:
  guards:
    - {when: {host: {os_id: nixos}}, reason: /etc is read-only}
  steps:
    - resource: file_mode
      with: {path: /etc/shadow}
rollback:
  steps:
    - resource: file_mode
      with: {path: /etc/shadow}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with the host resource, one other resource, one runbook and the shell library."""
    linux = tmp_path / "root" / "linux"
    (linux / "resources").mkdir(parents=True)
    (linux / "lib").mkdir()
    (linux / "resources" / "host.yaml").write_text(HOST)
    (linux / "resources" / "file_mode.yaml").write_text(MODE)
    (linux / "LIN-A-001.yaml").write_text(RUNBOOK)
    (linux / "lib" / "detect.sh").write_text("detect() { :; }\n")
    (linux / "lib" / "change.sh").write_text("change() { :; }\n")
    return tmp_path / "root"


def problems_in(*roots: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_catalogue(roots)
    return [str(problem) for problem in caught.value.problems]


def rewrite(root: Path, old: str, new: str, name: str = "LIN-A-001.yaml") -> None:
    file = root / "linux" / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_runbook_is_loaded_with_its_resources_and_the_library(root: Path) -> None:
    (compiled,) = load_catalogue([root])
    assert compiled.id == "LIN-A-001"
    assert list(compiled.resources) == ["file_mode"]
    assert compiled.place == str(root / "linux" / "LIN-A-001.yaml")
    assert compiled.library.detect.startswith("detect()")
    steps = compiled.remediate_steps(compiled.parameters({}), attempt_id="a")
    assert steps[0].environment["PARAM_MODE"] == "640"


def test_the_digest_changes_with_the_library(root: Path) -> None:
    (before,) = load_catalogue([root])
    (root / "linux" / "lib" / "detect.sh").write_text("detect() { false; }\n")
    (after,) = load_catalogue([root])
    assert before.digest != after.digest


def test_an_extra_folder_may_hold_runbooks_and_resources_directly(root: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    (extra / "resources").mkdir(parents=True)
    (extra / "LIN-B-001.yaml").write_text(RUNBOOK.replace("LIN-A", "LIN-B").replace("file_mode", "other"))
    (extra / "resources" / "other.yaml").write_text(MODE.replace("file_mode", "other"))
    assert [one.id for one in load_catalogue([root, extra])] == ["LIN-A-001", "LIN-B-001"]


WINDOWS = """schema: resource/v1
id: thing
platforms: [windows]
description: d
functions: thing.ps1
facts: {there: {type: boolean}}
get: {script: Get-Thing}
"""


def test_a_resource_for_windows_has_the_functions_beside_it(root: Path) -> None:
    folder = root / "windows" / "resources"
    folder.mkdir(parents=True)
    (folder / "thing.yaml").write_text(WINDOWS)
    (folder / "thing.ps1").write_text("function Get-Thing { @{ there = $true } }\n")
    resource = load_catalogue([root]).resource("thing")
    assert resource is not None
    assert "Get-Thing" in resource.functions


@pytest.mark.parametrize("named", ["none.ps1", "../thing.ps1", "thing.txt"])
def test_functions_that_are_not_beside_it_are_refused(root: Path, named: str) -> None:
    folder = root / "windows" / "resources"
    folder.mkdir(parents=True)
    (folder / "thing.yaml").write_text(WINDOWS.replace("thing.ps1", named))
    with pytest.raises(InputError):
        load_catalogue([root])


WRONG = [
    ("id: LIN-A-001", "id: LIN-A-002", ":2:1: id: the id LIN-A-002 stands in a file named LIN-A-001"),
    ("version: 1", "version: 0", ":3:1: version: got 0, need 1 or more"),
    ("severity: high", "severity: hihg", "did you mean high?"),
    ("title: A", "titel: A", "unknown key titel (did you mean title?)"),
    ("platforms: [linux]", "platforms: [windows]", "the resource file_mode is for linux alone"),
    ("    - resource: file_mode\n      with: {path: /etc/shadow, mode", "    - resource: file_mood\n      with: {mode",
     ":13:7: detect.steps[0].resource: there is no resource file_mood (did you mean file_mode?)"),
    ("mode: {$param: limit}}\napplies", "mode: 999}\napplies",
     ":14:33: detect.steps[0].with.mode: the value got 999, need 777 or less"),
    ("mode: {$param: limit}}\napplies", "mode: {$param: limt}}\napplies",
     ":14:33: detect.steps[0].with.mode: $param names limt, which the runbook does not declare (did you mean limit?)"),
    ("mode: {$param: limit}}\napplies", "moed: 1}\napplies", "has no parameter moed (did you mean mode?)"),
    ("with: {path: /etc/shadow, mode", "with: {path: relative, mode", "need a match of /.*"),
    ("with: {path: /etc/shadow, mode", "with: {mode", "the resource file_mode needs the parameter path"),
    ("default: 640", 'default: "640"', "10:46: parameters.limit.default: the default does not fit its own schema"),
    ("type: integer, description: Mode., default: 640", "type: string, description: Mode., default: '640'",
     "limit is of type string, the resource's parameter of type integer"),
    ("description: Mode., default: 640", "description: Mode., default: 640, pattern: x",
     "parameters.limit: pattern and choices bound a string"),
    ("description: Mode., default: 640", "description: Mode., default: 640, min: 5, max: 4", "5 is more than max 4"),
    ("description: Mode., default: 640", "description: Mode., default: 778", "the value got 778, need 777 or less"),
    ("$lte: {$param: limit}", "$lte: {$param: nothing}", ":17:20: pass_when.mode.$lte: $param names nothing"),
    ("$lte: {$param: limit}", "$let: 5", "pass_when.mode.$let: unknown operator $let"),
    ("$lte: {$param: limit}", "$regex: '('", "pass_when.mode.$regex: not a regular expression"),
    ("applies_when: {exists: true}", "applies_when: {}", ":15:1: applies_when: an empty pattern"),
    ("applies_when: {exists: true}", "applies_when: {exits: true}",
     ":15:16: applies_when.exits: no step reports the fact exits (did you mean exists?)"),
    ("applies_when: {exists: true}", "applies_when: {$or: [{exits: true}]}", "no step reports the fact exits"),
    ("host: {container: false}", "host: {contaner: false}", "no step reports the fact contaner"),
    ("when: {host: {os_id: nixos}}", "when: {host: {os_id: {$in: []}}}", "remediate.guards[0].when.host.os_id.$in:"),
    ("detect:\n  steps:\n", "facts: {mode: {type: integer}}\ndetect:\n  steps:\n    - script: echo mode=1\n",
     ": detect.steps[1]: the fact mode is reported by step 0 and by step 1 (nest one of them: as: NAME)"),
    ("detect:\n  steps:\n", "detect:\n  steps:\n    - {resource: file_mode, with: {path: /x}, as: host}\n",
     "host is the name of the machine's own facts"),
    ("detect:\n", "facts: {x: {type: string}}\ndetect:\n", ":11:1: facts: no script of detect reports these facts"),
    ("detect:\n  steps:\n", "detect:\n  steps:\n    - script: echo mode=1\n", "a detect script reports facts"),
    ("fail_reason: others", "pass: yes\nfail_reason: others", ":18:7: pass: yes without quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), WRONG)
def test_what_is_wrong_with_a_runbook_is_named_at_its_place(root: Path, old: str, new: str, expected: str) -> None:
    rewrite(root, old, new)
    found = problems_in(root)
    assert any(expected in problem for problem in found), found
    assert all("LIN-A-001.yaml:" in problem for problem in found)


def test_two_uses_of_one_resource_are_told_apart_by_their_names(root: Path) -> None:
    rewrite(root, "  steps:\n    - resource: file_mode\n      with: {path: /etc/shadow, mode",
            "  steps:\n    - {resource: file_mode, as: other, with: {path: /etc/gshadow}}\n"
            "    - resource: file_mode\n      with: {path: /etc/shadow, mode")  # fmt: skip
    rewrite(root, "host: {container", "other: {mode: 5}, host: {container")
    assert len(load_catalogue([root])) == 1
    rewrite(root, "other: {mode: 5}", "other: {moed: 5}")
    assert "no step reports the fact moed" in problems_in(root)[0]


def test_a_pattern_with_a_parameter_that_has_no_default_is_judged_by_names_only(root: Path) -> None:
    rewrite(root, ", default: 640", "")
    assert len(load_catalogue([root])) == 1


@pytest.mark.parametrize("operation", ["set", "restore"])
def test_a_resource_without_the_operation_that_a_phase_needs_is_named(root: Path, operation: str) -> None:
    rewrite(root, f'{operation}: {{script: "true"}}\n', "", "resources/file_mode.yaml")
    (problem,) = problems_in(root)
    assert f"the resource file_mode has no {operation}" in problem


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("default: 640", "default: 999", ": parameters.mode.default: the default does not fit"),
        ('pattern: "/.*"', 'pattern: "("', "parameters.path.pattern: is no regular expression"),
        ("id: file_mode", "id: file_mood", "stands in a file named file_mode"),
        ("description: Mode of a file.", "descripton: x", "did you mean description?"),
        ("facts:\n  exists: {type: boolean}\n  mode: {type: integer, optional: true}\n", "", "none are declared"),
    ],
)
def test_what_is_wrong_with_a_resource_is_named_at_its_place(root: Path, old: str, new: str, expected: str) -> None:
    rewrite(root, old, new, "resources/file_mode.yaml")
    assert any(expected in problem for problem in problems_in(root))


def test_a_broken_resource_is_not_also_reported_as_unknown(root: Path) -> None:
    (root / "linux" / "resources" / "file_mode.yaml").write_text("id: [\n")
    (problem,) = problems_in(root)
    assert "not YAML" in problem


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  kernel: {type: string}\n", "", "the host fact kernel is missing"),
        ("  kernel: {type: string}\n", "  kernel: {type: integer}\n", "the host fact kernel must be a string"),
        ("is_root: {type: boolean}", "is_root: {type: boolean, optional: true}", "must be a boolean that is always"),
        ("  kernel: {type: string}\n", "  kernel: {type: string}\n  cpu: {type: string}\n", "no host fact cpu"),
        ("get: {script", "set: {script", "the resource host has no get"),
        ("facts:\n", "parameters: {a: {type: string, description: a}}\nfacts:\n", "takes no parameters"),
    ],
)
def test_the_host_resource_must_report_exactly_the_host_facts(root: Path, old: str, new: str, expected: str) -> None:
    rewrite(root, old, new, "resources/host.yaml")
    assert any(expected in problem for problem in problems_in(root))


def test_a_missing_host_resource_is_named(root: Path) -> None:
    (root / "linux" / "resources" / "host.yaml").unlink()
    (problem,) = problems_in(root)
    assert "there is no resource host" in problem


def test_duplicate_ids_name_both_files(root: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    (extra / "resources").mkdir(parents=True)
    (extra / "LIN-A-001.yaml").write_text(RUNBOOK)
    (extra / "resources" / "file_mode.yaml").write_text(MODE)
    found = problems_in(root, extra)
    assert f"{extra}/resources/file_mode.yaml:2:1: id: the resource file_mode stands already in {root}" in found[0]
    assert f"{extra}/LIN-A-001.yaml:2:1: id: the runbook LIN-A-001 stands already in {root}" in found[1]


def test_problems_of_all_files_are_reported_together(root: Path) -> None:
    rewrite(root, "version: 1", "version: 0")
    (root / "linux" / "LIN-B-001.yaml").write_text("a: [\n")
    rewrite(root, "default: 640", "default: 999", "resources/file_mode.yaml")
    assert len(problems_in(root)) == 3


def test_a_script_too_long_for_one_argument_is_refused(root: Path) -> None:
    (root / "linux" / "lib" / "detect.sh").write_text("#" * 131_072)
    assert any("bytes; a system takes" in problem for problem in problems_in(root))


def test_a_shell_library_that_is_no_text_is_reported(root: Path) -> None:
    (root / "linux" / "lib" / "change.sh").write_bytes(b"\xff")
    assert "change.sh:1:1: the byte 0xff is not UTF-8 text" in problems_in(root)[0]


def test_a_resource_folder_that_cannot_be_read_is_reported(root: Path) -> None:
    (root / "linux" / "resources" / "host.yaml").unlink()
    (root / "linux" / "resources" / "host.yaml").mkdir()
    assert "is a folder, not a file" in problems_in(root)[0]


def test_a_folder_that_is_none_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    found = problems_in(root, tmp_path / "none", tmp_path / "file", tmp_path / "empty")
    assert [problem.split(": ", 1)[1].split(" (")[0] for problem in found] == [
        "there is no such folder of runbooks",
        "is a file, not a folder of runbooks",
        "holds no runbooks",
    ]


def test_the_built_in_runbooks_load() -> None:
    catalogue = load_catalogue([builtin_runbooks_path()])
    assert catalogue.host_step().script


def test_missing_built_in_runbooks_are_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runbook_files, "within_package", lambda name: tmp_path / "package" / name)
    with pytest.raises(InputError, match="built-in runbooks are missing"):
        builtin_runbooks_path()


def test_installed_runbooks_go_before_those_beside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runbook_files, "within_package", lambda name: tmp_path / "package" / name)
    (tmp_path / "runbooks").mkdir()
    assert builtin_runbooks_path() == tmp_path / "runbooks"
    (tmp_path / "package" / "_runbooks").mkdir(parents=True)
    assert builtin_runbooks_path() == tmp_path / "package" / "_runbooks"


@pytest.mark.parametrize(
    ("remediate", "rest", "problem"),
    [
        ("confirm_within_s: 60", "", ""),
        ("confirm_within_s: 59", "", "the steps may take 30 s, a login and a detect follow: give it 60"),
        ("confirm_within_s: 60", "verify: {settle_s: 5}\n", "give it 65"),
        ("confirm_within_s: 60\n  privilege: user", "", "a rollback is needed, and root for both"),
        ("confirm_within_s: 20", "", "got 20, need 30 or more"),
    ],
)
def test_a_confirmation_leaves_time_for_the_steps_a_login_and_a_detect(
    root: Path, remediate: str, rest: str, problem: str
) -> None:
    rewrite(root, "remediate:\n", f"{rest}remediate:\n  {remediate}\n")
    if problem:
        assert problem in " ".join(problems_in(root))
    else:
        load_catalogue([root])


def test_a_timer_is_armed_before_and_taken_over_before_the_rollback(root: Path) -> None:
    rewrite(root, "remediate:\n", "remediate:\n  confirm_within_s: 60\n")
    (compiled,) = load_catalogue([root])
    arm, *changes = compiled.remediate_steps({"limit": 640}, attempt_id="a")
    assert (arm.script, arm.environment["CA_DEADMAN_S"]) == ('ca_deadman_arm "$CA_DEADMAN_S" "$CA_DEADMAN_UNDO"', "60")
    assert [step.step_id for step in changes] == ["LIN-A-001/0"]
    (confirm,) = compiled.confirm_steps(attempt_id="a")
    assert (confirm.script, confirm.environment["CA_ATTEMPT"]) == ("ca_deadman_disarm", "a")
    take, *undo = compiled.rollback_steps({"limit": 640}, attempt_id="a")
    assert (take.script, [step.step_id for step in undo]) == ("ca_deadman_take", ["LIN-A-001/0"])
    kept = arm.environment["CA_DEADMAN_UNDO"]
    assert "LIN-A-001/0" in kept
    assert "deadman" not in kept  # the timer's own rollback waits for nobody


def test_without_a_confirmation_there_is_no_timer(root: Path) -> None:
    (compiled,) = load_catalogue([root])
    assert compiled.confirm_steps(attempt_id="a") == []
    steps = compiled.remediate_steps({"limit": 640}, attempt_id="a")
    assert [step.step_id for step in steps] == ["LIN-A-001/0"]
