"""What operators decide of a rule or a pattern, for the fleet or for one site. Each decision has an audit row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from central_command.errors import RefusedError
from central_command.flywheel.stages import Hand, Stage, Step
from central_command.store.promoter import CHANNEL, audit, set_stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import psycopg


class Deed(StrEnum):
    """What an operator can do to a rule."""

    PIN = "pin"
    """It stays in its stage: what would demote it is shown, not acted on."""
    UNPIN = "unpin"
    """Its numbers decide again."""
    VETO = "veto"
    """It is served to nobody, and its pattern never becomes a rule, until a person enables it."""
    DISABLE = "disable"
    """It is served to nobody; enabled again, it goes on where it stood."""
    ENABLE = "enable"
    """A veto or a disabling is over. What was vetoed or demoted begins anew, in shadow."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided what, and why.

    Attributes:
        deed: What.
        actor: Who.
        reason: Why; kept in the audit log.
        at: When, UTC.

    """

    deed: Deed
    actor: str
    reason: str
    at: datetime


_HANDS = {Deed.PIN: Hand.PINNED, Deed.VETO: Hand.VETOED, Deed.DISABLE: Hand.DISABLED}
_BEGUN = (Stage.SHADOW.value, Stage.CANARY.value, Stage.ENABLED.value)


def decide(
    connection: psycopg.Connection, subject: str, decision: Decision, *, new_id: Callable[[], str], site_id: str = "*"
) -> str:
    """Carry a decision out, in the caller's transaction; return how the rule stands then.

    Args:
        connection: Of the role ``central_fleet``.
        subject: Id of a rule; or of a pattern, for a veto and its end.
        decision: What, who, why, when.
        new_id: Draws a UUIDv7, text.
        site_id: A site, or ``*`` for the fleet.

    Raises:
        RefusedError: There is no such rule, or nothing to do; nothing was changed.

    """
    if not decision.reason.strip() or not decision.actor.strip():
        message = "a decision has an actor and a reason"
        raise RefusedError(message, hint="--reason TEXT")
    rule = connection.execute(
        "SELECT hand, stage, site_id, quarantine_reason FROM l1_rules WHERE rule_id = %s FOR NO KEY UPDATE", (subject,)
    ).fetchone()
    if rule is None:
        after = _of_pattern(connection, subject, decision, site_id)
        before: str = "refused" if decision.deed is Deed.ENABLE else "observed"
    elif site_id == "*":
        before = rule[0]
        after = _of_fleet(connection, subject, decision, Hand(rule[0]), Stage(rule[1]), rule[3], new_id)
    else:
        before, after = _of_site(connection, subject, decision, site_id, rule[1], rule[2])
    audit(
        connection,
        new_id(),
        actor=decision.actor,
        what=f"rule_{decision.deed.value}",
        subject=subject,
        reason=decision.reason,
        details={"before": before, "after": after},
        site_id=site_id,
    )
    connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    return after


def _of_fleet(
    connection: psycopg.Connection,
    rule_id: str,
    decision: Decision,
    hand: Hand,
    stage: Stage,
    quarantined: str | None,
    new_id: Callable[[], str],
) -> str:
    deed = decision.deed
    new = _HANDS.get(deed, Hand.NONE)
    refused = _refusal(deed, hand, stage, quarantined)
    if refused:
        message = f"{rule_id} {refused}"
        raise RefusedError(message, hint=f"central-command flywheel explain {rule_id}")
    connection.execute("UPDATE l1_rules SET hand = %s WHERE rule_id = %s", (new.value, rule_id))
    if deed is Deed.ENABLE and (hand is Hand.VETOED or stage is Stage.DEMOTED):
        step = Step(Stage.SHADOW, f"{decision.actor} let it begin anew: {decision.reason}")
        set_stage(connection, rule_id, step, now=decision.at, actor=decision.actor, audit_id=new_id())
        return Stage.SHADOW.value
    return stage.value if new is Hand.NONE else new.value


def _refusal(deed: Deed, hand: Hand, stage: Stage, quarantined: str | None) -> str:
    """Return why a deed makes no sense for a rule that stands so; empty where it does."""
    if deed is Deed.ENABLE and quarantined:
        return f"is quarantined: {quarantined}"
    if _HANDS.get(deed) is hand:
        return f"is {hand.value} already"
    if deed is Deed.UNPIN and hand is not Hand.PINNED:
        return "is not pinned"
    if deed is Deed.PIN and hand is not Hand.NONE:
        return f"is {hand.value}: enable it first"
    if deed is Deed.ENABLE and hand not in (Hand.VETOED, Hand.DISABLED) and stage is not Stage.DEMOTED:
        return "is neither vetoed nor disabled nor demoted"
    return ""


def _of_site(
    connection: psycopg.Connection, rule_id: str, decision: Decision, site_id: str, stage: str, scope: str
) -> tuple[str, str]:
    if connection.execute("SELECT 1 FROM sites WHERE site_id = %s", (site_id,)).fetchone() is None:
        message = f"there is no site {site_id}"
        raise RefusedError(message, hint=f"central-command sites add {site_id}")
    if scope not in ("*", site_id):
        message = f"{rule_id} is a rule of another site, {scope}"
        raise RefusedError(message, hint=f"--site {scope}")
    row = connection.execute(
        "SELECT hand FROM site_hands WHERE site_id = %s AND rule_id = %s", (site_id, rule_id)
    ).fetchone()
    hand = Hand(row[0]) if row else Hand.NONE
    refused = _refusal(decision.deed, hand, Stage.ENABLED, None)
    if decision.deed is Deed.PIN and stage not in _BEGUN:
        refused = f"is {stage}: there is nothing that the site could keep"
    if refused:
        message = f"{rule_id} {refused}, at {site_id}"
        raise RefusedError(message, hint=f"central-command flywheel explain {rule_id}")
    new = _HANDS.get(decision.deed, Hand.NONE)
    if new is Hand.NONE:
        connection.execute("DELETE FROM site_hands WHERE site_id = %s AND rule_id = %s", (site_id, rule_id))
        return hand.value, stage
    pinned = stage if new is Hand.PINNED else None
    connection.execute(
        "INSERT INTO site_hands (site_id, rule_id, hand, pinned_stage, reason, actor, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (site_id, rule_id) DO UPDATE SET hand = excluded.hand,"
        " pinned_stage = excluded.pinned_stage, reason = excluded.reason, actor = excluded.actor, at = excluded.at",
        (site_id, rule_id, new.value, pinned, decision.reason, decision.actor, decision.at),
    )
    return hand.value, new.value


def _of_pattern(connection: psycopg.Connection, subject: str, decision: Decision, site_id: str) -> str:
    """Veto a pattern that is no rule yet, or end its veto."""
    stages = {Deed.VETO: ("observed", "refused"), Deed.ENABLE: ("refused", "observed")}.get(decision.deed)
    pattern_id = as_uuid(subject)
    if pattern_id is None or stages is None or site_id != "*":
        message = f"there is no rule {subject}"
        raise RefusedError(message, hint="central-command flywheel status lists rules and patterns")
    done = connection.execute(
        "UPDATE patterns SET stage = %s, stage_reason = %s WHERE pattern_id = %s AND stage = %s"
        " AND runbook_id IS NOT NULL",
        (stages[1], f"{decision.actor}: {decision.reason}", pattern_id, stages[0]),
    ).rowcount
    if not done:
        message = f"{subject} is no pattern that is {stages[0]}, or it names no runbook"
        raise RefusedError(message, hint="central-command flywheel status lists rules and patterns")
    return stages[1]


def as_uuid(text: str) -> UUID | None:
    """Return the id that a text is, ``None`` for any other text."""
    try:
        return UUID(text)
    except ValueError:
        return None
