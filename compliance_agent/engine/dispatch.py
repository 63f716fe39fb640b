"""Dispatch: one visible table from handler prefix to handler, and the doing of what was planned.

``HANDLERS`` is all that an action can name. A rule whose action no handler accepts is quarantined
at load (``engine.admission``), so nothing unknown ever gets here. The target of an action is the
incident's target: there is no parameter by which it could be another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from compliance_agent.domain.bundle import BundleStep
from compliance_agent.domain.catalogue import ATTEMPT
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind, StepRecord
from compliance_agent.domain.parameters import ParameterError, environment, resolve
from compliance_agent.domain.target import Platform
from compliance_agent.engine.scan import run_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.catalogue import Catalogue, CompiledRunbook
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import HostFacts, Observation
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.ports import Session

PLACEHOLDER: Final = "AUTO-"
"""A runbook id that begins so was never a runbook: eleven such rules failed 100 % of the time once."""

_WORDS: Final = re.compile(r"^\S(.{0,198}\S)?$")
_RECORD_CHARACTERS_MAX: Final = 2_000
SERVICE: Final = "service"
WINDOWS_SERVICE: Final = "windows_service"


@dataclass(frozen=True, slots=True)
class Request:
    """All that a handler may know of what it is asked to do."""

    engine: Engine
    target: Target
    observation: Observation
    host: HostFacts
    argument: str
    observations: Mapping[str, Observation]
    """Everything that this scan observed on the target, by check id."""


@dataclass(frozen=True, slots=True)
class Remediation:
    """Something to change on the target.

    Attributes:
        summary: What would be done, for people: ``run LIN-X-001: its title``.
        done: The same when it is done: ``ran LIN-X-001``.
        runbook: The runbook; ``None`` for ``restart_service``.
        parameters: Its values.
        plain_steps: The steps where there is no runbook.

    """

    summary: str
    done: str
    runbook: CompiledRunbook | None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    plain_steps: tuple[BundleStep, ...] = ()

    @property
    def runbook_id(self) -> str:
        """Return the runbook's id, or an empty string."""
        return self.runbook.id if self.runbook else ""

    @property
    def digest(self) -> str:
        """Return the runbook's digest, or an empty string."""
        return self.runbook.digest if self.runbook else ""

    def steps(self, attempt_id: str) -> list[BundleStep]:
        """Return what runs on the target for this attempt."""
        if self.runbook is None:
            return [_of_attempt(step, attempt_id) for step in self.plain_steps]
        steps = self.runbook.remediate_steps(self.parameters, attempt_id=attempt_id)
        settle_s = self.runbook.runbook.verify.settle_s
        if settle_s > 0:  # waiting happens on the target, in the same session: no clock is needed here
            steps.append(_settle(settle_s, windows=self.runbook.is_for_windows))
        return steps

    def confirm_steps(self, attempt_id: str) -> list[BundleStep]:
        """Return what a new session runs to keep the change; empty when nothing is wanted."""
        return self.runbook.confirm_steps(attempt_id=attempt_id) if self.runbook else []

    def rollback_steps(self, attempt_id: str) -> list[BundleStep]:
        """Return what undoes it; empty when nothing does."""
        return self.runbook.rollback_steps(self.parameters, attempt_id=attempt_id) if self.runbook else []


def _of_attempt(step: BundleStep, attempt_id: str) -> BundleStep:
    if step.language == "powershell":
        return replace(step, parameters={**step.parameters, ATTEMPT: attempt_id})
    return replace(step, environment={**step.environment, "CA_ATTEMPT": attempt_id})


def _needs_root(target: Target) -> str:
    if target.platform is Platform.WINDOWS:
        return "needs an administrator on the target: log in as a member of its group Administrators"
    return "needs root on the target: log in as root or set become: sudo"


def _settle(seconds: float, *, windows: bool) -> BundleStep:
    timeout_s = int(seconds) + 5
    if not windows:
        return BundleStep("settle", f"sleep {seconds:g}", timeout_s=timeout_s)
    script = "Start-Sleep -Milliseconds $Parameters['milliseconds']\n@{ verified = $true }"
    parameters = {"milliseconds": int(seconds * 1000)}
    return BundleStep("settle", script, timeout_s=timeout_s, parameters=parameters, language="powershell")


