"""What people are told of suppressions and waivers that end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.domain.gate.flap import FlapEvent, FlapEventKind, FlapUpdate, Phase
from compliance_agent.domain.gate.people import Told
from compliance_agent.domain.gate.suppression import reason
from compliance_agent.domain.gate.words import when
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import Alert, OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from compliance_agent.domain.gate.flap import FlapRow
    from compliance_agent.domain.gate.people import Waiver
    from compliance_agent.domain.observation import Observation
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.ports import Store
    from compliance_agent.engine.scan import TargetScan

_SAYS = {
    Verdict.PASS: "it passes now",
    Verdict.FAIL: "it still fails; one try is made as soon as nothing else holds it",
    Verdict.NOT_APPLICABLE: "it does not apply any more",
}


def tell_ended_suppressions(engine: Engine, scan: TargetScan, now: Instant) -> None:
    """Report the current state of each check of this scan whose suppression is over: once."""
    rows = {row.check_id: row for row in engine.store.flaps() if row.target_id == scan.target.target_id}
    for seen in scan.observations:
        row = rows.get(seen.check_id)
        if row is None or row.site_id != scan.target.site_id or not _is_over(engine, row, now):
            continue
        event = FlapEvent(FlapEventKind.ENDED, now.elapsed_s, now.wall)
        update = FlapUpdate(row.fingerprint, row.site_id, row.target_id, row.check_id, (event,), engine.policy.flap)
        engine.store.change_flap(update, alerts=[_alert(engine, row, seen, now)])
        engine.events.emit("suppression.ended", target=row.target_id, check=row.check_id, verdict=seen.verdict.value)


def tell_ending_waivers(store: Store, targets: Collection[str], *, site_id: str, now: Instant) -> list[Waiver]:
    """Tell people of each waiver that ends soon or is over: each once. Return the waivers that were told of.

    Args:
        store: The state.
        targets: Ids of the site's targets: a waiver outlives its machine.
        site_id: The clinic.
        now: The instant.

    """
    told = []
    for waiver in store.waivers():
        due = waiver.to_tell(now)
        if due is Told.NOTHING:
            continue
        alert = _waiver_alert(waiver, due, site_id, now, is_target=waiver.target_id in targets)
        if store.tell_of_waiver(waiver, due, alert):
            told.append(waiver)
    return told


def _waiver_alert(waiver: Waiver, due: Told, site_id: str, now: Instant, *, is_target: bool) -> Alert:
    name = "waiver ended" if due is Told.OVER else "waiver ends soon"
    verb = "has ended" if due is Told.OVER else f"ends {when(waiver.until.wall)}"
    renew = f"compliance-agent waivers add {waiver.place} --until WHEN --reason ..."
    then = f"The check is mended again from then on. Renew: {renew}"
    if not is_target:
        renew = f"compliance-agent waivers withdraw {waiver.place} --reason ..."
        then = f"{waiver.target_id} is no target any more. Remove: {renew}"
    given = f"accepted by {waiver.actor}, {when(waiver.at)}, until {when(waiver.until.wall)}: {waiver.reason}"
    return Alert(
        dedupe_key=f"{name}/{waiver.place}/{waiver.at.isoformat()}/{waiver.until.wall.isoformat()}",
        kind=OutcomeKind.ALERTED,
        name=name,
        summary=f"{waiver.place}: the accepted risk {verb} ({given}). {then}",
        document={
            "schema": "alert/v1",
            "kind": OutcomeKind.ALERTED.value,
            "name": name,
            "site_id": site_id,
            "target_id": waiver.target_id,
            "check_id": waiver.check_id,
            "actor": waiver.actor,
            "reason": waiver.reason,
            "since": waiver.at.isoformat(),
            "until": waiver.until.wall.isoformat(),
            "clear_with": renew,
            "detected_at": now.wall.isoformat(),
        },
        raised_at=now.wall,
    )


def _is_over(engine: Engine, row: FlapRow, now: Instant) -> bool:
    state, compiled = row.state, engine.catalogue.get(row.check_id)
    if state.phase is not Phase.OPEN or state.told or now.elapsed_s < state.until_s or compiled is None:
        return False
    effects = compiled.runbook.effects
    return state.cause == "person" or not engine.policy.needs_person(effects.disruption, effects.reboot)


def _alert(engine: Engine, row: FlapRow, seen: Observation, now: Instant) -> Alert:
    says = _SAYS.get(seen.verdict, f"it could not be assessed: {seen.reason}")
    summary = f"{row.place}: the pause is over; {says} (it was paused because {reason(row.state, engine.policy.flap)})"
    return Alert(
        dedupe_key=f"suppression ended/{row.fingerprint}/{row.state.opened_s}",
        kind=OutcomeKind.ALERTED,
        name="suppression ended",
        summary=summary,
        document={
            "schema": "alert/v1",
            "kind": OutcomeKind.ALERTED.value,
            "name": "suppression ended",
            "site_id": row.site_id,
            "target_id": row.target_id,
            "check_id": row.check_id,
            "verdict": seen.verdict.value,
            "observation": seen.reason,
            "reason": summary,
            "detected_at": now.wall.isoformat(),
        },
        raised_at=now.wall,
    )
