"""What one write transaction does to the gate's memory, the same over the file and over plain dicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from compliance_agent.adapters.store import gate_codec
from compliance_agent.adapters.store.codec import clean_text
from compliance_agent.domain.gate.decision import Allow, Hold
from compliance_agent.domain.gate.flap import FlapEventKind, taken_back
from compliance_agent.domain.gate.ledger import (
    ChangeFlap,
    EndApproval,
    EndChoice,
    EndWaiver,
    Forgive,
    NotePauseFile,
    SetApproval,
    SetChoice,
    SetPause,
    SetWaiver,
)
from compliance_agent.domain.gate.people import judge_approval, judge_kill_switch, judge_waiver
from compliance_agent.domain.gate.suppression import judge as judge_flap
from compliance_agent.domain.gate.tries import DAY_S, Try, judge_blast
from compliance_agent.domain.timeline import newer
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from compliance_agent.domain.gate.decision import Decision
    from compliance_agent.domain.gate.flap import FlapUpdate
    from compliance_agent.domain.gate.ledger import Change, Charge, GateEnd
    from compliance_agent.domain.gate.people import NotedPause, Told, Waiver
    from compliance_agent.domain.outcome import Attempt, Outcome
    from compliance_agent.domain.timeline import Instant

PAUSE_KEY: Final = "site"
PAUSE_FILE_KEY: Final = "file"


class Book(Protocol):
    """Records and tries, inside one transaction."""

    def get(self, kind: str, key: str) -> str | None:
        """Return a record's document, or ``None``."""
        ...

    def put(self, kind: str, key: str, document: str) -> None:
        """Write a record, in place of the one of its key."""
        ...

    def remove(self, kind: str, key: str) -> None:
        """Remove a record, if there is one."""
        ...

    def documents(self, kind: str) -> Sequence[str]:
        """Return every record's document of a kind, by key."""
        ...

    def instant(self) -> Instant | None:
        """Return the instant kept last."""
        ...

    def put_instant(self, now: Instant) -> None:
        """Keep an instant in place of the last."""
        ...

    def tries(self, site_id: str, *, target_id: str, since_s: float, since_uptime_s: float) -> Sequence[Try]:
        """Return tries; see ``engine.ports.Store.tries``."""
        ...

    def find_try(self, attempt_id: str) -> Try | None:
        """Return one try, or ``None``."""
        ...

    def put_try(self, one: Try) -> None:
        """Write a try, in place of the one of its id."""
        ...


def keep_instant(book: Book, now: Instant) -> None:
    """Keep the instant, unless a later one is kept already."""
    book.put_instant(newer(book.instant(), now))


def refusal(book: Book, attempt: Attempt, charge: Charge) -> Hold | None:
    """Return what has come between the plan of this attempt and now, or ``None``.

    That is a pause, a waiver or a hold that somebody commanded meanwhile, an approval that was withdrawn, or a limit
    that other turns have used up.
    """
    paused = book.get("pause", PAUSE_KEY)
    waived = book.get("waiver", f"{attempt.target_id}/{attempt.check_id}")
    recent = book.tries(
        attempt.site_id,
        target_id=attempt.target_id,
        since_s=charge.now.elapsed_s,
        since_uptime_s=charge.now.uptime_s - DAY_S,
    )
    decisions = (
        judge_kill_switch(None, gate_codec.pause(paused) if paused else None, charge.now),
        judge_waiver(gate_codec.waiver(waived) if waived else None, charge.now),
        _judge_flap(book, attempt, charge),
        judge_blast(charge.limits, recent, target_id=attempt.target_id, runbook_id=attempt.runbook_id, now=charge.now),
        _judge_approval(book, charge),
    )
    return next((one for one in decisions if isinstance(one, Hold)), None)


def _judge_flap(book: Book, attempt: Attempt, charge: Charge) -> Decision:
    """Judge the flap as it is now, with all of the charge's events but the try itself."""
    if charge.flap is None:
        return Allow()
    tried = next((one for one in charge.flap.events if one.kind is FlapEventKind.TRIED), None)
    if tried is None:
        return Allow()
    found = book.get("flap", charge.flap.fingerprint)
    before = replace(charge.flap, events=tuple(one for one in charge.flap.events if one is not tried))
    return judge_flap(
        before.applied(None if found is None else gate_codec.flap_row(found)).state,
        charge.flap.policy,
        digest=tried.digest,
        unattended=not charge.approval,
        place=f"{attempt.target_id}/{attempt.check_id}",
        now=charge.now,
    )


def _judge_approval(book: Book, charge: Charge) -> Decision:
    found = book.get("approval", charge.approval)
    return judge_approval(
        gate_codec.approval(found) if found else None,
        needed=bool(charge.approval),
        digest=charge.plan_digest,
        incident_id=charge.approval,
        now=charge.now,
    )


def begin(book: Book, attempt: Attempt, charge: Charge) -> None:
    """Use up what an attempt uses up: a token of each bucket, the single try of a flap, an approval."""
    keep_instant(book, charge.now)
    book.put_try(
        Try(
            attempt_id=attempt.attempt_id,
            site_id=attempt.site_id,
            target_id=attempt.target_id,
            check_id=attempt.check_id,
            fingerprint=attempt.fingerprint,
            rule_id=attempt.rule_id,
            runbook_id=attempt.runbook_id,
            begun_uptime_s=charge.now.uptime_s,
            begun_s=charge.now.elapsed_s,
        )
    )
    if charge.flap is not None:
        change_flap(book, charge.flap)
    if charge.approval:
        book.remove("approval", charge.approval)
        book.remove("request", charge.approval)
    if charge.choice:
        book.remove("choice", charge.choice)


