"""Runbook and resource documents: typed, then judged for all that types cannot say.

What passes here compiles into steps and judges facts without surprises at run time: every pattern
compiles, every parameter fits, every resource has the operation that its phase needs, no two steps
report the same fact, and patterns look only at facts that some step reports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import ValidationError

from compliance_agent.domain.observation import HostFacts
from compliance_agent.domain.parameters import REFERENCE, problem_with, substitute
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.runbook import Model, Resource, Runbook
from compliance_agent.wire.rule_document import pattern_problem
from compliance_agent.wire.validation import did_you_mean, problems_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.catalogue import Library
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.runbook import FactSchema, Parameter, Phase, Step
    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Located, Path

ARGUMENT_BYTES_MAX: Final = 131_071
"""Largest script with its library, in bytes: the kernel's limit for one argument, without its end."""

_Content = TypeVar("_Content", bound=Model)

_HOST_FACTS: Final = {
    name: "boolean" if name in {"is_root", "systemd", "container", "domain_joined"} else "string"
    for name in (field.name for field in fields(HostFacts))
}
_APPLIANCE_KNOWS: Final = {"login_by"}
"""Host facts that no machine is asked for."""
_WINDOWS_ONLY: Final = {"product", "edition", "domain_joined"}
_LINUX_ONLY: Final = {"os_id", "os_like", "systemd"}


def read_runbook(document: Located, *, stem: str) -> tuple[Runbook | None, list[InputProblem]]:
    """Return the runbook of a document, or why it is none. ``stem`` is the file's name without its ending."""
    return _read(document, Runbook, stem)


def read_resource(document: Located, *, stem: str) -> tuple[Resource | None, list[InputProblem]]:
    """Return the resource of a document, or why it is none. ``stem`` is the file's name without its ending."""
    return _read(document, Resource, stem)


def _read(document: Located, model: type[_Content], stem: str) -> tuple[_Content | None, list[InputProblem]]:
    try:
        content = model.model_validate(document.value)
    except ValidationError as error:
        return None, problems_of(error, document, model=model)
    found: str = content.id  # type: ignore[attr-defined]  # both models have one
    if found != stem:
        message = f"the id {found} stands in a file named {stem}"
        return content, [document.problem(("id",), message, f"name the file {found}.yaml, or correct the id")]
    return content, []


def resource_problems(document: Located, resource: Resource, library: Library) -> list[InputProblem]:
    """Return what is wrong with a resource beyond its types."""
    problems = list(_parameter_problems(document, resource.parameters))
    operations = {"get": resource.get, "set": resource.set, "restore": resource.restore}
    if not any(operations.values()):
        problems.append(document.problem((), "the resource has no operation", "give it get, set or restore"))
    if resource.get is not None and not resource.facts:
        problems.append(document.problem(("get",), "get reports facts, and none are declared", "add facts"))
    windows = resource.platforms == ("windows",)
    if bool(resource.functions) and not windows:
        problems.append(document.problem(("functions",), "functions are for Windows", "remove it"))
    for name, operation in operations.items():
        if operation is not None and not windows:
            path: Path = (name, "script")
            problems += _length_problems(document, path, operation.script, library, change=name != "get")
    return problems


def host_problems(document: Located, host: Resource, *, windows: bool = False) -> list[InputProblem]:
    """Return why a resource cannot be the one that tells what a machine is."""
    others = _LINUX_ONLY if windows else _WINDOWS_ONLY
    problems = []
    if host.get is None:
        problems.append(document.problem((), f"the resource {host.id} has no get", "add one"))
    if host.parameters:
        problems.append(document.problem(("parameters",), f"the resource {host.id} takes no parameters", "remove them"))
    asked = {name: kind for name, kind in _HOST_FACTS.items() if name not in _APPLIANCE_KNOWS | others}
    for name in sorted(asked.keys() | host.facts.keys()):
        found = host.facts.get(name)
        wanted = asked.get(name)
        if wanted is None:
            problems.append(document.problem(("facts", name), f"the agent knows no host fact {name}", "remove it"))
        elif found is None:
            problems.append(document.problem(("facts",), f"the host fact {name} is missing", f"add it as a {wanted}"))
        elif found.type != wanted or found.optional:
            message = f"the host fact {name} must be a {wanted} that is always reported"
            problems.append(document.problem(("facts", name), message))
    return problems


def runbook_problems(
    document: Located, runbook: Runbook, resources: Mapping[str, Resource | None], library: Library
) -> list[InputProblem]:
    """Return what is wrong with a runbook beyond its types.

    Args:
        document: Where it was read.
        runbook: As read.
        resources: All resources by id; ``None`` for one whose own file is broken (reported there).
        library: The shell library that stands before every script.

    """
    return list(_Judge(document, runbook, resources, library).problems())


