"""What every stage of a turn needs, assembled once and immutable."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from compliance_agent.domain.gate import GatePolicy
from compliance_agent.domain.target import Mode, strictest
from compliance_agent.domain.timeline import place
from compliance_agent.engine.ports import SILENT, NoKillSwitch
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.catalogue import Catalogue, CompiledRunbook
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import QuarantinedRule
    from compliance_agent.domain.rule_set import RuleSet
    from compliance_agent.domain.target import Target, TransportKind
    from compliance_agent.domain.timeline import Instant, Moment
    from compliance_agent.engine.ports import Events, IdSource, KillSwitch, Reporter, Session, Store, Transport


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one session.

    Attributes:
        scan_timeout_s: Most seconds for all checks of one target together.
        change_timeout_s: Most seconds for one remediation or rollback.
        output_max_bytes: Most bytes kept of one step's output.

    """

    scan_timeout_s: float = 120
    change_timeout_s: float = 900
    output_max_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Engine:
    """The assembled engine.

    Attributes:
        catalogue: The runbooks on this appliance.
        rules: The admitted rules.
        quarantined: The rules that were refused, with reasons.
        transports: How to speak to each kind of target.
        store: Durable state.
        ids: Source of ids and nonces.
        events: Listener.
        policy: The gate's limits.
        limits: Bounds of one session.
        kill_switch: The file that stops all healing.
        mode: The site's mode.
        runbook_modes: Runbook id to its mode.
        runbook_parameters: Runbook id to values that differ from its defaults, for the whole site.
        reporter: Makes what commits together with an outcome or a scan.

    """

    catalogue: Catalogue
    rules: RuleSet
    transports: Mapping[TransportKind, Transport]
    store: Store
    ids: IdSource
    events: Events
    quarantined: tuple[QuarantinedRule, ...] = ()
    policy: GatePolicy = field(default_factory=GatePolicy)
    limits: Limits = field(default_factory=Limits)
    kill_switch: KillSwitch = field(default_factory=NoKillSwitch)
    mode: Mode = Mode.ENFORCE
    runbook_modes: Mapping[str, Mode] = field(default_factory=dict)
    runbook_parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    reporter: Reporter = SILENT

    def checks_for(self, target: Target) -> list[CompiledRunbook]:
        """Return the runbooks whose detect half runs on this target, in order of id."""
        chosen = target.checks
        return [
            compiled
            for compiled in self.catalogue
            if target.platform.value in compiled.runbook.platforms
            and (chosen.include is None or _any_match(compiled.id, chosen.include))
            and not _any_match(compiled.id, chosen.exclude)
        ]

    def parameters_for(self, target: Target, runbook: CompiledRunbook) -> dict[str, JsonValue]:
        """Return the runbook's parameter values on this target: defaults, then site, then target."""
        site = self.runbook_parameters.get(runbook.id, {})
        return runbook.parameters({**site, **target.parameters.get(runbook.id, {})})

    def mode_for(self, target: Target, *runbook_ids: str) -> Mode:
        """Return how far the agent may go: ``observe`` on site, target or any of the runbooks wins."""
        modes = (self.runbook_modes.get(runbook_id, Mode.ENFORCE) for runbook_id in runbook_ids)
        return strictest(self.mode, target.mode, *modes)

    def instant(self, moment: Moment) -> Instant:
        """Place a reading of the clock (or the wall time alone) after the last instant that the store kept."""
        return place(self.store.last_instant(), moment)

    def open(self, target: Target, *, fresh: bool = False) -> Session:
        """Open a session to this target and no other; ``fresh`` logs in anew even where a connection was kept.

        Raises:
            TransportError: It cannot be reached, or there is no transport of its kind.
            CredentialError: A secret that the target names by path cannot be read.

        """
        transport = self.transports.get(target.transport)
        if transport is None:
            raise TransportError(
                TransportFault.NOT_CONFIGURED,
                f"{target.target_id}: no {target.transport} transport is set up",
                hint="run compliance-agent doctor to see what is missing",
            )
        return transport.open(target, fresh=fresh)

    def with_rules(self, rules: RuleSet, quarantined: tuple[QuarantinedRule, ...]) -> Engine:
        """Return the same engine with another rule set; a turn under way keeps the one it began with."""
        return replace(self, rules=rules, quarantined=quarantined)


def _any_match(check_id: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(check_id, pattern) for pattern in patterns)