def end(book: Book, outcome: Outcome, gate: GateEnd | None) -> None:
    """Keep how a try ended, and what that means for its flap."""
    known = book.instant()
    if outcome.attempt_id is not None and (one := book.find_try(outcome.attempt_id)) is not None:
        # Without an instant (a crash cut the attempt off) it ended no earlier than what is known.
        ended = gate.now.elapsed_s if gate else max(one.begun_s, known.elapsed_s if known else 0.0)
        book.put_try(replace(one, ended_s=max(one.begun_s, ended), outcome=outcome.kind, reason=outcome.reason))
    if gate is None:
        return
    keep_instant(book, gate.now)
    if gate.flap is not None:
        change_flap(book, gate.flap)
    if gate.request is not None and book.get("request", gate.request.incident_id) is None:
        _put_request(book, gate)
    elif gate.request is not None:
        kept = gate_codec.request(str(book.get("request", gate.request.incident_id)))
        if kept.plan_digest != gate.request.plan_digest:
            _put_request(book, gate)


def _put_request(book: Book, gate: GateEnd) -> None:
    assert gate.request is not None  # noqa: S101 - the caller looked
    book.put("request", gate.request.incident_id, gate_codec.written(gate.request))


def forget_requests(book: Book, passed: Collection[tuple[str, str]]) -> None:
    """Forget plans that wait for a word, that word, and choices, where the check (target, check) passes now."""
    if not passed:
        return
    for document in book.documents("choice"):
        choice = gate_codec.choice(document)
        if (choice.target_id, choice.check_id) in passed:
            book.remove("choice", choice.incident_id)
    for document in book.documents("request"):
        request = gate_codec.request(document)
        if (request.target_id, request.check_id) in passed:
            book.remove("request", request.incident_id)
            book.remove("approval", request.incident_id)


def mark_told(book: Book, waiver: Waiver, told: Told) -> bool:
    """Keep what people are told of a waiver's end; ``False`` where it is not there any more as it was read."""
    found = book.get("waiver", waiver.place)
    if found is None or gate_codec.waiver(found) != waiver:
        return False
    book.put("waiver", waiver.place, gate_codec.written(replace(waiver, told=told)))
    return True


def undo(book: Book, attempt_id: str, at_s: float) -> None:
    """Keep that a person took a fix back: no relapse is seen in what follows, unless a later fix stands."""
    one = book.find_try(attempt_id)
    if one is None:
        return
    book.put_try(replace(one, undone_s=at_s))
    found = book.get("flap", one.fingerprint)
    if found is not None:
        row = gate_codec.flap_row(found)
        state = taken_back(row.state, one.last_s)
        book.put("flap", one.fingerprint, gate_codec.written(replace(row, state=state)))


def change_flap(book: Book, update: FlapUpdate) -> None:
    """Apply events to a flap as it is now."""
    found = book.get("flap", update.fingerprint)
    row = update.applied(None if found is None else gate_codec.flap_row(found))
    book.put("flap", update.fingerprint, gate_codec.written(row))


def _put_word(book: Book, one: SetApproval | SetChoice) -> None:
    if isinstance(one, SetApproval):
        approval = replace(one.approval, reason=clean_text(one.approval.reason))
        book.put("approval", approval.incident_id, gate_codec.written(approval))
    else:
        choice = replace(one.choice, reason=clean_text(one.choice.reason))
        book.put("choice", choice.incident_id, gate_codec.written(choice))


def _take_word_back(book: Book, kind: str, incident_id: str) -> None:
    if book.get(kind, incident_id) is None:
        word = "an approval" if kind == "approval" else "a choice"
        raise StoreError(
            f"there is no {kind} of incident {incident_id} to withdraw",
            hint=f"{word} is used up, or was withdrawn, at this very moment: see compliance-agent status",
        )
    book.remove(kind, incident_id)


def change(book: Book, one: Change) -> None:
    """Carry out what a person asked for."""
    if isinstance(one, SetPause):
        if one.pause is None:
            book.remove("pause", PAUSE_KEY)
        else:
            kept = replace(one.pause, reason=clean_text(one.pause.reason))
            book.put("pause", PAUSE_KEY, gate_codec.written(kept))
    elif isinstance(one, NotePauseFile):
        _note_pause_file(book, one.noted)
    elif isinstance(one, SetWaiver):
        waiver = replace(one.waiver, reason=clean_text(one.waiver.reason))
        book.put("waiver", waiver.place, gate_codec.written(waiver))
    elif isinstance(one, EndWaiver):
        book.remove("waiver", f"{one.target_id}/{one.check_id}")
    elif isinstance(one, SetApproval | SetChoice):
        _put_word(book, one)
    elif isinstance(one, EndApproval | EndChoice):
        _take_word_back(book, "approval" if isinstance(one, EndApproval) else "choice", one.incident_id)
    elif isinstance(one, Forgive):
        book.put("forgiven", one.what, repr(one.at_s))
    else:
        assert isinstance(one, ChangeFlap)  # noqa: S101 - a change is one of these
        change_flap(book, one.update)


def _note_pause_file(book: Book, noted: NotedPause | None) -> None:
    if noted is None:
        book.remove("pause", PAUSE_FILE_KEY)
        return
    kept = replace(noted, pause=replace(noted.pause, reason=clean_text(noted.pause.reason)))
    book.put("pause", PAUSE_FILE_KEY, gate_codec.written(kept))
