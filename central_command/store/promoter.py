"""Move rules and patterns from stage to stage, in the transaction of the fold that brought the numbers.

Each step is decided by ``flywheel.stages``, has a row in the audit log, and is announced to whoever listens on
``central_rules`` when the transaction commits: served rules changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from central_command.flywheel.evidence import Tally
from central_command.flywheel.influence import GROUPS, Decay, canary_verdict, group_of
from central_command.flywheel.promotion import PatternRecord, judge
from central_command.flywheel.stages import Hand, Stage, Standing, advance
from central_command.store.shadow import forget
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.domain.subsumption import implies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import psycopg

    from central_command.flywheel.promotion import Judgement, PromotionPolicy
    from central_command.flywheel.stages import StagePolicy, Step
    from central_command.store.folded import Folded, RuleRuns

CHANNEL: Final = "central_rules"
"""Who listens here learns that the served rules changed."""

ACTOR: Final = "flywheel"


@dataclass(frozen=True, slots=True)
class Promoter:
    """The policies, and where ids come from.

    Attributes:
        promotion: What a pattern has to show.
        stages: What each stage asks for.
        new_id: Draws a UUIDv7, text.

    """

    promotion: PromotionPolicy
    stages: StagePolicy
    new_id: Callable[[], str]

    def apply(self, connection: psycopg.Connection, folded: Folded, *, now: datetime) -> list[tuple[str, Step]]:
        """Move what the fold brought numbers for; return each rule that moved and its step."""
        moved = [
            (rule_id, step)
            for rule_id, runs in sorted(folded.rules.items())
            if (step := self._advance_rule(connection, rule_id, runs, now)) is not None
        ]
        for pattern_id in sorted(folded.patterns):
            moved += self._advance_pattern(connection, pattern_id, now)
        moved += self._advance_by_time(connection, {rule_id for rule_id, _ in moved}, now)
        if moved:
            connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
        return moved

    def _advance_rule(self, connection: psycopg.Connection, rule_id: str, runs: RuleRuns, now: datetime) -> Step | None:
        standing = standing_of(connection, rule_id, self.stages, lock=True)
        if standing is None:
            return None
        relapsed = [fix for fix in runs.relapsed if fix.fixed_at >= standing.since]
        lasted = [fix for fix in runs.lasted if fix.fixed_at >= standing.since]
        by_group, decay = _groups(connection, rule_id)
        for fix in lasted:
            by_group[group_of(rule_id, fix.site_id, fix.appliance_id)] += 1
        for (site_id, appliance_id), failures in runs.failed.items():
            by_group[GROUPS + group_of(rule_id, site_id, appliance_id)] += failures
        for fix in relapsed:
            by_group[GROUPS + group_of(rule_id, fix.site_id, fix.appliance_id)] += 1
        if standing.stage is Stage.ENABLED:
            heard = [*runs.heard, *((fix.site_id, fix.appliance_id, False) for fix in relapsed)]
            for site_id, appliance_id, success in heard:
                decay = decay.step(self.stages.decay, group_of(rule_id, site_id, appliance_id), success=success)
        standing = replace(
            standing,
            successes=sum(by_group[:GROUPS]),
            failures=sum(by_group[GROUPS:]),
            decay=decay.confirmed,
            canary=canary_verdict(self.stages.canary, by_group[:GROUPS], by_group[GROUPS:]),
        )
        connection.execute(
            "UPDATE l1_rules SET stage_successes = %s, stage_failures = %s, stage_by_group = %s, decay = %s,"
            " decay_without = %s::float8[], decay_groups = %s WHERE rule_id = %s",
            (
                standing.successes,
                standing.failures,
                by_group,
                decay.score,
                list(decay.without),
                decay.groups,
                rule_id,
            ),
        )
        return self._move(connection, rule_id, standing, now)

    def _advance_by_time(self, connection: psycopg.Connection, done: set[str], now: datetime) -> list[tuple[str, Step]]:
        """Move the rules that only wait for time to pass: candidates, and those whose shadow is over."""
        waiting = connection.execute(
            "SELECT rule_id FROM l1_rules WHERE hand = 'none' AND (stage = 'candidate' OR stage = 'shadow'"
            " AND shadow_matches >= %s AND stage_since <= %s) ORDER BY rule_id FOR NO KEY UPDATE",
            (self.stages.shadow_matches_min, now - self.stages.shadow_time),
        ).fetchall()
        moved = []
        for (rule_id,) in waiting:
            standing = standing_of(connection, rule_id, self.stages, lock=True)
            if rule_id not in done and standing and (step := self._move(connection, rule_id, standing, now)):
                moved.append((rule_id, step))
        return moved

    def _move(self, connection: psycopg.Connection, rule_id: str, standing: Standing, now: datetime) -> Step | None:
        step = advance(standing, None, self.stages, now=now)
        if step is not None:
            set_stage(connection, rule_id, step, now=now, actor=ACTOR, audit_id=self.new_id())
        return step

    def _advance_pattern(
        self, connection: psycopg.Connection, pattern_id: UUID, now: datetime
    ) -> list[tuple[str, Step]]:
        row = connection.execute(
            "SELECT check_id, platform, incident_pattern, runbook_id FROM patterns"
            " WHERE site_id = '*' AND pattern_id = %s AND stage = 'observed' FOR NO KEY UPDATE",
            (pattern_id,),
        ).fetchone()
        if row is None:
            return []
        judgement = judge(record_of(connection, pattern_id), self.promotion)
        step = advance(Standing(Stage.OBSERVED, now), judgement, self.stages, now=now)
        reason = "; ".join(judgement.missing) if step is None else step.reason
        check_id, platform, pattern, runbook_id = row
        hidden = None if step is None else hidden_by(connection, pattern, runbook_id)
        if hidden is not None:
            step, reason = None, hidden
        if step is None:
            connection.execute(
                "UPDATE patterns SET stage_reason = %s WHERE site_id = '*' AND pattern_id = %s", (reason, pattern_id)
            )
            return []
        rule_id = rule_id_of(check_id, platform, runbook_id)
        _add_promoted(connection, rule_id, pattern, runbook_id, step, now)
        connection.execute(
            "UPDATE patterns SET stage = 'promoted', stage_reason = %s, rule_id = %s"
            " WHERE site_id = '*' AND pattern_id = %s",
            (reason, rule_id, pattern_id),
        )
        audit(
            connection,
            self.new_id(),
            actor=ACTOR,
            what="pattern_promoted",
            subject=rule_id,
            reason=reason,
            details=_numbers(judgement),
        )
        return [(rule_id, step)]


def rule_id_of(check_id: str, platform: str, runbook_id: str) -> str:
    """Return the id of the rule that a pattern becomes: readable, never cut, and never another pattern's.

    The sixteen hex digits are of the whole key; names that are long or look alike still differ. Checks are of the
    catalogue, whose ids have at most 64 characters, so that the whole stays within a rule id's 128.
    """
    digest = hashlib.sha256(f"{check_id}\n{platform}\n{runbook_id}".encode()).hexdigest()
    return f"RB-AUTO-{check_id}-{digest[:16]}"


def record_of(connection: psycopg.Connection, pattern_id: UUID) -> PatternRecord:
    """Return what is known of a pattern's fix; its cost does not depend on how much telemetry there is."""
    tallies = connection.execute(
        "SELECT successes, failures FROM pattern_tallies WHERE pattern_id = %s", (pattern_id,)
    ).fetchall()
    reach = connection.execute(
        "SELECT count(DISTINCT (site_id, target_id)), count(DISTINCT day) FROM pattern_reach WHERE pattern_id = %s",
        (pattern_id,),
    ).fetchone()
    targets, days = reach or (0, 0)
    return PatternRecord([Tally(*row) for row in tallies], targets=targets, days=days)