@dataclass(frozen=True, slots=True)
class Notification:
    """Somebody to tell. ``kind`` is ``alerted`` or ``escalated``."""

    summary: str
    kind: OutcomeKind
    name: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Nothing may be done here, and why."""

    reason: str


Work: TypeAlias = Remediation | Notification | NotApplicable


class Handler(Protocol):
    """What a prefix stands for."""

    @property
    def summary(self) -> str:
        """Return one line for people: what the prefix does."""
        ...

    def refusal(self, argument: str, catalogue: Catalogue) -> str:
        """Return why a rule with this argument must not be loaded, or an empty string."""
        ...

    def prepare(self, request: Request) -> Work:
        """Return what to do for one incident. Only called with arguments that were not refused."""
        ...


@dataclass(frozen=True, slots=True)
class RunbookHandler:
    """Runs a runbook of this appliance. ``platform`` ``None`` takes the platform from the runbook."""

    summary: str
    platform: str | None

    def refusal(self, argument: str, catalogue: Catalogue) -> str:
        """Refuse placeholders, unknown runbooks, runbooks of another platform or without remedy."""
        if argument.startswith(PLACEHOLDER):
            return f"{argument} is a placeholder, not a runbook"
        compiled = catalogue.get(argument)
        if compiled is None:
            return f"there is no runbook {argument} on this appliance"
        if self.platform is not None and self.platform not in compiled.runbook.platforms:
            return f"runbook {argument} is for {', '.join(compiled.runbook.platforms)}, not {self.platform}"
        if compiled.runbook.remediate is None:
            return f"runbook {argument} only detects: {compiled.runbook.no_remedy_reason}"
        return ""

    def prepare(self, request: Request) -> Work:
        """Return the remediation, unless a guard of the runbook says no."""
        engine = request.engine
        compiled = engine.catalogue.get(request.argument)
        if compiled is None or compiled.runbook.remediate is None:
            return NotApplicable(f"there is no remedy {request.argument} on this appliance")
        if request.target.platform.value not in compiled.runbook.platforms:
            return NotApplicable(f"runbook {compiled.id} is not for {request.target.platform.value}")
        seen = request.observations.get(compiled.id)
        if seen is None or seen.verdict is not Verdict.FAIL:
            # Its guards are judged over its own facts; without them nobody knows whether it is safe here.
            found = seen.verdict.value if seen else "not among this target's checks"
            return NotApplicable(f"{compiled.id} is {found} on this machine, so its remedy is not run")
        parameters = engine.parameters_for(request.target, compiled)
        reason = compiled.guard_reason(seen.facts, parameters, request.host)
        if reason:
            return NotApplicable(reason)
        if compiled.runbook.remediate.privilege == "root" and not request.host.is_root:
            return NotApplicable(_needs_root(request.target))
        return Remediation(f"run {compiled.id}: {compiled.runbook.title}", f"ran {compiled.id}", compiled, parameters)


@dataclass(frozen=True, slots=True)
class RestartServiceHandler:
    """Restarts one service through the ``service`` resource."""

    summary: str

    def refusal(self, argument: str, catalogue: Catalogue) -> str:
        """Refuse what the ``service`` resource takes for no service name."""
        found = self._script(argument, catalogue)
        return found if isinstance(found, str) else ""

    def prepare(self, request: Request) -> Work:
        """Return one step that restarts the service."""
        catalogue = request.engine.catalogue
        windows = request.target.platform is Platform.WINDOWS
        found = self._script(request.argument, catalogue, WINDOWS_SERVICE if windows else SERVICE)
        if isinstance(found, str):
            return NotApplicable(found)
        if not request.host.is_root:
            return NotApplicable(_needs_root(request.target))
        script, values = found
        if windows:
            return self._on_windows(script, values, catalogue)
        library = request.engine.catalogue.library
        step = BundleStep(
            step_id="restart_service/0",
            script=script,
            prelude=f"{library.detect}{library.change}\n",
            environment=environment(values),
            timeout_s=60,
            needs_root=True,
        )
        name = values["name"]
        return Remediation(f"restart service {name}", f"restarted service {name}", None, values, (step,))

    @staticmethod
    def _on_windows(script: str, values: Mapping[str, JsonValue], catalogue: Catalogue) -> Remediation:
        resource = catalogue.resource(WINDOWS_SERVICE)
        step = BundleStep(
            step_id="restart_service/0",
            script=script,
            prelude=resource.functions if resource else "",
            timeout_s=60,
            needs_root=True,
            parameters=values,
            language="powershell",
        )
        name = values["name"]
        return Remediation(f"restart service {name}", f"restarted service {name}", None, values, (step,))

    @staticmethod
    def _script(
        argument: str, catalogue: Catalogue, resource_id: str = "service"
    ) -> tuple[str, Mapping[str, JsonValue]] | str:
        """Return the restarting script and its parameters, or why there is none."""
        resource = catalogue.resource(resource_id)
        if resource is None or resource.set is None:
            return f"this appliance has no resource {resource_id!r} that could restart one"
        given = {"name": argument.removesuffix(".service"), "state": "restarted"}
        try:
            return resource.set.script, resolve(resource.parameters, given)
        except ParameterError as error:
            return f"{argument!r} is no service name: {error}"


@dataclass(frozen=True, slots=True)
class NotifyHandler:
    """Tells a person, through the durable alert queue."""

    summary: str
    kind: OutcomeKind

    def refusal(self, argument: str, catalogue: Catalogue) -> str:
        """Refuse empty or overlong text."""
        del catalogue
        return "" if _WORDS.match(argument) else "needs a name or reason of 1 to 200 characters"

    def prepare(self, request: Request) -> Work:
        """Return the notification."""
        verb = "alert" if self.kind is OutcomeKind.ALERTED else "escalate"
        return Notification(f"{verb}: {request.argument}", self.kind, request.argument)


HANDLERS: Final[Mapping[str, Handler]] = {
    "run_linux_runbook": RunbookHandler("runs a Linux runbook over SSH or on this machine", "linux"),
    "run_windows_runbook": RunbookHandler("runs a Windows runbook over WinRM", "windows"),
    "run_runbook": RunbookHandler("runs a runbook; the platform follows from the runbook", None),
    "restart_service": RestartServiceHandler("restarts one service on the target"),
    "alert": NotifyHandler("tells a person, by webhook, mail or syslog", OutcomeKind.ALERTED),
    "escalate": NotifyHandler("hands the incident to a person, by webhook, mail or syslog", OutcomeKind.ESCALATED),
}
"""Every prefix that an action can have."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How a bundle of changes went.

    Attributes:
        records: What each step did, in order, as far as it got.
        trouble: Why it did not get through, one sentence; empty when every step succeeded.
        duration_s: Wall time.

    """

    records: tuple[StepRecord, ...]
    trouble: str
    duration_s: float


def execute(engine: Engine, session: Session, steps: list[BundleStep]) -> Execution:
    """Run changes in order and stop at the first that fails.

    Raises:
        TransportError: The conversation broke; what had run by then is unknown.

    """
    results, run = run_bundle(engine, session, steps, timeout_s=engine.limits.change_timeout_s, stop_on_failure=True)
    records: list[StepRecord] = []
    for step in steps:
        result = results[step.step_id]
        records.append(
            StepRecord(
                step.step_id,
                result.exit_code,
                result.stdout[-_RECORD_CHARACTERS_MAX:],
                result.stderr[-_RECORD_CHARACTERS_MAX:],
            )
        )
        if not result.succeeded:
            trouble = "the session ran out of its time" if run.timed_out else f"step {step.step_id} {result.trouble()}"
            return Execution(tuple(records), trouble, run.duration_s)
    return Execution(tuple(records), "", run.duration_s)
