"""The linter and the type checker are really on: what they must find, they find."""

from __future__ import annotations

import subprocess
import sys

import pytest


def program(imports: str, body: str) -> str:
    head = ['"""A module."""', "", "from __future__ import annotations", ""]
    tail = ["def value(text: str) -> int:", '    """Return a number."""', f"    {body}"]
    return "\n".join([*head, *([imports, ""] if imports else []), "", *tail, ""])


def ruff(root, source: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    done = subprocess.run(
        [*command, "--stdin-filename=compliance_agent/domain/planted.py", "-"],
        cwd=root,
        input=source,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("imports", "body", "rule"),
    [
        pytest.param("import os", "return len(text)", "F401", id="an unused import"),
        pytest.param("import datetime", "return datetime.datetime.now().day", "DTZ005", id="a time without a zone"),
        pytest.param("import subprocess", "return subprocess.call(text, shell=True)", "S602", id="a shell string"),
        pytest.param("", "print(text); return 1", "T201", id="a print"),
        pytest.param("", "return int(text)  # noqa", "PGH004", id="a noqa without a code"),
        pytest.param("", "return int(text)  # type: ignore", "PGH003", id="an ignore without a code"),
        pytest.param("", "return int(text)  # " + "TODO: later", "FIX002", id="work left for later"),
    ],
)
def test_ruff_finds_a_planted_fault(root, imports, body, rule) -> None:
    assert rule in ruff(root, program(imports, body))


def test_ruff_lets_the_same_module_pass_without_a_fault(root) -> None:
    assert "All checks passed!" in ruff(root, program("", "return len(text)"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param("return text", "return-value", id="a wrong type"),
        pytest.param("return text.nope", "attr-defined", id="an unknown attribute"),
        pytest.param("return text  # type: ignore", "ignore-without-code", id="an ignore without a code"),
        pytest.param("if isinstance(text, str):\n        return 1\n    return 2", "unreachable", id="dead code"),
    ],
)
def test_mypy_finds_a_planted_fault(root, tmp_path, body, code) -> None:
    module = tmp_path / "planted.py"
    module.write_text(program("", body))
    options = ["--config-file", root / "pyproject.toml", "--cache-dir", tmp_path / "cache"]
    command = [sys.executable, "-m", "mypy", *options, module]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True, timeout=240)
    assert (done.returncode, f"[{code}]" in done.stdout) == (1, True), done.stdout
