"""The catalogue: runbooks with their resources resolved, ready to compile into steps and to judge facts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.bundle import BundleStep, StepResult, compile_bundle
from compliance_agent.domain.facts import FactError, parse_facts
from compliance_agent.domain.observation import HostFacts, Verdict
from compliance_agent.domain.parameters import environment, resolve, substitute
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.pattern_nodes import in_words
from compliance_agent.domain.powershell import parse_json_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern import Pattern
    from compliance_agent.domain.pattern_nodes import Clause
    from compliance_agent.domain.runbook import FactSchema, Phase, Resource, Runbook, Step

HOST_STEP: Final = "@host"
HOST_RESOURCE: Final = "host"
WINDOWS_HOST_RESOURCE: Final = "windows_host"
HOST_TIMEOUT_S: Final = 10
WINDOWS_HOST_TIMEOUT_S: Final = 20
ATTEMPT: Final = "attempt"
"""Parameter by which a set or restore of Windows is told the attempt's id."""
_NOBODY_READS: Final = "0" * 32
"""Nonce of the bundle that a dead man's timer runs: nobody listens to its frames."""
_DEADMAN_TIMEOUT_S: Final = 15
_TAKE_TIMEOUT_S: Final = 120


@dataclass(frozen=True, slots=True)
class Library:
    """Shell functions put in front of every script.

    Attributes:
        detect: Read-only helpers, for detect steps.
        change: Helpers that save and restore files, for remediate and rollback steps (after ``detect``).
        runner: PowerShell that runs the steps of a Windows bundle (``domain.powershell``).

    """

    detect: str = ""
    change: str = ""
    runner: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the facts of one check mean."""

    verdict: Verdict
    reason: str
    facts: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class JudgedClauses:
    """Why a verdict is what it is: each clause of both patterns, judged on its own.

    Attributes:
        applies: Of ``applies_when``; empty where the check applies always.
        passes: Of ``pass_when``.

    """

    applies: tuple[Clause, ...]
    passes: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class CompiledRunbook:
    """One runbook with its resources, bound to parameter values where a method takes them.

    Attributes:
        runbook: As written.
        resources: The resources that its steps use, by id.
        library: Shell helpers.
        digest: SHA-256, hex, over all that decides what it does.
        place: File name for people.

    """

    runbook: Runbook
    resources: Mapping[str, Resource]
    library: Library
    digest: str
    place: str = ""

    @property
    def id(self) -> str:
        """Return the runbook's id, which is the check's id."""
        return self.runbook.id

    @property
    def is_for_windows(self) -> bool:
        """Tell whether its scripts are PowerShell."""
        return self.runbook.platforms == ("windows",)

    def parameters(self, given: Mapping[str, object]) -> dict[str, JsonValue]:
        """Return all parameter values; raises ``ParameterError``."""
        return resolve(self.runbook.parameters, given)

    def detect_steps(self, parameters: Mapping[str, JsonValue]) -> list[BundleStep]:
        """Return the steps that report this check's facts. They change nothing."""
        return list(self._compile(self.runbook.detect, "get", self.library.detect, parameters, {}))

    def remediate_steps(self, parameters: Mapping[str, JsonValue], *, attempt_id: str) -> list[BundleStep]:
        """Return the steps that mend; empty when the runbook has no remedy.

        Where the runbook wants a confirmation, the first step arms the timer that undoes the others.
        """
        steps = self._change_steps(self.runbook.remediate, "set", parameters, attempt_id)
        within_s = self.confirm_within_s
        if within_s is None:
            return steps
        undo = compile_bundle(self._undo_steps(parameters, attempt_id), nonce=_NOBODY_READS)
        script = 'ca_deadman_arm "$CA_DEADMAN_S" "$CA_DEADMAN_UNDO"'
        arm = self._deadman("arm", script, attempt_id, CA_DEADMAN_S=str(within_s), CA_DEADMAN_UNDO=undo)
        return [arm, *steps]

    @property
    def confirm_within_s(self) -> int | None:
        """Return within how many seconds a new session must confirm the remedy; ``None`` if none must."""
        return self.runbook.remediate.confirm_within_s if self.runbook.remediate else None

    def confirm_steps(self, *, attempt_id: str) -> list[BundleStep]:
        """Return the step by which a new session keeps the change of that attempt; empty where none is wanted."""
        if self.confirm_within_s is None:
            return []
        return [self._deadman("disarm", "ca_deadman_disarm", attempt_id)]

    def rollback_steps(self, parameters: Mapping[str, JsonValue], *, attempt_id: str) -> list[BundleStep]:
        """Return the steps that undo that attempt; empty when the runbook has no rollback.

        A timer that is still armed undoes it first, at once: two must never undo at the same time.
        """
        steps = self._undo_steps(parameters, attempt_id)
        if self.confirm_within_s is None:
            return steps
        take = self._deadman("take", "ca_deadman_take", attempt_id)
        return [replace(take, timeout_s=_TAKE_TIMEOUT_S), *steps]

    def _undo_steps(self, parameters: Mapping[str, JsonValue], attempt_id: str) -> list[BundleStep]:
        return self._change_steps(self.runbook.rollback, "restore", parameters, attempt_id)

    def _deadman(self, name: str, script: str, attempt_id: str, **more: str) -> BundleStep:
        return BundleStep(
            step_id=f"{self.id}/deadman-{name}",
            script=script,
            prelude=f"{self.library.detect}{self.library.change}\n",
            environment={"CA_ATTEMPT": attempt_id, **more},
            timeout_s=_DEADMAN_TIMEOUT_S,
            needs_root=True,
        )

    def _change_steps(
        self, phase: Phase | None, operation: str, parameters: Mapping[str, JsonValue], attempt_id: str
    ) -> list[BundleStep]:
        if phase is None:
            return []
        library = self.library.detect + self.library.change
        return list(self._compile(phase, operation, library, parameters, {"CA_ATTEMPT": attempt_id}))

    def _compile(
        self,
        phase: Phase,
        operation: str,
        library: str,
        parameters: Mapping[str, JsonValue],
        extra: Mapping[str, str],
    ) -> Iterator[BundleStep]:
        for index, step in enumerate(phase.steps):
            script, values = self._script_of(step, operation, parameters)
            if self.is_for_windows:
                more = {ATTEMPT: extra["CA_ATTEMPT"]} if step.resource and extra else {}
                yield BundleStep(
                    step_id=f"{self.id}/{index}",
                    script=script,
                    prelude=self.resources[step.resource].functions if step.resource else "",
                    timeout_s=step.timeout_s or phase.timeout_s,
                    needs_root=phase.privilege == "root",
                    parameters={**values, **more},
                    language="powershell",
                )
                continue
            yield BundleStep(
                step_id=f"{self.id}/{index}",
                script=script,
                prelude=f"{library}\n" if library else "",
                environment={**environment(values), **extra},
                timeout_s=step.timeout_s or phase.timeout_s,
                needs_root=phase.privilege == "root",
            )

    def _script_of(
        self, step: Step, operation: str, parameters: Mapping[str, JsonValue]
    ) -> tuple[str, Mapping[str, JsonValue]]:
        if step.resource is None:
            assert step.script is not None  # noqa: S101 - the model guarantees one of the two
            return step.script, parameters
        resource = self.resources[step.resource]
        found = {"get": resource.get, "set": resource.set, "restore": resource.restore}[operation]
        if found is None:
            message = f"{self.id}: resource {resource.id} has no {operation}"
            raise ValueError(message)
        given = substitute(step.with_, parameters)
        assert isinstance(given, dict)  # noqa: S101 - a table stays a table
        return found.script, resolve(resource.parameters, given)

    def fact_schema(self, step: Step) -> Mapping[str, FactSchema]:
        """Return the types of the facts that a detect step reports."""
        return self.runbook.facts if step.resource is None else self.resources[step.resource].facts

    def judge(
        self, results: Mapping[str, StepResult], parameters: Mapping[str, JsonValue], host: HostFacts
    ) -> Judgement:
        """Turn what the detect steps reported into a verdict.

        Args:
            results: Step id to result, as the bundle's parser returned them.
            parameters: The values that the steps were compiled with.
            host: Facts of the machine; patterns see them as ``host``.

        """
        facts: dict[str, JsonValue] = {}
        for index, step in enumerate(self.runbook.detect.steps):
            result = results.get(f"{self.id}/{index}") or StepResult(f"{self.id}/{index}")
            if result.needs_root:
                return Judgement(Verdict.NOT_ASSESSED, "needs root", facts)
            if not result.succeeded:
                return Judgement(Verdict.ERROR, f"the check {result.trouble()}", facts)
            try:
                parse = parse_json_facts if self.is_for_windows else parse_facts
                found = parse(result.stdout, self.fact_schema(step))
            except FactError as error:
                return Judgement(Verdict.ERROR, f"the check {error}", facts)
            facts.update({step.as_: found} if step.as_ else found)
        return self._judge_facts(facts, parameters, host)

    def _judge_facts(
        self, facts: Mapping[str, JsonValue], parameters: Mapping[str, JsonValue], host: HostFacts
    ) -> Judgement:
        document = {**facts, "host": host.document()}
        if self.runbook.applies_when is not None:
            applies = self._pattern(self.runbook.applies_when, parameters)
            if not applies.matches(document):
                return Judgement(Verdict.NOT_APPLICABLE, self.runbook.not_applicable_reason, facts)
        failing = self._pattern(self.runbook.pass_when, parameters).first_failing(document)
        if failing is None:
            return Judgement(Verdict.PASS, "as it should be", facts)
        return Judgement(Verdict.FAIL, f"{self.runbook.fail_reason}: {in_words(failing)}", facts)

    def judged_clauses(
        self, facts: Mapping[str, JsonValue], parameters: Mapping[str, JsonValue], host: HostFacts
    ) -> JudgedClauses:
        """Return every clause that decided over these facts, in the order of the patterns."""
        document = {**facts, "host": host.document()}
        applies = self.runbook.applies_when
        return JudgedClauses(
            applies=() if applies is None else tuple(self._pattern(applies, parameters).explain(document)),
            passes=tuple(self._pattern(self.runbook.pass_when, parameters).explain(document)),
        )

    def guard_reason(self, facts: Mapping[str, JsonValue], parameters: Mapping[str, JsonValue], host: HostFacts) -> str:
        """Return why this must not be remediated here, or an empty string."""
        if self.runbook.remediate is None:
            return self.runbook.no_remedy_reason
        document = {**facts, "host": host.document()}
        for guard in self.runbook.remediate.guards:
            if self._pattern(guard.when, parameters).matches(document):
                return guard.reason
        return ""

    @staticmethod
    def _pattern(source: Mapping[str, JsonValue], parameters: Mapping[str, JsonValue]) -> Pattern:
        return compile_pattern(substitute(source, parameters))


