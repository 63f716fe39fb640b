"""What people do to the gate: found, carried out, and kept with actor and reason. The commands are thin over it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compliance_agent.adapters.store.gate_codec import written
from compliance_agent.adapters.store.memory import MemoryStore
from compliance_agent.adapters.store.sqlite import SqliteStore
from compliance_agent.domain.evidence.drafts import ActionKind, Place, action_draft
from compliance_agent.domain.gate.flap import FRESH, FlapEvent, FlapEventKind, FlapUpdate
from compliance_agent.domain.gate.ledger import (
    ChangeFlap,
    EndApproval,
    EndChoice,
    EndWaiver,
    Forgive,
    SetApproval,
    SetChoice,
    SetPause,
    SetWaiver,
)
from compliance_agent.domain.gate.people import Approval, Choice, Pause, PersonAction, Waiver
from compliance_agent.domain.gate.words import when
from compliance_agent.domain.incident import fingerprint, incident_id_for
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.engine.gate import pause_by_file
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.adapters.store.rows import OpenIncident
    from compliance_agent.app.assemble import Agent
    from compliance_agent.domain.evidence.drafts import EvidenceDraft
    from compliance_agent.domain.gate.ledger import Change
    from compliance_agent.domain.gate.people import ApprovalRequest, Term
    from compliance_agent.domain.outcome import Attempt
    from compliance_agent.domain.timeline import Instant

_ACTIONS_SEARCHED = 10_000


class People:
    """What one person does, now.

    ``record`` is the one way by which an action enters the state, together with its entry in the chain of evidence.
    """

    def __init__(self, agent: Agent, *, actor: str, reason: str, now: Instant) -> None:
        """Act for ``actor``, whose words ``reason`` are.

        Raises:
            ComplianceAgentError: The reason is empty.

        """
        if not reason.strip():
            raise ComplianceAgentError("a reason is needed", hint="say why: --reason TEXT")
        self._agent, self._actor, self._reason, self._now = agent, actor, reason.strip(), now

    def record(
        self,
        kind: ActionKind,
        changes: Sequence[Change],
        *,
        place: tuple[str, str] = ("", ""),
        until: Term | None = None,
        **details: Any,  # noqa: ANN401 - JSON values
    ) -> None:
        """Carry changes out, and keep who asked for them and why."""
        store = self._agent.store
        assert isinstance(store, SqliteStore | MemoryStore)  # noqa: S101 - opened to write
        action = PersonAction(
            kind=kind,
            actor=self._actor,
            reason=self._reason,
            at=self._now.wall,
            target_id=place[0],
            check_id=place[1],
            until=until.wall if until else None,
            details=details,
        )
        store.record_action(action, changes, attachments=Attachments(evidence=(self._draft(action),)))

    def _draft(self, action: PersonAction) -> EvidenceDraft:
        """Return the entry of evidence for an action."""
        return action_draft(
            action.kind,
            Place(self._agent.settings.site_id, action.target_id, action.check_id),
            actor=action.actor,
            reason=action.reason,
            at=action.at,
            until=action.until,
            details=action.details,
        )

    def pause(self, until: Term | None) -> None:
        """Stop all healing."""
        pause = Pause(self._actor, self._reason, self._now.wall, until)
        self.record(ActionKind.PAUSED, [SetPause(pause)], until=until)

    def resume(self) -> None:
        """Let healing go on.

        Raises:
            ComplianceAgentError: It is not paused by the command line.

        """
        pause = self._agent.store.pause()
        if pause is None or pause.is_over(self._now):
            by_file = pause_by_file(self._agent.engine, self._now)
            hint = f"remove {self._agent.settings.pause_path}, the pause file of {by_file.actor}" if by_file else None
            hint = hint or "see compliance-agent status"
            raise ComplianceAgentError("healing is not paused by this command", hint=hint)
        self.record(ActionKind.RESUMED, [SetPause(None)], paused_by=pause.actor)

    def waive(self, target_id: str, check_id: str, until: Term) -> None:
        """Accept a risk."""
        waiver = Waiver(target_id, check_id, self._actor, self._reason, self._now.wall, until)
        self.record(ActionKind.WAIVED, [SetWaiver(waiver)], place=(target_id, check_id), until=until)

    def end_waiver(self, target_id: str, check_id: str) -> None:
        """Withdraw a waiver.

        Raises:
            ComplianceAgentError: There is none.

        """
        if self._agent.store.waiver(target_id, check_id) is None:
            hint = "see compliance-agent waivers list"
            raise ComplianceAgentError(f"there is no waiver for {target_id}/{check_id}", hint=hint)
        self.record(ActionKind.WAIVER_ENDED, [EndWaiver(target_id, check_id)], place=(target_id, check_id))

    def choose(self, incident: OpenIncident, runbook_id: str, until: Term) -> None:
        """Choose a runbook for an open incident: it runs once, at the next turn that no rule answers."""
        incident_id = _id_of(incident)
        choice = Choice(
            incident_id,
            incident.target_id,
            incident.check_id,
            runbook_id,
            self._actor,
            self._reason,
            self._now.wall,
            until,
        )
        self.record(
            ActionKind.CHOSEN,
            [SetChoice(choice)],
            place=(incident.target_id, incident.check_id),
            until=until,
            incident_id=incident_id,
            runbook_id=runbook_id,
        )

    def withdraw_choice(self, target_id: str, check_id: str) -> Choice:
        """Take back what was chosen for a check on a target, and return it.

        Raises:
            ComplianceAgentError: Nothing is, or it was used.

        """
        found = [one for one in self._agent.store.choices() if (one.target_id, one.check_id) == (target_id, check_id)]
        if not found:
            raise ComplianceAgentError(
                f"nothing is chosen for {target_id}/{check_id}", hint="it was used, or its incident is over"
            )
        choice = found[-1]
        self.record(
            ActionKind.CHOICE_WITHDRAWN,
            [EndChoice(choice.incident_id)],
            place=(target_id, check_id),
            incident_id=choice.incident_id,
            runbook_id=choice.runbook_id,
        )
        return choice

    def approve(self, request: ApprovalRequest, until: Term) -> None:
        """Approve exactly the plan that waits."""
        approval = Approval(request.incident_id, request.plan_digest, self._actor, self._reason, self._now.wall, until)
        self.record(
            ActionKind.APPROVED,
            [SetApproval(approval)],
            place=(request.target_id, request.check_id),
            until=until,
            incident_id=request.incident_id,
            plan_digest=request.plan_digest,
        )

    def withdraw_approval(self, incident: str) -> Approval:
        """Withdraw the approval of the incident whose id begins so, and return it.

        Raises:
            ComplianceAgentError: There is none, several are meant, or it was used up.

        """
        found = [one for one in self._agent.store.approvals() if one.incident_id.startswith(incident)]
        if len(found) > 1:
            hint = "give more of the id"
            raise ComplianceAgentError(f"{len(found)} approvals are of incidents {incident}...", hint=hint)
        if not found:
            raise self._no_approval(incident)
        approval = found[0]
        self.record(
            ActionKind.APPROVAL_WITHDRAWN,
            [EndApproval(approval.incident_id)],
            place=self._place_of(approval.incident_id),
            incident_id=approval.incident_id,
            plan_digest=approval.plan_digest,
            approved_by=approval.actor,
        )
        return approval

    def _place_of(self, incident_id: str) -> tuple[str, str]:
        requests = {one.incident_id: one for one in self._agent.store.requests()}
        return (
            (requests[incident_id].target_id, requests[incident_id].check_id) if incident_id in requests else ("", "")
        )

    def _no_approval(self, incident: str) -> ComplianceAgentError:
        """Return why there is nothing to withdraw: never given, withdrawn already, used up, or its incident is over."""
        kinds = {ActionKind.APPROVED, ActionKind.APPROVAL_WITHDRAWN}
        done = [
            one
            for one in self._agent.store.actions(_ACTIONS_SEARCHED)
            if one.kind in kinds and str(one.details["incident_id"]).startswith(incident)
        ]
        if not done:
            hint = "compliance-agent approve lists what waits"
            return ComplianceAgentError(f"nobody has approved incident {incident}", hint=hint)
        last, incident_id = done[0], str(done[0].details["incident_id"])
        if last.kind is ActionKind.APPROVAL_WITHDRAWN:
            return ComplianceAgentError(f"the approval of incident {incident_id} was withdrawn already by {last.actor}")
        used = self._attempt_after(last, incident_id)
        if used is None:
            return ComplianceAgentError(
                f"the approval of incident {incident_id} is void: the incident is over",
                hint="a new incident asks again",
            )
        return ComplianceAgentError(
            f"the approval of incident {incident_id} was used by attempt {used.attempt_id}, "
            f"{when(used.begun_at)}, and cannot be withdrawn any more",
            hint=f"compliance-agent undo {used.attempt_id} --reason ... puts back what it changed",
        )

    def _attempt_after(self, approved: PersonAction, incident_id: str) -> Attempt | None:
        store = self._agent.engine.store
        past = store.history(self._print(approved.target_id, approved.check_id), since=approved.at)
        attempts = (*(one.attempt for one in past), *store.unfinished(approved.target_id))
        return next((one for one in attempts if one.incident_id == incident_id), None)

    def clear_target(self, target_id: str) -> None:
        """Let a target's failures count no more for its circuit breaker."""
        self.record(ActionKind.FLAP_CLEARED, [Forgive(target_id, self._now.elapsed_s)], place=(target_id, ""))

    def clear(self, target_id: str, check_id: str, *, once: bool, until: Term | None) -> None:
        """Clear a flap: forget it, allow one try (``once``), or hold it until then."""
        row = self._agent.store.flap(self._print(target_id, check_id))
        kind = FlapEventKind.ARMED if once else FlapEventKind.HELD if until else FlapEventKind.CLEARED
        event = FlapEvent(kind, self._now.elapsed_s, self._now.wall, until_s=until.elapsed_s if until else 0.0)
        changes: list[Change] = [ChangeFlap(self._update(target_id, check_id, event))]
        name = f"{target_id}/{check_id}"
        if until is None:
            changes.append(Forgive(name, self._now.elapsed_s))
        self.record(
            ActionKind.FLAP_CLEARED,
            changes,
            place=(target_id, check_id),
            until=until,
            how=kind.value,
            before=written(replace(row.state, before=None) if row else FRESH),
            forgiven_before=str(self._agent.store.forgiven().get(name, -1.0)),
        )

    def undo_clear(self, target_id: str, check_id: str) -> None:
        """Take the last clearing of a flap back; what came since counts as if it had never been cleared.

        Raises:
            ComplianceAgentError: Nobody cleared it, or that was undone already.

        """
        name = f"{target_id}/{check_id}"
        row, cleared = (
            self._agent.store.flap(self._print(target_id, check_id)),
            self._last_clearing(target_id, check_id),
        )
        if row is None or row.state.before is None or cleared is None:
            hint = "see compliance-agent flaps list"
            raise ComplianceAgentError(f"there is no clearing of {name} to undo", hint=hint)
        event = FlapEvent(FlapEventKind.RESTORED, self._now.elapsed_s, self._now.wall)
        changes = (
            ChangeFlap(self._update(target_id, check_id, event)),
            Forgive(name, float(str(cleared.details["forgiven_before"]))),
        )
        self.record(ActionKind.FLAP_RESTORED, changes, place=(target_id, check_id))

    def _last_clearing(self, target_id: str, check_id: str) -> PersonAction | None:
        for action in self._agent.store.actions(_ACTIONS_SEARCHED):
            if action.kind is ActionKind.FLAP_CLEARED and (action.target_id, action.check_id) == (target_id, check_id):
                return action
        return None

    def _print(self, target_id: str, check_id: str) -> str:
        return fingerprint(self._agent.settings.site_id, target_id, check_id)

    def _update(self, target_id: str, check_id: str, event: FlapEvent) -> FlapUpdate:
        site_id, policy = self._agent.settings.site_id, self._agent.engine.policy.flap
        return FlapUpdate(self._print(target_id, check_id), site_id, target_id, check_id, (event,), policy)


def _id_of(incident: OpenIncident) -> str:
    print_ = fingerprint(incident.site_id, incident.target_id, incident.check_id)
    return incident_id_for(print_, incident.opened_at)
