"""What is committed is text, carries no secret, and knows nothing of the machine that it was written on."""

from __future__ import annotations

import ast
import os
import re
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE_LINES_MAX: Final = 400
LONG_MODULES: Final[dict[str, str]] = {}
"""Modules that may be longer, each with its reason."""

# Written so that no pattern matches its own text in this file. guest, operator and clerk live on overlay machines.
PLACES: Final = {
    "a folder of one machine": re.compile(
        r"(?<![\w.$}-])/(?:wor[k]|roo[t]/\.pyenv|home/(?!(?:dev|USER|you|guest|operator|clerk)\b)\w+)/"
    ),
    "a package registry": re.compile(
        r"pypi\.org|pythonhosted\.org|(?:deb|security|snapshot)\.debian\.org|registry\.npmjs\.org|proxy\.golang\.org"
    ),
}
SECRETS: Final = {
    "a private key": re.compile(r"PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a cloud access key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "an access token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[0-9A-Za-z-]{20}|glpat-[\w-]{20})"),
    "a password in an address": re.compile(r"://[^\s/:@$<{]+:[^\s/:@$<{*]{3,}@(?!example)[a-z]"),
}

INVENTED_SECRETS: Final = {
    "tests/unit/domain/test_scrub.py": "what the scrubber must recognise",
    "tests/unit/domain/test_scrub_corpus.py": "the same",
    **{f"tests/golden/scrub/{name}.yaml": "the same" for name in ("commands", "outputs", "shapes", "values")},
    "tests/unit/app/test_settings.py": "an address with a password, which settings refuse",
}
"""Files that must hold what looks like a secret, each with its reason."""


def findings(root: Path, files: list[Path], patterns: dict[str, re.Pattern[str]]) -> list[str]:
    found = []
    for name in files:
        text = (root / name).read_text(errors="replace")
        for what, pattern in patterns.items():
            found += [f"{name}: {what}: {match.group()[:40]}" for match in pattern.finditer(text)]
    return found


def modules(root: Path) -> Iterator[tuple[str, str]]:
    for package in ("compliance_agent", "central_command"):
        for path in sorted((root / package).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path.read_text()


def test_no_file_names_a_machine_or_a_registry(root, repository_files) -> None:
    assert findings(root, repository_files, PLACES) == []


def test_no_file_holds_what_looks_like_a_secret(root, repository_files) -> None:
    files = [name for name in repository_files if name.as_posix() not in INVENTED_SECRETS]
    assert findings(root, files, SECRETS) == []


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        pytest.param(PLACES, "see /wor" + "k/main/x", id="a machine's folder"),
        pytest.param(PLACES, "https://pypi" + ".org/simple", id="a registry"),
        pytest.param(SECRETS, "-----BEGIN PRIVATE KEY-----\n" + "A" * 40, id="a key"),
        pytest.param(SECRETS, "postgres://agent:hunter2" + "@db/agent", id="a password in an address"),
    ],
)
def test_a_planted_place_or_secret_is_found(tmp_path, patterns, text) -> None:
    (tmp_path / "planted").write_text(text)
    assert len(findings(tmp_path, [tmp_path / "planted"], patterns)) == 1


def test_every_file_is_text(root, repository_files) -> None:
    binary = []
    for name in repository_files:
        content = (root / name).read_bytes()
        try:
            content.decode()
        except UnicodeDecodeError:
            binary.append(str(name))
        else:
            binary += [str(name)] if b"\0" in content else []
    assert binary == []


def test_every_module_says_what_it_is(root) -> None:
    assert [name for name, text in modules(root) if ast.get_docstring(ast.parse(text)) is None] == []


def test_no_module_is_long_without_a_reason(root) -> None:
    long = {name for name, text in modules(root) if len(text.splitlines()) > MODULE_LINES_MAX}
    assert long == set(LONG_MODULES)


def test_what_names_its_interpreter_may_be_executed(root, repository_files) -> None:
    programs = [name for name in repository_files if (root / name).read_bytes().startswith(b"#!")]
    assert [str(name) for name in programs if not os.access(root / name, os.X_OK)] == []
