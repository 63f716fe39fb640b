"""Evidence in the store: one chain, in the transaction of what it is about; the same for the file and in memory."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import pytest

from compliance_agent.adapters.store import MemoryStore, SqliteStore
from compliance_agent.adapters.store.evidence import SEGMENT_ENTRIES_MAX
from compliance_agent.domain.evidence.drafts import EvidenceDraft, EvidenceKind
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outbox import OutboxClass
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.turn_end import Attachments, TurnEnd
from compliance_agent.errors import CredentialError, StoreError
from compliance_agent.testing import NOON
from compliance_agent.wire.evidence.chain import read_payload
from tests.support.evidence import Refusals, a_heal, a_key, a_recorder, a_scan, an_action, verify
from tests.support.state import SITE, TARGET, an_attempt, an_end, an_observation, an_outcome

DAY = timedelta(days=1)


@pytest.fixture(params=["file", "memory"])
def make_store(request, tmp_path):
    opened = []

    def make(recorder=None):
        store = (
            SqliteStore(tmp_path / "state.sqlite", recorder=recorder)
            if request.param == "file"
            else MemoryStore(recorder=recorder)
        )
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store):
    return make_store(a_recorder())


def with_evidence(*drafts) -> Attachments:
    return Attachments(evidence=drafts)


def kinds_in(store) -> list[str]:
    return [row.kind for row in store.evidence.rows()]


def payload_of(line: bytes) -> Any:
    return read_payload(line)


def lines(store) -> list[bytes]:
    return [row.line for row in store.evidence.rows()]


def test_the_first_entry_starts_the_chain_and_all_of_it_verifies(store) -> None:
    store.attach(with_evidence(a_scan(), an_action()))
    assert kinds_in(store) == ["chain_started", "scan", "action"]
    status = store.evidence.status()
    assert verify(lines(store), a_key(), head=status.head).findings == []
    assert (status.entries, status.key_id, status.site_id) == (3, a_key().key_id, SITE)
    assert status.size_bytes == sum(map(len, lines(store)))


def test_an_outcome_and_its_evidence_are_written_together(store) -> None:
    attempt = an_attempt()
    store.begin(attempt)
    store.finish(TurnEnd(an_end(attempt), attachments=with_evidence(a_heal())))
    assert kinds_in(store) == ["chain_started", "incident"]


def test_an_outcome_that_cannot_be_written_leaves_no_evidence(store) -> None:
    with pytest.raises(StoreError):
        store.finish(TurnEnd(an_end(an_attempt()), attachments=with_evidence(a_heal())))
    assert kinds_in(store) == []


def test_a_held_incident_is_evidenced_once_and_not_at_every_scan(store) -> None:
    for minute in range(3):
        outcome = an_outcome(OutcomeKind.SUPPRESSED, NOON + timedelta(minutes=minute), reason="it flaps")
        store.finish(TurnEnd(outcome, attachments=with_evidence(a_heal())))
    assert kinds_in(store) == ["chain_started", "incident"]


def test_clean_scans_are_summed_up_and_counted(store) -> None:
    for minute in range(0, 60, 2):
        at = NOON + timedelta(minutes=minute)
        store.record_scan(
            TARGET, [an_observation(Verdict.PASS, at)], site_id=SITE, now=at, attachments=with_evidence(a_scan(at))
        )
    store.attach(with_evidence(a_scan(NOON + DAY)))
    rows = list(store.evidence.rows(kind="scan"))
    assert len(rows) == 2
    assert payload_of(rows[1].line)["body"]["since"] == {
        "last_entry_at": "2026-01-15T12:00:00.000000Z",
        "scans": 29,
        "unreached": 0,
        "changes": 0,
    }


def test_targets_have_tallies_of_their_own(store) -> None:
    store.attach(with_evidence(a_scan(), a_scan(target_id="laptop"), a_scan()))
    assert [row.target_id for row in store.evidence.rows(kind="scan")] == [TARGET, "laptop"]


def test_without_a_recorder_nothing_is_signed(make_store) -> None:
    store = make_store()
    store.attach(with_evidence(an_action()))
    assert (kinds_in(store), store.evidence.status().head) == ([], None)


def test_a_refused_entry_is_counted_and_told(make_store, monkeypatch) -> None:
    refusals = Refusals()
    store = make_store(a_recorder(refusals=refusals))
    monkeypatch.setattr(
        "compliance_agent.domain.scrub._scrub_once", lambda text: text + "!" if "strange" in text else text
    )
    store.attach(with_evidence(an_action(reason="strange"), an_action()))
    assert kinds_in(store) == ["chain_started", "refused", "action"]
    assert store.evidence.status().refused == 1
    assert [sealed.position.seq for sealed in refusals.sealed] == [2]
    assert b"strange" not in read_payload_bytes(store, 2)


def read_payload_bytes(store, seq) -> bytes:
    from compliance_agent.wire.evidence.dsse import read_envelope

    return read_envelope(store.evidence.entry(seq).line).payload


def test_each_month_is_a_segment_and_names_the_one_before(store) -> None:
    store.attach(with_evidence(an_action(NOON), an_action(NOON + 20 * DAY)))
    assert kinds_in(store) == ["chain_started", "action", "segment_started", "action"]
    first, second = store.evidence.segments()
    assert (first.month, first.first_seq, first.last_seq) == ("2026-01", 1, 2)
    assert (second.month, second.first_seq, second.last_seq) == ("2026-02", 3, 4)
    assert payload_of(store.evidence.entry(3).line)["body"]["before"]["last_sha256"] == first.last_sha256
    assert verify(lines(store), a_key(), head=store.evidence.status().head).findings == []


def test_a_clock_that_was_set_back_starts_no_segment(store) -> None:
    store.attach(with_evidence(an_action(NOON), an_action(NOON - 60 * DAY)))
    assert len(store.evidence.segments()) == 1


def test_a_full_segment_is_followed_by_another(store, monkeypatch) -> None:
    assert SEGMENT_ENTRIES_MAX == 10_000
    monkeypatch.setattr("compliance_agent.adapters.store.evidence.SEGMENT_ENTRIES_MAX", 3)
    store.attach(with_evidence(*[an_action()] * 5))
    assert [one.last_seq - one.first_seq + 1 for one in store.evidence.segments()] == [3, 3, 2]
    assert verify(lines(store), a_key(), head=store.evidence.status().head).findings == []


def test_many_threads_write_one_chain_without_a_gap(store) -> None:
    threads = [
        threading.Thread(target=lambda: [store.attach(with_evidence(an_action())) for _ in range(10)]) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = verify(lines(store), a_key(), head=store.evidence.status().head)
    assert (found.findings, found.entries) == ([], 61)


def test_what_the_control_plane_is_told_are_the_signed_bytes(make_store) -> None:
    store = make_store(replace(a_recorder(), forward=True))
    store.attach(with_evidence(an_action()))
    counts = store.counts().outbox[OutboxClass.EVIDENCE]
    assert counts.waiting == 2
    assert counts.size_bytes == sum(map(len, lines(store)))


def test_entries_can_be_listed_by_kind_target_and_number(store) -> None:
    store.attach(with_evidence(an_action(), a_scan(), a_scan(target_id="laptop"), a_heal()))
    assert [row.seq for row in store.evidence.latest(2)] == [4, 5]
    assert [row.seq for row in store.evidence.latest(9, kind="scan")] == [3, 4]
    assert [row.seq for row in store.evidence.latest(9, target_id="laptop")] == [4]
    assert [row.seq for row in store.evidence.rows(first_seq=2, last_seq=3)] == [2, 3]
    assert store.evidence.entry(99) is None


# the file alone -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.sqlite"


def open_file(path, *keys):
    return SqliteStore(path, recorder=a_recorder(*keys))


def test_two_processes_on_one_file_write_one_chain(path) -> None:
    with open_file(path) as first, open_file(path) as second:
        for _ in range(5):
            first.attach(with_evidence(an_action()))
            second.attach(with_evidence(an_action()))
        assert verify(lines(first), a_key(), head=second.evidence.status().head).findings == []


def test_after_a_restart_the_chain_and_the_tally_go_on(path) -> None:
    with open_file(path) as store:
        store.attach(with_evidence(a_scan()))
    with open_file(path) as store:
        store.attach(with_evidence(a_scan(NOON + timedelta(minutes=5)), an_action()))
        assert kinds_in(store) == ["chain_started", "scan", "action"]


@pytest.mark.parametrize(
    "statement", ["UPDATE evidence SET line = x'00'", "DELETE FROM evidence", "DELETE FROM evidence WHERE seq = 2"]
)
def test_the_file_itself_refuses_to_change_or_drop_evidence(path, statement) -> None:
    with open_file(path) as store:
        store.attach(with_evidence(an_action()))
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="evidence is"):
        connection.execute(statement)


def test_a_key_that_cannot_be_read_keeps_the_outcome_out_too(path) -> None:
    class NoKeys:
        def first(self) -> NoReturn:
            raise CredentialError("the key is gone", hint="restore it")

        def of(self, wanted: str) -> NoReturn:
            del wanted
            raise CredentialError("the key is gone", hint="restore it")

    attempt = an_attempt()
    with SqliteStore(path, recorder=replace(a_recorder(), keys=NoKeys())) as store:
        store.begin(attempt)
        with pytest.raises(StoreError, match="the key is gone"):
            store.finish(TurnEnd(an_end(attempt), attachments=with_evidence(a_heal())))
        assert [one.attempt_id for one in store.unfinished()] == [attempt.attempt_id]


def test_a_rotated_key_signs_from_then_on(path) -> None:
    with open_file(path, a_key(), a_key(2)) as store:
        store.attach(with_evidence(an_action()))
        store.rotate_key(a_key(2), EvidenceDraft(EvidenceKind.KEY_ROTATED, NOON, SITE, {"reason": "yearly"}))
        store.attach(with_evidence(an_action()))
        found = verify(lines(store), a_key(), head=store.evidence.status().head)
        assert (found.findings, found.keys) == ([], [a_key().key_id, a_key(2).key_id])


def test_before_there_is_a_chain_there_is_no_key_to_rotate(path) -> None:
    draft = EvidenceDraft(EvidenceKind.KEY_ROTATED, NOON, SITE, {"reason": "yearly"})
    with open_file(path) as store, pytest.raises(StoreError, match="no evidence yet"):
        store.rotate_key(a_key(2), draft)


# six years ----------------------------------------------------------------------------------------


def monthly(store, months, start=NOON) -> None:
    """One action a month, on the 15th."""
    for number in range(months):
        year, month = divmod(start.month - 1 + number, 12)
        store.attach(with_evidence(an_action(start.replace(year=start.year + year, month=month + 1))))


def test_after_six_years_the_oldest_month_goes_and_the_chain_says_so(path) -> None:
    with open_file(path) as store:
        monthly(store, 74)
        before = store.evidence.status().entries
        now = NOON.replace(year=2032, month=2) + timedelta(days=1)
        assert store.prune_evidence(now) == 2
        status = store.evidence.status()
        assert (status.pruned, status.entries) == (2, before - 2 + 1)
        found = verify(lines(store), a_key(), head=status.head)
        assert found.findings == []
        assert any("retention time" in note for note in found.notes)
        assert store.prune_evidence(now) == 0


def test_nothing_goes_a_day_too_early(path) -> None:
    with open_file(path) as store:
        monthly(store, 74)
        assert store.prune_evidence(NOON + timedelta(days=2_192)) == 0
        assert store.prune_evidence(NOON + timedelta(days=2_193)) == 2


def test_a_clock_that_jumps_ahead_costs_no_evidence(path) -> None:
    with open_file(path) as store:
        monthly(store, 12)
        store.attach(with_evidence(an_action(NOON.replace(year=2060))))
        assert store.prune_evidence(NOON.replace(year=2060)) == 0


def test_the_bound_on_the_file_does_not_drop_outcomes_for_evidence(path) -> None:
    from compliance_agent.adapters.store.rows import Limits

    with open_file(path) as store:
        store.finish(TurnEnd(an_outcome()))
        store.attach(with_evidence(*[an_action(reason="word " * 300)] * 600))
        assert store.counts().size_bytes > 1_200_000
        assert store.prune(NOON, Limits(size_max_bytes=700_000)) == {}
