"""Every PowerShell file: a grammar of PowerShell finds no error in it. No line of it has run on Windows yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import tree_sitter
import tree_sitter_pwsh

from compliance_agent.adapters.transports.winrm import BOOTSTRAP
from compliance_agent.domain.powershell import PREAMBLE
from tests.support.content import RUNBOOKS, shipped_for_windows

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted((RUNBOOKS / "windows").rglob("*.ps1"))
PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_pwsh.language()))


def holds_error(text: str) -> bool:
    return PARSER.parse(text.encode()).root_node.has_error


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_powershell(file: Path) -> None:
    assert not holds_error(file.read_text(encoding="utf-8"))


def test_the_bootstrap_is_powershell() -> None:
    assert not holds_error(BOOTSTRAP)


def test_the_scripts_of_resources_are_powershell() -> None:
    catalogue = shipped_for_windows()
    for name in ("windows_host", "windows_service"):
        resource = catalogue.resource(name)
        assert resource is not None
        for operation in (resource.get, resource.set, resource.restore):
            assert operation is None or not holds_error(PREAMBLE + operation.script)


@pytest.mark.parametrize("text", ["function Get-A {", "if ($a -eq ) { }", "@{ a = }", "'open", "param([string]$A"])
def test_what_is_none_is_told(text: str) -> None:
    assert holds_error(text)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_function_is_strict(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    functions = text.split("\nfunction ")[1:]
    if file.name == "runner.ps1":
        assert text.index("Set-StrictMode") < text.index("function ")
        return
    assert functions
    assert all("Set-StrictMode -Version 3.0" in one for one in functions)