def resources_of(runbook: Runbook) -> set[str]:
    """Return the ids of the resources that a runbook's steps use."""
    phases = (runbook.detect, runbook.remediate, runbook.rollback)
    return {step.resource for phase in phases if phase for step in phase.steps if step.resource}


def _parameter_problems(document: Located, schemas: Mapping[str, Parameter]) -> Iterator[InputProblem]:
    """Judge each parameter's schema, and its default by it."""
    for name, schema in schemas.items():
        path: Path = ("parameters", name)
        if schema.type != "integer" and (schema.min is not None or schema.max is not None):
            yield document.problem(path, "min and max bound an integer", f"remove them from this {schema.type}")
        if schema.type != "string" and (schema.pattern is not None or schema.choices is not None):
            yield document.problem(path, "pattern and choices bound a string", f"remove them from this {schema.type}")
        if schema.min is not None and schema.max is not None and schema.min > schema.max:
            yield document.problem((*path, "min"), f"min {schema.min} is more than max {schema.max}")
        if schema.pattern is not None:
            try:
                re.compile(schema.pattern)
            except re.error as error:
                yield document.problem((*path, "pattern"), f"is no regular expression: {error}")
                continue
        problem = problem_with(schema, schema.default) if schema.default is not None else ""
        if problem:
            yield document.problem((*path, "default"), f"the default does not fit its own schema: {problem}")


