"""The import contracts of pyproject.toml hold, and break when a violation is planted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    shutil.copy(root / "pyproject.toml", tmp_path)
    shutil.copytree(
        root / "compliance_agent", tmp_path / "compliance_agent", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def plant(folder: Path, module: str, line: str) -> None:
    path = folder / "compliance_agent" / module
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{line}\n")


def test_every_import_contract_holds(root) -> None:
    done = lint_imports(root)
    assert (done.returncode, "0 broken" in done.stdout) == (0, True), done.stdout


def test_a_copy_without_a_planted_violation_passes(copy) -> None:
    assert lint_imports(copy).returncode == 0


@pytest.mark.parametrize(
    ("module", "line", "named"),
    [
        pytest.param(
            "domain/target.py",
            "import compliance_agent.engine.ports",
            "compliance_agent.domain.target -> compliance_agent.engine.ports",
            id="an import that goes up",
        ),
        pytest.param(
            "engine/ports.py",
            "import compliance_agent.wire",
            "compliance_agent.engine.ports -> compliance_agent.wire",
            id="an import between rooms that do not know each other",
        ),
        pytest.param(
            "domain/target.py",
            "import subprocess",
            "compliance_agent.domain.target -> subprocess",
            id="a process in the domain",
        ),
        pytest.param(
            "engine/ports.py",
            "import time",
            "compliance_agent.engine.ports -> time",
            id="a clock in the engine",
        ),
        pytest.param(
            "wire/planted.py",
            "import socket",
            "compliance_agent.wire.planted -> socket",
            id="a socket in wire",
        ),
        pytest.param("helpers/__init__.py", "", "compliance_agent.helpers", id="a folder that no layer names"),
        pytest.param(
            "adapters/planted.py",
            "import compliance_agent.testing",
            "compliance_agent.adapters.planted -> compliance_agent.testing",
            id="product code that imports the fakes",
        ),
    ],
)
def test_a_planted_violation_is_named(copy, module, line, named) -> None:
    plant(copy, module, line)
    done = lint_imports(copy)
    assert (done.returncode, named in done.stdout.replace("\n", " ")) == (1, True), done.stdout