def set_stage(
    connection: psycopg.Connection, rule_id: str, step: Step, *, now: datetime, actor: str, audit_id: str
) -> None:
    """Put a rule into a stage, with its numbers of that stage at zero, and say so in the audit log."""
    before = connection.execute(
        "UPDATE l1_rules new SET stage = %s, stage_since = %s, stage_reason = %s, canary_step = %s,"
        " stage_successes = 0, stage_failures = 0, shadow_matches = 0, shadow_agreements = 0, decay = 0,"
        " stage_by_group = '{}', decay_without = '{}', decay_groups = 0"
        " FROM l1_rules old WHERE new.rule_id = %s AND old.rule_id = new.rule_id RETURNING old.stage",
        (step.stage.value, now, step.reason, step.canary_step, rule_id),
    ).fetchone()
    forget(connection, rule_id)
    audit(
        connection,
        audit_id,
        actor=actor,
        what="rule_stage",
        subject=rule_id,
        reason=step.reason,
        details={"before": before[0] if before else None, "after": step.stage.value, "step": step.canary_step},
    )


def audit(  # noqa: PLR0913 - one row has these columns
    connection: psycopg.Connection,
    audit_id: str,
    *,
    actor: str,
    what: str,
    subject: str,
    reason: str = "",
    details: object = None,
    site_id: str = "*",
) -> None:
    """Write down who did what to which, and why. Nobody has the right to change or remove it."""
    connection.execute(
        "INSERT INTO audit_log (site_id, audit_id, actor, what, subject, reason, details)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (site_id, UUID(audit_id), actor, what, subject, reason, Jsonb(details or {})),
    )