def _length_problems(
    document: Located, path: Path, script: str, library: Library, *, change: bool
) -> Iterator[InputProblem]:
    text = library.detect + (library.change if change else "") + "\n" + script
    size = len(text.encode())
    if size > ARGUMENT_BYTES_MAX:
        message = f"with the shell library this script has {size:,} bytes; a system takes {ARGUMENT_BYTES_MAX:,}"
        yield document.problem(path, message, "shorten it")


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges one runbook."""

    document: Located
    runbook: Runbook
    resources: Mapping[str, Resource | None]
    library: Library

    def problems(self) -> Iterator[InputProblem]:
        yield from _parameter_problems(self.document, self.runbook.parameters)
        if len(self.runbook.platforms) > 1:
            message = "a runbook is for one platform: its scripts are of one language"
            yield self.document.problem(("platforms",), message, "make two runbooks of it")
        phases: tuple[tuple[str, Phase | None, str], ...] = (
            ("detect", self.runbook.detect, "get"),
            ("remediate", self.runbook.remediate, "set"),
            ("rollback", self.runbook.rollback, "restore"),
        )
        for name, phase, operation in phases:
            for index, step in enumerate(phase.steps if phase else ()):
                yield from self._step(step, (name, "steps", index), operation)
        yield from self._collisions()
        yield from self._patterns()

    def _step(self, step: Step, path: Path, operation: str) -> Iterator[InputProblem]:
        if step.script is not None:
            change = operation != "get"
            if self.runbook.platforms == ("linux",):
                yield from _length_problems(self.document, (*path, "script"), step.script, self.library, change=change)
            if operation == "get" and not self.runbook.facts:
                message = "a detect script reports facts, and the runbook declares none"
                yield self.document.problem(path, message, "add facts to the runbook")
            return
        assert step.resource is not None  # noqa: S101 - the model guarantees one of the two
        if step.resource not in self.resources:
            hint = did_you_mean(step.resource, self.resources)
            yield self.document.problem((*path, "resource"), f"there is no resource {step.resource}", hint)
            return
        resource = self.resources[step.resource]
        if resource is None:
            return
        if not set(self.runbook.platforms) <= set(resource.platforms):
            message = f"the resource {resource.id} is for {', '.join(resource.platforms)} alone"
            yield self.document.problem((*path, "resource"), message, "use one for this runbook's platform")
        if {"get": resource.get, "set": resource.set, "restore": resource.restore}[operation] is None:
            message = f"the resource {resource.id} has no {operation}, which this phase needs"
            yield self.document.problem((*path, "resource"), message, f"give it one, or use a script in {path[0]}")
        yield from self._with(step, resource, (*path, "with"))

    def _with(self, step: Step, resource: Resource, path: Path) -> Iterator[InputProblem]:
        for name, value in step.with_.items():
            schema = resource.parameters.get(name)
            if schema is None:
                hint = did_you_mean(name, resource.parameters)
                yield self.document.problem((*path, name), f"the resource {resource.id} has no parameter {name}", hint)
            else:
                yield from self._with_value(value, schema, (*path, name))
        for name, schema in resource.parameters.items():
            if name not in step.with_ and schema.default is None:
                message = f"the resource {resource.id} needs the parameter {name}"
                yield self.document.problem(path, message, "add it under with")

    def _with_value(self, value: JsonValue, schema: Parameter, path: Path) -> Iterator[InputProblem]:
        if isinstance(value, Mapping) and set(value) == {REFERENCE}:
            own = self.runbook.parameters.get(str(value[REFERENCE]))
            if own is None:
                yield self._unknown_parameter(str(value[REFERENCE]), path)
                return
            if own.type != schema.type:
                message = f"{value[REFERENCE]} is of type {own.type}, the resource's parameter of type {schema.type}"
                yield self.document.problem(path, message)
                return
            value = own.default
        problem = problem_with(schema, value) if value is not None else ""
        if problem:
            yield self.document.problem(path, f"the value {problem}")

    def _unknown_parameter(self, name: str, path: Path) -> InputProblem:
        hint = did_you_mean(name, self.runbook.parameters) or "declare it under parameters"
        return self.document.problem(path, f"{REFERENCE} names {name}, which the runbook does not declare", hint)

    def _facts_of(self, step: Step) -> Mapping[str, FactSchema]:
        if step.resource is None:
            return self.runbook.facts
        resource = self.resources.get(step.resource)
        return resource.facts if resource is not None else {}

    def _collisions(self) -> Iterator[InputProblem]:
        """No two steps may report the same name, and none may hide ``host``."""
        steps = self.runbook.detect.steps
        if self.runbook.facts and all(step.script is None for step in steps):
            message = "no script of detect reports these facts"
            yield self.document.problem(("facts",), message, "remove them; a resource declares its own")
        owner: dict[str, int] = {}
        for index, step in enumerate(steps):
            for name in [step.as_] if step.as_ else sorted(self._facts_of(step)):
                path: Path = ("detect", "steps", index)
                if name == "host":
                    yield self.document.problem(path, "host is the name of the machine's own facts", "choose another")
                elif name in owner:
                    message = f"the fact {name} is reported by step {owner[name]} and by step {index}"
                    yield self.document.problem(path, message, "nest one of them: as: NAME")
                owner.setdefault(name, index)

    def _patterns(self) -> Iterator[InputProblem]:
        patterns: list[tuple[Path, JsonValue]] = [(("pass_when",), self.runbook.pass_when)]
        if self.runbook.applies_when is not None:
            patterns.append((("applies_when",), self.runbook.applies_when))
        if self.runbook.remediate is not None:
            guards = self.runbook.remediate.guards
            patterns += [(("remediate", "guards", index, "when"), guard.when) for index, guard in enumerate(guards)]
        known: dict[str, Mapping[str, object] | None] = {"host": _HOST_FACTS}
        for step in self.runbook.detect.steps:
            facts = self._facts_of(step)
            known.update({step.as_: facts} if step.as_ else dict.fromkeys(facts))
        complete = all(self.resources.get(name) is not None for name in resources_of(self.runbook))
        for path, source in patterns:
            problems = list(self._pattern(path, source))
            if not problems and complete:
                problems = list(_unknown_facts(self.document, path, source, known))
            yield from problems

    def _pattern(self, path: Path, source: JsonValue) -> Iterator[InputProblem]:
        defaults = {name: schema.default for name, schema in self.runbook.parameters.items()}
        unset = False
        for place, name in _references(source, path):
            if name not in defaults:
                yield self._unknown_parameter(name, place)
                unset = True
            unset = unset or defaults.get(name) is None
        if unset:  # without a value there is nothing to compile; a target's value is judged when it is given
            return
        filled = substitute(source, defaults)
        try:
            compile_pattern(filled)
        except PatternError as error:
            yield pattern_problem(self.document, path, filled, error)


def _references(value: JsonValue, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield every ``{$param: name}`` of a pattern with its place."""
    if isinstance(value, Mapping):
        if set(value) == {REFERENCE}:
            yield path, str(value[REFERENCE])
            return
        for key, item in value.items():
            yield from _references(item, (*path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _references(item, (*path, index))


def _unknown_facts(
    document: Located, path: Path, pattern: JsonValue, known: Mapping[str, Mapping[str, object] | object | None]
) -> Iterator[InputProblem]:
    """Yield every field of a pattern that no step reports: it could never hold."""
    if not isinstance(pattern, Mapping):
        return
    for key, value in pattern.items():
        place: Path = (*path, key)
        if key in {"$and", "$or"} and isinstance(value, Sequence):
            for index, part in enumerate(value):
                yield from _unknown_facts(document, (*place, index), part, known)
        elif key == "$not":
            yield from _unknown_facts(document, place, value, known)
        elif key.startswith("$") and not key.startswith("$$"):
            continue
        elif key.removeprefix("$") not in known and key not in known:
            yield document.problem(place, f"no step reports the fact {key}", did_you_mean(key, known))
        else:
            nested = known.get(key)
            if isinstance(nested, Mapping):
                yield from _unknown_facts(document, place, value, nested)
