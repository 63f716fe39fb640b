"""One version: pyproject.toml holds it, everything else agrees."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def version(pyproject) -> str:
    return str(pyproject["project"]["version"])


def test_the_installed_package_has_it(version) -> None:
    assert importlib.metadata.version("compliance-agent") == version


def test_the_command_line_prints_it(version) -> None:
    program = Path(sys.executable).with_name("compliance-agent")
    done = subprocess.run([program, "--version"], capture_output=True, check=True, text=True, timeout=60)
    assert version in done.stdout.split()


def test_the_newest_entry_of_the_changelog_has_it(root, version) -> None:
    headings = re.findall(r"^## \[?(\d[^\]\s]*)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:1] == [version]


def test_the_nix_package_reads_it_from_pyproject(root, version) -> None:
    text = (root / "nix" / "package.nix").read_text()
    assert ("importTOML ../pyproject.toml" in text, "inherit (project) version;" in text) == (True, True)
    assert version not in text
