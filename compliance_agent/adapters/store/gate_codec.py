"""The gate's values <-> text of the state file. Reasons of people are scrubbed like all that is kept."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from compliance_agent.adapters.store.codec import clean_text, optional_time_value, time_text, time_value
from compliance_agent.domain.gate.flap import FlapRow, FlapState, Phase
from compliance_agent.domain.gate.people import Approval, ApprovalRequest, Choice, NotedPause, Pause, Term, Told, Waiver

if TYPE_CHECKING:
    from compliance_agent.domain.gate.people import PersonAction


def written(value: object) -> str:
    """Return one of the gate's values as JSON."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def flap_state(read: dict[str, Any]) -> FlapState:
    """Return a flap's state from its JSON object."""
    return FlapState(
        **{
            **read,
            "phase": Phase(read["phase"]),
            "opened_wall": optional_time_value(read["opened_wall"]),
            "relapses": tuple(time_value(text) for text in read["relapses"]),
            "relapses_s": tuple(read.get("relapses_s") or _elapsed(read)),
            "tried": tuple(read.get("tried", ())),
            "before": flap_state(read["before"]) if read.get("before") else None,
        }
    )


def _elapsed(read: dict[str, Any]) -> list[float]:
    """Return when it came back, ``elapsed_s``, for a state that an older version wrote."""
    walls = [time_value(text) for text in read["relapses"]]
    return [read["at_s"] + (wall - walls[-1]).total_seconds() for wall in walls]


def flap_row(text: str) -> FlapRow:
    """Return a flap that :func:`written` wrote."""
    read = json.loads(text)
    return FlapRow(**{**read, "state": flap_state(read["state"])})


def _term(read: dict[str, Any] | None) -> Term | None:
    return None if read is None else Term(time_value(read["wall"]), read["elapsed_s"])


def _sure_term(read: dict[str, Any]) -> Term:
    return Term(time_value(read["wall"]), read["elapsed_s"])


def pause(text: str) -> Pause:
    """Return a pause that :func:`written` wrote."""
    read = json.loads(text)
    return Pause(read["actor"], read["reason"], time_value(read["at"]), _term(read["until"]))


def noted_pause(text: str) -> NotedPause:
    """Return a noted pause file that :func:`written` wrote."""
    read = json.loads(text)
    return NotedPause(read["mark"], pause(json.dumps(read["pause"])), read["over"])


def waiver(text: str) -> Waiver:
    """Return a waiver that :func:`written` wrote."""
    read = json.loads(text)
    told = Told(read.get("told", ""))
    return Waiver(**{**read, "at": time_value(read["at"]), "until": _sure_term(read["until"]), "told": told})


def approval(text: str) -> Approval:
    """Return an approval that :func:`written` wrote."""
    read = json.loads(text)
    return Approval(**{**read, "at": time_value(read["at"]), "until": _sure_term(read["until"])})


def choice(text: str) -> Choice:
    """Return a choice that :func:`written` wrote."""
    read = json.loads(text)
    return Choice(**{**read, "at": time_value(read["at"]), "until": _sure_term(read["until"])})


def request(text: str) -> ApprovalRequest:
    """Return a request for approval that :func:`written` wrote."""
    read = json.loads(text)
    return ApprovalRequest(**{**read, "at": time_value(read["at"])})


def clean_action(action: PersonAction) -> PersonAction:
    """Return an action as it may be kept."""
    return replace(action, actor=clean_text(action.actor), reason=clean_text(action.reason))