def _groups(connection: psycopg.Connection, rule_id: str) -> tuple[list[int], Decay]:
    """Return the runs of a rule's stage by group, successes before failures, and its decay test."""
    row = connection.execute(
        "SELECT stage_by_group, decay, decay_without, decay_groups FROM l1_rules WHERE rule_id = %s", (rule_id,)
    ).fetchone()
    by_group, decay, without, groups = row or ([], 0.0, [], 0)
    return list(by_group) or [0] * (2 * GROUPS), Decay(decay, tuple(without), groups)


_STANDING: Final = (
    "SELECT stage, stage_since, hand, canary_step, stage_successes, stage_failures, shadow_matches,"
    " shadow_agreements, decay FROM l1_rules WHERE rule_id = %s"
)


def standing_of(
    connection: psycopg.Connection, rule_id: str, policy: StagePolicy, *, lock: bool = False
) -> Standing | None:
    """Return where a rule stands, ``None`` if there is none.

    Args:
        connection: Of the role ``central_fleet``.
        rule_id: Which.
        policy: What the stages ask for.
        lock: Whether the rule must not move until the transaction ends.

    """
    row = connection.execute(_STANDING + (" FOR NO KEY UPDATE" if lock else ""), (rule_id,)).fetchone()
    if row is None:
        return None
    by_group, decay = _groups(connection, rule_id)
    verdict = canary_verdict(policy.canary, by_group[:GROUPS], by_group[GROUPS:])
    return replace(Standing(Stage(row[0]), row[1], Hand(row[2]), *row[3:]), decay=decay.confirmed, canary=verdict)


def hidden_by(connection: psycopg.Connection, pattern: object, runbook_id: str) -> str | None:
    """Return why a pattern must not become a rule beside those that are there, ``None`` where nothing is against it.

    A better rule is never shadowed by a new one, and what a person refused does not come back under another name.
    """
    new = compile_pattern(pattern)  # type: ignore[arg-type]  # what a jsonb column gives is JSON
    rows: Sequence[tuple[str, object, str]] = connection.execute(
        "SELECT rule_id, incident_pattern, hand FROM l1_rules WHERE site_id = '*' AND ("
        "quarantine_reason IS NULL AND hand IN ('none', 'pinned') AND stage IN ('shadow', 'canary', 'enabled')"
        " OR hand IN ('vetoed', 'disabled') AND runbook_id = %s) ORDER BY priority, rule_id",
        (runbook_id,),
    ).fetchall()
    for rule_id, other, hand in rows:
        try:
            if implies(new, compile_pattern(other)):  # type: ignore[arg-type]  # the same
                refused = hand in (Hand.VETOED.value, Hand.DISABLED.value)
                return f"the rule {rule_id} " + (f"is {hand}" if refused else "takes these incidents already")
        except PatternError:
            continue  # it matches nothing, so it hides nothing
    return None


def _add_promoted(
    connection: psycopg.Connection, rule_id: str, pattern: object, runbook_id: str, step: Step, now: datetime
) -> None:
    connection.execute(
        "INSERT INTO l1_rules (site_id, rule_id, name, incident_pattern, action, runbook_id, priority, source, stage,"
        " stage_since, stage_reason) VALUES ('*', %s, %s, %s, %s, %s, 200, 'promoted', %s, %s, %s)",
        (
            rule_id,
            f"learned: {runbook_id}",
            Jsonb(pattern),
            f"run_runbook:{runbook_id}",
            runbook_id,
            step.stage.value,
            now,
            step.reason,
        ),
    )


def _numbers(judgement: Judgement) -> dict[str, object]:
    return {
        "runs": judgement.runs,
        "successes": judgement.successes,
        "appliances": judgement.appliances,
        "correlation": round(judgement.correlation, 4),
        "runs_effective": round(judgement.runs_effective, 2),
        "wilson": round(judgement.wilson, 4),
        "evidence": judgement.evidence if judgement.evidence < 1e300 else "beyond a float",  # noqa: PLR2004 - inf is no JSON
    }