class Catalogue:
    """All runbooks that this appliance has. The server can name one; it can never send one."""

    def __init__(
        self,
        runbooks: Iterable[CompiledRunbook],
        host: Resource,
        library: Library,
        resources: Mapping[str, Resource] | None = None,
        windows_host: Resource | None = None,
    ) -> None:
        """Index the runbooks by id (unique; loading sees to that).

        Args:
            runbooks: In any order.
            host: The resource that asks a machine what it is.
            library: Shell helpers.
            resources: All resources by id, those that no runbook uses included.
            windows_host: The resource that asks a Windows machine what it is; ``None`` without such content.

        """
        self._resources = dict(resources or {})
        self._runbooks = {compiled.id: compiled for compiled in sorted(runbooks, key=lambda one: one.id)}
        self._host = host
        self._windows_host = windows_host
        self.library = library

    def __iter__(self) -> Iterator[CompiledRunbook]:
        """Iterate in order of id."""
        return iter(self._runbooks.values())

    def __len__(self) -> int:
        """Return how many runbooks there are."""
        return len(self._runbooks)

    def get(self, runbook_id: str) -> CompiledRunbook | None:
        """Return the runbook of that id, or ``None``."""
        return self._runbooks.get(runbook_id)

    def resource(self, resource_id: str) -> Resource | None:
        """Return the resource of that id, or ``None``."""
        return self._resources.get(resource_id)

    def host_step(self) -> BundleStep:
        """Return the step that asks a machine what it is."""
        assert self._host.get is not None  # noqa: S101 - loading checks it
        return BundleStep(
            HOST_STEP, self._host.get.script, timeout_s=HOST_TIMEOUT_S, prelude=f"{self.library.detect}\n"
        )

    def windows_host_step(self) -> BundleStep | None:
        """Return the step that asks a Windows machine what it is; ``None`` where there is no content for Windows."""
        resource = self._windows_host
        if resource is None or resource.get is None:
            return None
        script = resource.get.script
        return BundleStep(
            HOST_STEP, script, prelude=resource.functions, timeout_s=WINDOWS_HOST_TIMEOUT_S, language="powershell"
        )

    def host_facts(self, result: StepResult, *, windows: bool = False) -> HostFacts:
        """Return what the machine said of itself.

        Raises:
            FactError: It did not say it, or not as promised.

        """
        if not result.succeeded:
            message = f"asking the machine what it is: the step {result.trouble()}"
            raise FactError(message)
        if windows and self._windows_host is not None:
            said = parse_json_facts(result.stdout, self._windows_host.facts)
            return replace(HostFacts(os_id="windows"), **said)  # type: ignore[arg-type]  # as below
        facts = parse_facts(result.stdout, self._host.facts)
        like = facts.pop("os_like")
        host = replace(HostFacts(), **facts)  # type: ignore[arg-type]  # the schema types each field
        return replace(host, os_like=tuple(str(like).split()))


def digest_of(runbook: Runbook, resources: Mapping[str, Resource], library: Library) -> str:
    """Return SHA-256, hex, over the runbook, the resources that it uses and the shell library."""
    material = {
        "runbook": runbook.model_dump(mode="json", by_alias=True),
        "resources": {key: resources[key].model_dump(mode="json", by_alias=True) for key in sorted(resources)},
        "library": [library.detect, library.change, *([library.runner] if library.runner else ())],
    }
    text = json.dumps(material, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
