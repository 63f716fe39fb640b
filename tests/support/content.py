"""The runbooks that are shipped, their recorded facts, and a way to run their steps without a transport."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from compliance_agent.adapters.runbook_files import load_catalogue
from compliance_agent.domain.bundle import compile_bundle, parse_bundle
from compliance_agent.domain.catalogue import Catalogue
from compliance_agent.domain.observation import HostFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from compliance_agent.domain.bundle import BundleStep, StepResult
    from compliance_agent.domain.catalogue import CompiledRunbook
    from compliance_agent.domain.runbook import Phase, Resource

REPOSITORY: Final = Path(__file__).parents[2]
RUNBOOKS: Final = REPOSITORY / "runbooks"
WINDOWS_RESOURCES: Final = sorted(file.stem for file in (RUNBOOKS / "windows" / "resources").glob("*.yaml"))
GOLDEN: Final = REPOSITORY / "tests" / "golden" / "runbooks"
_NONCE: Final = "00112233445566778899aabbccddeeff"


def shipped() -> Catalogue:
    """Return the catalogue of this source tree, for Linux."""
    return load_catalogue([RUNBOOKS / "linux"])


def shipped_for_windows() -> Catalogue:
    """Return the catalogue of this source tree; of its runbooks those for Windows."""
    whole = load_catalogue([RUNBOOKS])
    windows = [compiled for compiled in whole if compiled.is_for_windows]
    host = whole.resource("host")
    assert host is not None
    resources = {name: found for name in WINDOWS_RESOURCES if (found := whole.resource(name))}
    return Catalogue(windows, host, whole.library, resources, resources["windows_host"])


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """What the detect steps of one check printed on one machine, and what follows from it."""

    check_id: str
    name: str
    host: HostFacts
    parameters: Mapping[str, object]
    stdouts: Sequence[str]
    verdict: str
    reason: str
    guard: str | None

    def __str__(self) -> str:
        """Return the test's id."""
        return f"{self.check_id}: {self.name}"


def recorded_cases() -> list[RecordedCase]:
    """Return every recorded case."""
    return [
        _case(file.stem, entry)
        for file in sorted(GOLDEN.glob("*.yaml"))
        for entry in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]


def _case(check_id: str, entry: Mapping[str, Any]) -> RecordedCase:
    host = {**entry["host"], "os_like": tuple(entry["host"].get("os_like", ()))}
    return RecordedCase(
        check_id=check_id,
        name=entry["case"],
        host=HostFacts(**host),
        parameters=entry.get("parameters", {}),
        stdouts=entry["steps"],
        verdict=entry["verdict"],
        reason=entry.get("reason", ""),
        guard=entry.get("guard"),
    )


@dataclass(frozen=True, slots=True)
class ShippedScript:
    """One script of the content, with the library that stands in front of it."""

    name: str
    text: str
    library: str

    def __str__(self) -> str:
        """Return the test's id."""
        return self.name


def shipped_scripts() -> list[ShippedScript]:
    """Return every script of every runbook and resource, and the library."""
    catalogue = shipped()
    detect, change = catalogue.library.detect, catalogue.library.detect + catalogue.library.change
    scripts = [ShippedScript("library", "", change)]
    resources: dict[str, Resource] = {}
    for compiled in catalogue:
        resources |= compiled.resources
        for phase_name, phase in phases(compiled):
            library = detect if phase_name == "detect" else change
            scripts += [
                ShippedScript(f"{compiled.id} {phase_name} {index}", step.script, library)
                for index, step in enumerate(phase.steps)
                if step.script
            ]
    for resource in resources.values():
        for operation, library in (("get", detect), ("set", change), ("restore", change)):
            found = getattr(resource, operation)
            if found is not None:
                scripts.append(ShippedScript(f"{resource.id} {operation}", found.script, library))
    scripts.append(ShippedScript("host get", catalogue.host_step().script.removeprefix(detect), detect))
    return scripts


def phases(compiled: CompiledRunbook) -> Iterator[tuple[str, Phase]]:
    """Yield the phases that a runbook has, by name."""
    for name in ("detect", "remediate", "rollback"):
        phase = getattr(compiled.runbook, name)
        if phase is not None:
            yield name, phase


def run_steps(
    steps: Sequence[BundleStep], execute: Callable[[str], bytes], *, stop_on_failure: bool = False
) -> dict[str, StepResult]:
    """Run steps as one bundle; ``execute`` takes the script and returns its standard output."""
    script = compile_bundle(steps, nonce=_NONCE, stop_on_failure=stop_on_failure)
    return parse_bundle(execute(script), nonce=_NONCE, step_ids=[step.step_id for step in steps])


def execute_here(script: str, *prefix: str) -> bytes:
    """Run a bundle on this machine, as the local transport does."""
    command = [*prefix, "/bin/sh", "-s"]
    return subprocess.run(command, input=script.encode(), capture_output=True, timeout=120, check=False).stdout
