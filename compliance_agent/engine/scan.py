"""Scan: all checks of one target as one bundle in one session -> observations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from compliance_agent.domain.bundle import QUICK_S, compile_bundle, parse_bundle
from compliance_agent.domain.catalogue import HOST_STEP
from compliance_agent.domain.facts import FactError
from compliance_agent.domain.observation import Observation, Verdict
from compliance_agent.domain.powershell import compile_powershell, parse_powershell
from compliance_agent.domain.target import Platform
from compliance_agent.domain.text import printable
from compliance_agent.errors import CredentialError, TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from compliance_agent.domain.bundle import BundleStep, StepResult
    from compliance_agent.domain.catalogue import CompiledRunbook
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import HostFacts
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.ports import RunResult, Session
    from compliance_agent.errors import ComplianceAgentError

_SLACK_S = 10
"""Seconds that a session gets beyond the sum of its steps' own limits."""


_POWERSHELL_START_S = 20
"""What PowerShell needs to start on a busy machine, and its modules to load."""
_HINT_SHELL = "the login needs /bin/sh, timeout, head, tail, sed and grep; no forced command, no restricted shell"
_HINT_POWERSHELL = "the user needs Windows PowerShell 5.1 in full language mode; look at AppLocker and Device Guard"


@dataclass(frozen=True, slots=True)
class Unreached:
    """Why a target could not be spoken to. Never drift, never healed, never another host."""

    fault: TransportFault
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class TargetScan:
    """What one scan of one target found.

    Attributes:
        target: The machine.
        host: What it said of itself; ``None`` when it was not reached or did not say.
        observations: One for each check, in order of check id; empty when it was not reached.
        unreached: Why not, where it was not reached.
        duration_s: Wall time of the session.

    """

    target: Target
    host: HostFacts | None
    observations: tuple[Observation, ...] = ()
    unreached: Unreached | None = None
    duration_s: float = 0.0


Afterwards: TypeAlias = "Callable[[Session, TargetScan], None]"
"""What else is done in the session that scanned, knowing what it found."""


def scan_target(
    engine: Engine,
    target: Target,
    checks: Sequence[CompiledRunbook],
    *,
    now: datetime,
    fresh: bool = False,
    afterwards: Afterwards | None = None,
) -> TargetScan:
    """Run the detect half of ``checks`` on ``target`` in one session. Changes nothing.

    ``fresh`` logs in anew even where a connection was kept. ``afterwards`` is called in the session that scanned.

    A target that cannot be reached gives a scan with ``unreached`` and no observation; this
    function raises no transport error.
    """
    engine.events.emit("scan.started", target=target.target_id, address=target.address, checks=len(checks))
    try:
        scan = _scan_or_again(engine, target, checks, now, fresh=fresh, afterwards=afterwards)
    except (TransportError, CredentialError) as error:
        unreached = unreached_by(error)
        engine.events.emit("scan.unreached", target=target.target_id, fault=unreached.fault, reason=unreached.message)
        return TargetScan(target, None, unreached=unreached)
    engine.events.emit(
        "scan.finished", target=target.target_id, duration_s=round(scan.duration_s, 3), **_counts(scan.observations)
    )
    return scan


def _scan_or_again(
    engine: Engine,
    target: Target,
    checks: Sequence[CompiledRunbook],
    now: datetime,
    *,
    fresh: bool,
    afterwards: Afterwards | None,
) -> TargetScan:
    """Scan; where a connection from before breaks, once more over a new one. Only detection is ever repeated."""
    with engine.open(target, fresh=fresh) as session:
        try:
            scan = _scan(engine, target, session, checks, now)
        except TransportError as error:
            if not session.kept or error.fault is not TransportFault.CLOSED:
                raise
            engine.events.emit("scan.reconnects", target=target.target_id, reason=printable(error.message))
        else:
            return _afterwards(session, scan, afterwards)
    with engine.open(target, fresh=True) as session:
        return _afterwards(session, _scan(engine, target, session, checks, now), afterwards)


def _afterwards(session: Session, scan: TargetScan, afterwards: Afterwards | None) -> TargetScan:
    if afterwards is not None:
        afterwards(session, scan)
    return scan


def unreached_by(error: ComplianceAgentError) -> Unreached:
    """Return the record of why a target could not be spoken to."""
    fault = error.fault if isinstance(error, TransportError) else TransportFault.NOT_CONFIGURED
    return Unreached(fault, printable(error.message), printable(error.hint))


