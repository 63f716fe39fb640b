"""The Nix files agree with pyproject.toml and with each other, and the module says what it should.

Nothing is built here: that takes a machine that can reach a Nix cache (see nix/README.md).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement

from compliance_agent.app.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

needs_nix = pytest.mark.needs("nix-instantiate")
EXAMPLE = "import nix/tests/example.nix"


def nix(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The dummy store holds nothing: evaluation needs no installed Nix store and no daemon.
    return subprocess.run(
        ["nix-instantiate", *arguments],
        cwd=root,
        env={**os.environ, "NIX_REMOTE": "dummy://"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def evaluate(root: Path, configuration: str, *more: str) -> dict[str, Any]:
    arguments = ["--eval", "--strict", "--json", "nix/tests/evaluate.nix", "--arg", "configuration", configuration]
    done = nix(root, *arguments, *more)
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def dependencies_of_package(root: Path) -> list[str]:
    """Return the words of package.nix's one list ``dependencies = with python3Packages; [ a b ];``."""
    text = (root / "nix" / "package.nix").read_text()
    lists = re.findall(r"^  dependencies = with python3Packages; \[([^\]#]*)\];", text, re.MULTILINE)
    assert len(lists) == 1, "nix/package.nix no longer has the one plain list that this parser reads"
    return str(lists[0]).split()


def test_the_package_depends_on_what_pyproject_names(root, pyproject) -> None:
    assert dependencies_of_package(root) == sorted(Requirement(d).name for d in pyproject["project"]["dependencies"])


def test_the_lock_belongs_to_the_flake(root) -> None:
    url = re.findall(r'inputs\.nixpkgs\.url = "github:([^/"]+)/([^/"]+)/([^/"]+)";', (root / "flake.nix").read_text())
    original = json.loads((root / "flake.lock").read_text())["nodes"]["nixpkgs"]["original"]
    assert url == [(original["owner"], original["repo"], original["ref"])]


def test_the_lock_is_well_formed(root) -> None:
    lock = json.loads((root / "flake.lock").read_text())
    locked = lock["nodes"]["nixpkgs"]["locked"]
    assert (lock["version"], lock["root"], set(lock["nodes"])) == (7, "root", {"root", "nixpkgs"})
    assert re.fullmatch(r"[0-9a-f]{40}", locked["rev"])
    assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", locked["narHash"])


@needs_nix
def test_every_nix_file_parses(root, repository_files) -> None:
    files = [str(name) for name in repository_files if name.suffix == ".nix"]
    done = nix(root, "--parse", *files)
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr


@needs_nix
def test_a_file_that_does_not_parse_is_found(root, tmp_path) -> None:
    (tmp_path / "planted.nix").write_text("{ a = undefined; }")
    assert nix(root, "--parse", str(tmp_path / "planted.nix")).returncode == 1


@needs_nix
def test_the_package_takes_name_and_version_from_pyproject(root, pyproject) -> None:
    expression = """
      let package = import ./nix/package.nix {
        lib = import ./nix/tests/mini-lib.nix;
        python3Packages.buildPythonApplication = arguments: arguments;
      }; in { inherit (package) pname version; }
    """
    done = nix(root, "--eval", "--strict", "--json", "--expr", expression)
    project = pyproject["project"]
    assert json.loads(done.stdout) == {"pname": project["name"], "version": project["version"]}, done.stderr


@needs_nix
def test_the_module_runs_the_agent_with_its_settings_and_secrets(root) -> None:
    made = evaluate(root, EXAMPLE)
    service = made["service"]["serviceConfig"]
    assert made["failed"] == []
    assert (
        service["ExecStart"] == "/opt/compliance-agent/bin/compliance-agent run -c /etc/compliance-agent/settings.yaml"
    )
    assert service["LoadCredential"] == ["web1-key:/run/secrets/web1-key"]


@needs_nix
def test_the_agent_accepts_the_settings_that_the_module_writes(root, tmp_path) -> None:
    written = json.loads(evaluate(root, EXAMPLE)["settings"])
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps({**written, "state_dir": str(tmp_path)}))
    assert [target.target_id for target in load_settings(path).targets()] == ["web1"]


@needs_nix
def test_a_switch_never_cuts_a_runbook(root) -> None:
    service = evaluate(root, EXAMPLE)["service"]
    assert (service["restartIfChanged"], service["serviceConfig"]["KillMode"]) == (False, "mixed")


@needs_nix
def test_the_unit_has_no_root_and_may_reach_other_machines(root) -> None:
    service = evaluate(root, EXAMPLE)["service"]["serviceConfig"]
    assert (service["DynamicUser"], service["CapabilityBoundingSet"]) == (True, "")
    assert {"AF_INET", "AF_INET6"} <= set(service["RestrictAddressFamilies"])
    assert "PrivateNetwork" not in service


@needs_nix
def test_a_module_that_is_not_enabled_does_nothing(root) -> None:
    assert evaluate(root, "{ services.compliance-agent = { }; }") == {"failed": [], "service": None, "settings": None}


@needs_nix
@pytest.mark.parametrize(
    ("configuration", "named"),
    [
        pytest.param("settings = { };", "settings.site_id is missing: set the clinic's short name", id="no site"),
        pytest.param(
            'credentials.key = "${builtins.storeDir}/abc-key";',
            "credentials.key is not a secret's path",
            id="store path",
        ),
        pytest.param('credentials.key = "keys/a";', "credentials.key is not a secret's path", id="relative path"),
    ],
)
def test_a_failed_assertion_names_the_option_and_the_cure(root, configuration, named) -> None:
    failed = evaluate(root, f"{{ services.compliance-agent = {{ enable = true; {configuration} }}; }}")["failed"]
    assert [message for message in failed if named in message] != []


@needs_nix
@pytest.mark.parametrize(
    ("configuration", "named"),
    [
        pytest.param('enable = "yes";', "services.compliance-agent.enable' is not of type `boolean'", id="wrong type"),
        pytest.param("enabled = true;", "services.compliance-agent.enabled' does not exist", id="unknown option"),
    ],
)
def test_a_wrong_definition_is_refused(root, configuration, named) -> None:
    arguments = ["--arg", "configuration", f"{{ services.compliance-agent = {{ {configuration} }}; }}"]
    done = nix(root, "--eval", "--strict", "--json", "nix/tests/evaluate.nix", *arguments)
    assert (done.returncode, named in done.stderr) == (1, True), done.stderr


@needs_nix
@pytest.mark.needs_variable("NIXPKGS_LIB")
def test_the_real_library_makes_the_same_of_it(root) -> None:
    real = evaluate(root, EXAMPLE, "--arg", "lib", f"import {os.environ['NIXPKGS_LIB']}")
    assert real == evaluate(root, EXAMPLE)
