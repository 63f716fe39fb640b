"""Verify: detect again, afresh, after acting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compliance_agent.domain.observation import Verdict
from compliance_agent.engine.dispatch import execute
from compliance_agent.engine.scan import scan_target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from compliance_agent.domain.bundle import BundleStep
    from compliance_agent.domain.catalogue import CompiledRunbook
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.ports import Session
    from compliance_agent.engine.scan import TargetScan, Unreached


@dataclass(frozen=True, slots=True)
class Verification:
    """What a fresh detect found.

    Attributes:
        observations: The check that raised the incident first, then the dispatched runbook's own.
        unreached: Why the target could not be asked, where it could not.
        unconfirmed: Why the session that detected could not confirm the change, where it was to and could not.
        duration_s: Wall time.

    """

    observations: tuple[Observation, ...]
    unreached: Unreached | None
    duration_s: float
    unconfirmed: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether every check was carried out and passed, and was confirmed; anything else is no success."""
        return self.unreached is None and not self.unconfirmed and _all_pass(self.observations)

    @property
    def trouble(self) -> str:
        """Return why it did not pass, one sentence."""
        if self.unreached is not None:
            return f"the target could not be asked: {self.unreached.message}"
        if self.unconfirmed:
            return f"the change could not be confirmed: {self.unconfirmed}"
        seen = next((one for one in self.observations if one.verdict is not Verdict.PASS), None)
        return f"{seen.check_id} is {seen.verdict.value}: {seen.reason}" if seen else ""


def verify(
    engine: Engine,
    target: Target,
    check: CompiledRunbook,
    dispatched: CompiledRunbook | None,
    *,
    now: datetime,
    confirm: Sequence[BundleStep] = (),
) -> Verification:
    """Detect again over a new login: the check that raised the incident and the runbook that ran.

    A remedy may have touched the way in (SSH, sudo, PAM, a firewall); a connection from before would not notice.
    Where every check passes, that very session runs ``confirm``: that it could log in is what it proves.
    """
    checks = [check]
    if dispatched is not None and dispatched.id != check.id:
        checks.append(dispatched)
    refusals: list[str] = []

    def afterwards(session: Session, scan: TargetScan) -> None:
        if confirm and _all_pass(scan.observations):
            refusals.append(execute(engine, session, list(confirm)).trouble)

    scan = scan_target(engine, target, checks, now=now, fresh=True, afterwards=afterwards)
    return Verification(scan.observations, scan.unreached, scan.duration_s, "".join(refusals))


def _all_pass(observations: Sequence[Observation]) -> bool:
    return bool(observations) and all(seen.verdict is Verdict.PASS for seen in observations)