def _counts(observations: Sequence[Observation]) -> dict[str, int]:
    return {verdict.value: sum(one.verdict is verdict for one in observations) for verdict in Verdict}


def _scan(
    engine: Engine, target: Target, session: Session, checks: Sequence[CompiledRunbook], now: datetime
) -> TargetScan:
    parameters = {check.id: engine.parameters_for(target, check) for check in checks}
    windows = target.platform is Platform.WINDOWS
    host_step = engine.catalogue.windows_host_step() if windows else engine.catalogue.host_step()
    if host_step is None:
        reason = "this appliance has no runbooks for Windows"
        return TargetScan(target, None, _all_errors(checks, target, reason, now))
    steps = [host_step]
    for check in checks:
        steps.extend(check.detect_steps(parameters[check.id]))
    results, run = run_bundle(engine, session, steps, timeout_s=engine.limits.scan_timeout_s)
    if not any(result.finished or result.needs_root for result in results.values()):
        if run.timed_out:
            raise TransportError(
                TransportFault.TIMED_OUT,
                f"{target.target_id}: logged in, but no check came to its end within the time of the scan",
                hint="look at the machine's load, or raise scan.timeout_s",
                retryable=True,
            )
        shell = "PowerShell" if windows else "a POSIX shell"
        raise TransportError(
            TransportFault.PROTOCOL,
            f"{target.target_id}: the machine answered, but not as {shell} does: {_last_words(run)}",
            hint=_HINT_POWERSHELL if windows else _HINT_SHELL,
        )
    try:
        host = replace(engine.catalogue.host_facts(results[HOST_STEP], windows=windows), login_by=target.login_by)
    except FactError as error:
        return TargetScan(target, None, _all_errors(checks, target, str(error), now), duration_s=run.duration_s)
    observations = tuple(_observe(check, target, results, parameters[check.id], host, now) for check in checks)
    return TargetScan(target, host, observations, duration_s=run.duration_s)


def run_bundle(
    engine: Engine,
    session: Session,
    steps: Sequence[BundleStep],
    *,
    timeout_s: float,
    stop_on_failure: bool = False,
) -> tuple[dict[str, StepResult], RunResult]:
    """Run steps as one bundle in a session; return one result for each step, and the raw run.

    Steps that go on after a failure are checks, which change nothing: they have a quick pass first.

    Raises:
        TransportError: The conversation broke.

    """
    nonce = engine.ids.nonce()
    cap = engine.limits.output_max_bytes
    step_ids = [step.step_id for step in steps]
    if steps and steps[0].language == "powershell":
        script = compile_powershell(
            steps,
            runner=engine.catalogue.library.runner,
            nonce=nonce,
            output_max_bytes=cap,
            stop_on_failure=stop_on_failure,
        )
        run = session.run(
            script,
            timeout_s=min(timeout_s, sum(step.timeout_s for step in steps) + _SLACK_S + _POWERSHELL_START_S),
            output_max_bytes=len(steps) * (cap + 8_192) + 1_048_576,
        )
        results = parse_powershell(
            run.stdout, nonce=nonce, step_ids=step_ids, output_max_bytes=cap, changes=stop_on_failure
        )
        return results, run
    quick = not stop_on_failure
    script = compile_bundle(steps, nonce=nonce, output_max_bytes=cap, stop_on_failure=stop_on_failure, quick=quick)
    slack_s = _SLACK_S + (QUICK_S if quick else 0)
    run = session.run(
        script,
        timeout_s=min(timeout_s, sum(step.timeout_s for step in steps) + slack_s),
        output_max_bytes=len(steps) * (cap * 3 + 8_192) + 1_048_576,
    )
    return parse_bundle(run.stdout, nonce=nonce, step_ids=step_ids, output_max_bytes=cap), run


def _last_words(run: RunResult) -> str:
    text = (run.stderr or run.stdout).decode("utf-8", "replace").strip()
    return printable(text.splitlines()[-1][:200]) if text else f"exit code {run.exit_code}, no output"


def _observe(
    check: CompiledRunbook,
    target: Target,
    results: Mapping[str, StepResult],
    parameters: Mapping[str, JsonValue],
    host: HostFacts,
    now: datetime,
) -> Observation:
    judgement = check.judge(results, parameters, host)
    return Observation(check.id, target.target_id, judgement.verdict, judgement.reason, now, judgement.facts)


def _all_errors(
    checks: Sequence[CompiledRunbook], target: Target, reason: str, now: datetime
) -> tuple[Observation, ...]:
    return tuple(Observation(check.id, target.target_id, Verdict.ERROR, reason, now) for check in checks)
