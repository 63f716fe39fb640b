"""Runbooks, resources and the shell library on disk, read whole or refused with every problem."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.input_files import read_input, unreadable, within_package
from compliance_agent.domain.catalogue import (
    HOST_RESOURCE,
    WINDOWS_HOST_RESOURCE,
    Catalogue,
    CompiledRunbook,
    Library,
    digest_of,
)
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.runbook_document import (
    host_problems,
    read_resource,
    read_runbook,
    resource_problems,
    resources_of,
    runbook_problems,
)
from compliance_agent.wire.text import decode
from compliance_agent.wire.yaml_document import read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compliance_agent.domain.runbook import Resource, Runbook
    from compliance_agent.wire.located import Located

_SUFFIXES: Final = (".yaml", ".yml")


def builtin_runbooks_path() -> Path:
    """Return the folder of the runbooks that come with the package: installed, or beside it in the source tree.

    Raises:
        InputError: Neither is there.

    """
    installed = within_package("_runbooks")
    beside = within_package("").parent / "runbooks"
    for path in (installed, beside):
        if path.is_dir():
            return path
    problem = InputProblem(str(installed), "the built-in runbooks are missing", hint="install the package again")
    raise InputError([problem])


@dataclass(slots=True)
class _Reading:
    """What has been read so far, good and bad."""

    runbooks: dict[str, tuple[Runbook, Located]] = field(default_factory=dict)
    resources: dict[str, tuple[Resource, Located]] = field(default_factory=dict)
    broken_resources: set[str] = field(default_factory=set)
    detect: list[str] = field(default_factory=list)
    change: list[str] = field(default_factory=list)
    runner: list[str] = field(default_factory=list)
    problems: list[InputProblem] = field(default_factory=list)

    @property
    def library(self) -> Library:
        return Library("\n".join(self.detect), "\n".join(self.change), "\n".join(self.runner))


def load_catalogue(paths: Sequence[Path]) -> Catalogue:
    """Read all runbooks.

    Args:
        paths: Folders, the built-in one first. Each holds runbooks (``*.yaml``), ``resources/*.yaml``
            and ``lib/detect.sh`` and ``lib/change.sh``, directly or in ``linux/``. Libraries of
            several folders are joined in this order. ``windows/`` holds runbooks and resources for Windows, the
            resources' functions beside them, and (in the built-in one) ``lib/runner.ps1``.

    Raises:
        InputError: With every problem in every file.

    """
    reading = _Reading()
    for path in paths:
        try:
            _read_root(reading, path)
        except OSError as error:
            reading.problems.append(unreadable(path, error))
    library = reading.library
    resources: dict[str, Resource | None] = dict.fromkeys(reading.broken_resources)
    for resource, document in reading.resources.values():
        problems = resource_problems(document, resource, library)
        resources[resource.id] = None if problems else resource
        reading.problems += problems
    for runbook, document in reading.runbooks.values():
        reading.problems += runbook_problems(document, runbook, resources, library)
    host = _host(reading, paths)
    windows_host = reading.resources.get(WINDOWS_HOST_RESOURCE)
    if windows_host is not None:
        reading.problems += host_problems(windows_host[1], windows_host[0], windows=True)
    if reading.problems or host is None:
        raise InputError(reading.problems)
    good = {name: resource for name, resource in resources.items() if resource is not None}
    runbooks = (_compile(*entry, good, library) for entry in reading.runbooks.values())
    return Catalogue(runbooks, host, library, good, windows_host[0] if windows_host else None)


def content_files(paths: Sequence[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the files that ``load_catalogue`` reads: runbooks, resources, and shell libraries.

    Raises:
        InputError: A folder cannot be listed.

    """
    reading = _Reading()
    folders = [folder for path in paths for folder in (path, path / "linux") if folder.is_dir()]
    runbooks = [file for folder in folders for file in _files(reading, folder)]
    resources = [file for folder in folders for file in _files(reading, folder / "resources")]
    libraries = [folder / "lib" / name for folder in folders for name in ("detect.sh", "change.sh")]
    if reading.problems:
        raise InputError(reading.problems)
    return runbooks, resources, [file for file in libraries if file.exists()]


def _compile(runbook: Runbook, document: Located, resources: dict[str, Resource], library: Library) -> CompiledRunbook:
    used = {name: resources[name] for name in sorted(resources_of(runbook))}
    if runbook.platforms == ("windows",):
        library = Library(runner=library.runner)
    else:
        library = Library(library.detect, library.change)
    return CompiledRunbook(runbook, used, library, digest_of(runbook, used, library), place=document.source)


def _host(reading: _Reading, paths: Sequence[Path]) -> Resource | None:
    found = reading.resources.get(HOST_RESOURCE)
    if found is not None:
        reading.problems += host_problems(found[1], found[0])
        return found[0]
    if HOST_RESOURCE not in reading.broken_resources:
        where = str(paths[0]) if paths else "(no folder)"
        message = f"there is no resource {HOST_RESOURCE}, which tells what a machine is"
        hint = f"add resources/{HOST_RESOURCE}.yaml, or name the built-in runbooks too"
        reading.problems.append(InputProblem(where, message, hint=hint))
    return None


def _read_root(reading: _Reading, root: Path) -> None:
    if not root.is_dir():
        message = "is a file, not a folder of runbooks" if root.exists() else "there is no such folder of runbooks"
        reading.problems.append(InputProblem(str(root), message, hint="check the path and the spelling"))
        return
    found = 0
    libraries = (("detect.sh", reading.detect), ("change.sh", reading.change), ("runner.ps1", reading.runner))
    for folder in (root, root / "linux", root / "windows"):
        if not folder.is_dir():
            continue
        for name, texts in libraries:
            _read_library(reading, folder / "lib" / name, texts)
        for file in _files(reading, folder / "resources"):
            found += 1
            _read_resource(reading, file)
        for file in _files(reading, folder):
            found += 1
            _read_runbook(reading, file)
    if not found and not (root / "windows").is_dir():
        hint = "put *.yaml files there, or take the path out of the settings"
        reading.problems.append(InputProblem(str(root), "holds no runbooks", hint=hint))


def _files(reading: _Reading, folder: Path) -> list[Path]:
    try:
        return sorted(
            file
            for file in folder.iterdir()
            if file.suffix in _SUFFIXES and not file.name.startswith(".") and (file.is_file() or file.is_dir())
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        reading.problems.append(unreadable(folder, error))
        return []


def _read_library(reading: _Reading, file: Path, texts: list[str]) -> None:
    if not file.exists():
        return
    try:
        texts.append(decode(read_input(file), source=str(file)))
    except InputError as error:
        reading.problems += error.problems


def _read_resource(reading: _Reading, file: Path) -> None:
    document = _document(reading, file)
    resource, problems = read_resource(document, stem=file.stem) if document else (None, [])
    if resource is not None and document is not None and resource.functions and not problems:
        resource, problems = _with_functions(resource, document, file)
    reading.problems += problems
    if resource is None or document is None:
        reading.broken_resources.add(file.stem)
    elif resource.id in reading.resources:
        reading.problems.append(_twice(document, reading.resources[resource.id][1], f"resource {resource.id}"))
    else:
        reading.resources[resource.id] = (resource, document)


def _with_functions(resource: Resource, document: Located, file: Path) -> tuple[Resource | None, list[InputProblem]]:
    """Return the resource with the text of the file of functions that it names, which stands beside it."""
    if "/" in resource.functions or not resource.functions.endswith(".ps1"):
        message = f"{resource.functions} is no file of functions beside this one"
        return None, [document.problem(("functions",), message, "name a .ps1 file in the same folder")]
    named = file.with_name(resource.functions)
    try:
        text = decode(read_input(named), source=str(named))
    except InputError as error:
        return None, list(error.problems)
    return resource.model_copy(update={"functions": text}), []


def _read_runbook(reading: _Reading, file: Path) -> None:
    document = _document(reading, file)
    runbook, problems = read_runbook(document, stem=file.stem) if document else (None, [])
    reading.problems += problems
    if runbook is None or document is None:
        return
    if runbook.id in reading.runbooks:
        reading.problems.append(_twice(document, reading.runbooks[runbook.id][1], f"runbook {runbook.id}"))
    else:
        reading.runbooks[runbook.id] = (runbook, document)


def _document(reading: _Reading, file: Path) -> Located | None:
    try:
        return read_yaml(read_input(file), source=str(file))
    except InputError as error:
        reading.problems += error.problems
        return None


def _twice(document: Located, first: Located, what: str) -> InputProblem:
    return document.problem(("id",), f"the {what} stands already in {first.source}", "give one of them another id")
