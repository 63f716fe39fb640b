"""What types cannot say of runbook files: their scripts, references and citations, each problem with file and line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.adapters.input_files import read_input
from compliance_agent.adapters.runbook_data import hipaa_citations, known_references
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, content_files
from compliance_agent.adapters.shellcheck import shellcheck
from compliance_agent.domain.content_rules import (
    citation_problems,
    forbidden_commands,
    reference_problem,
    unknown_parameters,
    unquoted_parameters,
)
from compliance_agent.errors import InputProblem
from compliance_agent.wire.text import decode
from compliance_agent.wire.yaml_document import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from compliance_agent.wire.located import Located

_PHASES: Final = ("detect", "remediate", "rollback")
_OPERATIONS: Final = ("get", "set", "restore")
_VARIABLE: Final = re.compile(r"\b(ca_[a-z0-9_]+)=")


@dataclass(frozen=True, slots=True)
class Script:
    """One script, and where it stands.

    Attributes:
        source: The file.
        path: Where in the document, as people write it; empty for a library.
        first_line: Line of the file on which the script begins.
        text: The script.
        parameters: Names that it may use; ``None`` for a library.

    """

    source: str
    path: str
    first_line: int
    text: str
    parameters: tuple[str, ...] | None

    def problem(self, line: int, message: str, hint: str) -> InputProblem:
        """Return a problem on a line of the script."""
        return InputProblem(self.source, message, line=self.first_line + line - 1, path=self.path, hint=hint)


def content_problems(paths: Sequence[Path], *, program: str | None) -> list[InputProblem]:
    """Return every problem with scripts, references and citations of these folders of runbooks.

    Args:
        paths: Folders that ``load_catalogue`` has read without complaint.
        program: ShellCheck, or ``None`` to leave it out.

    Raises:
        InputError: A file has gone meanwhile, or ShellCheck itself fails.

    """
    runbooks, resources, libraries = content_files(paths)
    documents = [read_yaml(read_input(file), source=str(file)) for file in (*runbooks, *resources)]
    scripts = [script for document in documents for script in _scripts(document)]
    scripts += [Script(str(file), "", 1, decode(read_input(file), source=str(file)), None) for file in libraries]
    problems = [problem for document in documents for problem in _names(document)]
    problems += [problem for script in scripts for problem in _by_our_rules(script)]
    if program is not None:
        problems += _by_shellcheck(program, scripts)
    return sorted(problems, key=lambda one: (one.source, one.line, one.message))


def _scripts(document: Located) -> Iterator[Script]:
    content: Any = document.value
    declared = tuple(content.get("parameters") or ())
    for name in _PHASES:
        for index, step in enumerate((content.get(name) or {}).get("steps", ())):
            if "script" in step:
                yield _script(document, (name, "steps", index, "script"), step["script"], declared)
    for name in _OPERATIONS:
        if name in content:
            yield _script(document, (name, "script"), content[name]["script"], declared)


def _script(document: Located, path: tuple[str | int, ...], text: str, declared: tuple[str, ...]) -> Script:
    place = document.problem(path, "")
    # A block ("script: |") begins below its key.
    return Script(document.source, place.path, place.line + (1 if "\n" in text else 0), text, declared)


def _names(document: Located) -> Iterator[InputProblem]:
    content: Any = document.value
    known = known_references()
    for index, reference in enumerate(content.get("references") or ()):
        message = reference_problem(reference, known)
        if message:
            hint = "look the name up; runbooks/data/references.yaml lists those that are known"
            yield document.problem(("references", index), message, hint)
    for message in citation_problems((content.get("controls") or {}).get("hipaa", ()), hipaa_citations()):
        hint = "look it up; runbooks/data/hipaa.yaml lists them"
        yield document.problem(("controls", "hipaa"), message, hint)


def _by_our_rules(script: Script) -> Iterator[InputProblem]:
    for line, text in unquoted_parameters(script.text):
        yield script.problem(line, f"a parameter outside double quotes: {text}", 'write "$PARAM_NAME"')
    for line, word in forbidden_commands(script.text):
        hint = "parameters are data, and a target is asked, not fetched from"
        yield script.problem(line, f"{word} evaluates text or reaches for the network", hint)
    if script.parameters is not None:
        for line, name in unknown_parameters(script.text, script.parameters):
            yield script.problem(line, f"uses {name}, which is not declared", "declare it under parameters")


def _by_shellcheck(program: str, scripts: Sequence[Script]) -> Iterator[InputProblem]:
    names = sorted({name for text in _library() for name in _VARIABLE.findall(text)})
    # What the library sets is set, as far as a script is concerned, and what a script does not read others may.
    header = "\n".join(["# shellcheck disable=SC2034", *(f"{name}=''" for name in names)])
    texts = [(header, script.text) for script in scripts]
    for found in shellcheck(program, texts):
        hint = f"https://www.shellcheck.net/wiki/{found.code}"
        yield scripts[found.script].problem(found.line, f"{found.code}: {found.message}", hint)


def _library() -> list[str]:
    return [decode(read_input(file), source=str(file)) for file in content_files([builtin_runbooks_path()])[2]]
