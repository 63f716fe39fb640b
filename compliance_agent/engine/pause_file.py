"""The pause file in the record: who paused, why, since when, and when it ended. Like any pause, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.evidence.drafts import ActionKind, Place, action_draft
from compliance_agent.domain.gate.ledger import NotePauseFile
from compliance_agent.domain.gate.people import PersonAction, note_of
from compliance_agent.domain.turn_end import Attachments

if TYPE_CHECKING:
    from compliance_agent.domain.gate.people import NotedPause, Pause, PauseOrder
    from compliance_agent.domain.timeline import Instant
    from compliance_agent.engine.ports import Store

_DETAILS: Final = {"by": "file"}


def note_pause_file(store: Store, order: PauseOrder | None, *, site_id: str, now: Instant) -> PersonAction | None:
    """Keep that a pause file has come, has ended, or is gone, each once; return what was kept, if anything.

    The gate does not wait for this: a file that is not noted yet stops healing all the same. Who *removed* a file is
    not known; its end stands under the name of who paused.
    """
    noted = store.noted_pause()
    if order is None:
        if noted is None:
            return None
        reason = "the pause file was removed"
        return None if noted.over else _keep(store, ActionKind.RESUMED, noted.pause, None, site_id, now, reason)
    if noted is None or noted.mark != order.mark:
        fresh = note_of(order, now)
        return _keep(store, ActionKind.PAUSED, fresh.pause, fresh, site_id, now, fresh.pause.reason)
    if noted.over or not noted.is_over(now):
        return None
    reason = "the time of the pause file is over"
    return _keep(store, ActionKind.RESUMED, noted.pause, replace(noted, over=True), site_id, now, reason)


def _keep(
    store: Store, kind: ActionKind, pause: Pause, noted: NotedPause | None, site_id: str, now: Instant, reason: str
) -> PersonAction:
    until = pause.until.wall if pause.until and kind is ActionKind.PAUSED else None
    action = PersonAction(kind, pause.actor, reason, now.wall, until=until, details=_DETAILS)
    draft = action_draft(
        kind, Place(site_id), actor=action.actor, reason=reason, at=action.at, until=until, details=_DETAILS
    )
    store.record_action(action, [NotePauseFile(noted)], attachments=Attachments(evidence=(draft,)))
    return action
