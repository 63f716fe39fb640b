"""The chain: whole ones verify, and every way to tamper with one is found and named."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_agent.domain.evidence.drafts import EvidenceDraft, EvidenceKind
from compliance_agent.testing import NOON
from compliance_agent.wire.evidence.chain import ChainVerifier, Head, read_head
from compliance_agent.wire.evidence.dsse import sign
from compliance_agent.wire.evidence.entry import PAYLOAD_TYPE
from tests.support.evidence import Chain, a_heal, a_key, a_scan, an_action, kinds, verify
from tests.support.state import SITE

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

OTHER = "0190a6b5-7c1e-7abc-8def-ffffffffffff"


@pytest.fixture
def chain() -> Chain:
    return Chain().add(a_scan(), a_heal(), an_action(), a_scan(NOON + timedelta(days=1)))


def test_a_whole_chain_verifies(chain) -> None:
    found = verify(chain.lines, a_key(), head=chain.head)
    assert (found.findings, found.notes) == ([], [])
    assert (found.entries, found.first_seq, found.head) == (5, 1, chain.head)


def test_without_a_head_the_verifier_says_that_a_lost_tail_cannot_be_told(chain) -> None:
    found = verify(chain.lines[:-1], a_key())
    assert found.findings == []
    assert any("cut off at the end" in note for note in found.notes)


def test_without_a_key_it_says_that_nothing_tells_whose_the_chain_is(chain) -> None:
    found = verify(chain.lines, head=chain.head)
    assert found.findings == []
    assert any("not whose it is" in note for note in found.notes)


def test_a_cut_tail_is_found_against_a_recorded_head(chain) -> None:
    assert kinds(verify(chain.lines[:-1], a_key(), head=chain.head)) == {"tail_missing"}


def test_a_tail_that_was_made_anew_is_found_against_a_recorded_head(chain) -> None:
    other = Chain().add(a_scan(), a_heal(), an_action(), a_scan(NOON + timedelta(days=2)))
    assert kinds(verify(other.lines, a_key(), head=chain.head)) == {"head_differs"}


def test_a_head_in_the_middle_is_compared_and_the_rest_has_no_witness(chain) -> None:
    third = Head(chain.chain, 3, chain.sealed[2].sha256)
    found = verify(chain.lines, a_key(), head=third)
    assert found.findings == []
    assert any("have no witness" in note for note in found.notes)
    assert kinds(verify(chain.lines, a_key(), head=Head(chain.chain, 3, "0" * 64))) == {"head_differs"}


def test_the_head_of_another_chain_is_no_witness(chain) -> None:
    assert kinds(verify(chain.lines, a_key(), head=Head(OTHER, 5, "0" * 64))) == {"foreign_chain"}


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_dropped_entry_is_found(chain, index) -> None:
    found = verify(chain.lines[:index] + chain.lines[index + 1 :], a_key(), head=chain.head)
    assert kinds(found) == {"missing"}
    assert f"{index + 1} to {index + 1}" in found.findings[0].message


def test_a_swapped_pair_is_found(chain) -> None:
    first, second, third, *rest = chain.lines
    found = verify([first, third, second, *rest], a_key(), head=chain.head)
    assert kinds(found) >= {"out_of_order", "missing"}


def test_a_doubled_entry_is_found(chain) -> None:
    lines = chain.lines
    assert kinds(verify([*lines[:3], lines[2], *lines[3:]], a_key(), head=chain.head)) == {"out_of_order"}


def test_an_entry_of_another_chain_of_the_same_key_is_found(chain) -> None:
    foreign = Chain(chain=OTHER).add(a_scan(), a_heal(), an_action(), an_action())
    lines = chain.lines
    assert kinds(verify([*lines[:3], foreign.lines[3], *lines[3:]], a_key(), head=chain.head)) == {"foreign_chain"}
    assert kinds(verify([*lines[:3], foreign.lines[3], lines[4]], a_key(), head=chain.head)) == {
        "foreign_chain",
        "missing",
    }


def test_an_entry_of_the_same_chain_id_signed_by_another_key_is_found(chain) -> None:
    forged = Chain(a_key(9)).add(a_scan(), a_heal(), an_action(), an_action())
    lines = chain.lines
    assert "foreign_key" in kinds(verify([*lines[:3], forged.lines[3], lines[4]], a_key(), head=chain.head))


def test_an_entry_that_was_signed_anew_by_the_right_key_breaks_the_link(chain) -> None:
    other = Chain().add(a_scan(), an_action(), an_action())
    lines = chain.lines
    found = verify([*lines[:2], other.lines[2], *lines[3:]], a_key(), head=chain.head)
    assert kinds(found) == {"broken_link"}
    assert found.findings[0].seq == 4


def test_a_whole_chain_of_another_key_is_found_by_who_has_the_right_key(chain) -> None:
    forged = Chain(a_key(9)).add(a_scan())
    assert "foreign_key" in kinds(verify(forged.lines, a_key()))


def test_a_signature_under_a_wrong_key_id_is_found(chain) -> None:
    envelope = json.loads(chain.lines[2])
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    envelope["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    assert signature != bytes(64)
    line = json.dumps(envelope, separators=(",", ":"), sort_keys=True).encode()
    assert kinds(verify([*chain.lines[:2], line, *chain.lines[3:]], a_key(), head=chain.head)) == {
        "bad_signature",
        "broken_link",
    }


@pytest.mark.unmeasured
@pytest.mark.parametrize("index", range(5))
def test_every_single_byte_of_every_entry_matters(chain, index) -> None:
    lines = chain.lines
    for place in range(len(lines[index])):
        changed = bytearray(lines[index])
        changed[place] ^= 1
        found = verify([*lines[:index], bytes(changed), *lines[index + 1 :]], a_key(), head=chain.head)
        assert found.findings, f"byte {place}"


@settings(deadline=None)
@given(st.data())
def test_no_change_of_the_bytes_goes_unseen(data) -> None:
    chain = Chain().add(a_scan(), an_action())
    whole = b"\n".join(chain.lines)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    put = data.draw(st.binary(max_size=20) | st.sampled_from([b"\n", b" ", whole[start:end][::-1]]))
    changed = whole[:start] + put + whole[end:]
    if changed != whole:
        assert verify(changed.split(b"\n"), a_key(), head=chain.head).findings


@settings(deadline=None)
@given(st.permutations(range(5)), st.integers(0, 5))
def test_no_other_order_and_no_part_goes_unseen(order, length) -> None:
    chain = Chain().add(a_scan(), a_heal(), an_action(), an_action())
    chosen = list(order)[:length]
    found = verify([chain.lines[index] for index in chosen], a_key(), head=chain.head)
    assert bool(found.findings) == (chosen != list(range(5)))


# keys ---------------------------------------------------------------------------------------------


def test_a_rotation_is_followed_by_the_first_key_alone(chain) -> None:
    chain.rotate(a_key(2)).add(an_action()).rotate(a_key(3)).add(an_action())
    found = verify(chain.lines, a_key(), head=chain.head)
    assert (found.findings, len(found.keys)) == ([], 3)


def test_after_a_rotation_the_old_key_signs_nothing_any_more(chain) -> None:
    old = chain.key
    chain.rotate(a_key(2))
    chain.key = old
    assert kinds(verify(chain.add(an_action()).lines, a_key(), head=chain.head)) == {"foreign_key"}


def test_a_rotation_that_the_old_key_did_not_sign_is_not_followed(chain) -> None:
    chain.key = a_key(9)
    chain.rotate(a_key(9)).add(an_action())
    assert kinds(verify(chain.lines, a_key(), head=chain.head)) == {"foreign_key"}


def test_a_replaced_key_is_named_and_stands_when_it_is_given_too(chain) -> None:
    chain.rotate(a_key(2), lost=True).add(an_action())
    assert kinds(verify(chain.lines, a_key(), head=chain.head)) == {"unvouched_key"}
    assert kinds(verify(chain.lines, head=chain.head)) == {"unvouched_key"}
    assert verify(chain.lines, a_key(), a_key(2), head=chain.head).findings == []


def test_a_key_that_was_rotated_away_never_comes_back_as_a_replacement(chain) -> None:
    stolen = chain.key
    chain.rotate(a_key(2)).add(an_action()).rotate(stolen, lost=True).add(an_action())
    assert kinds(verify(chain.lines, a_key(), head=chain.head)) == {"unvouched_key"}
    assert kinds(verify(chain.lines, a_key(), a_key(2), head=chain.head)) == {"unvouched_key"}


# what is left of an old chain ---------------------------------------------------------------------


def test_a_chain_that_begins_later_is_found_unless_a_later_entry_says_that_the_rest_was_pruned(chain) -> None:
    assert kinds(verify(chain.lines[2:], a_key(), head=chain.head)) == {"missing"}
    body = {"segments": [1], "first_seq": 1, "last_seq": 2, "last_sha256": chain.sealed[1].sha256}
    chain.add(EvidenceDraft(EvidenceKind.SEGMENTS_PRUNED, NOON, SITE, body))
    found = verify(chain.lines[2:], a_key(), head=chain.head)
    assert found.findings == []
    assert any("retention time" in note for note in found.notes)
    assert kinds(verify(chain.lines[1:], a_key(), head=chain.head)) == {"missing"}


def test_a_start_that_follows_another_entry_than_the_pruned_one_is_found(chain) -> None:
    body: dict[str, JsonValue] = {"segments": [1], "first_seq": 1, "last_seq": 2, "last_sha256": "a" * 64}
    chain.add(EvidenceDraft(EvidenceKind.SEGMENTS_PRUNED, NOON, SITE, body))
    assert kinds(verify(chain.lines[2:], a_key(), head=chain.head)) == {"missing"}


def test_a_clock_that_was_set_back_is_told_and_is_no_finding() -> None:
    chain = Chain().add(an_action(NOON), an_action(NOON - timedelta(hours=1, seconds=1)))
    found = verify(chain.lines, a_key(), head=chain.head)
    assert found.findings == []
    assert any("set back" in note for note in found.notes)


def test_turns_that_overlap_are_no_clock_that_was_set_back() -> None:
    chain = Chain().add(an_action(NOON), an_action(NOON - timedelta(hours=1)))
    assert verify(chain.lines, a_key(), head=chain.head).notes == []


def test_an_empty_chain_has_no_head_and_misses_a_recorded_one(chain) -> None:
    assert verify([]).findings == []
    assert kinds(verify([], head=chain.head)) == {"foreign_chain"}


@pytest.mark.parametrize(
    "payload", [b"{}", b"[]", b"1", b'{"schema":"evidence/v2"}', b'{"schema":"evidence/v1","seq":1}', b'{ "schema":1}']
)
def test_a_payload_that_is_no_entry_is_found_although_it_is_signed(chain, payload) -> None:
    line = sign(payload, PAYLOAD_TYPE, a_key())
    assert "altered" in kinds(verify([*chain.lines, line], a_key()))


def test_a_payload_of_another_type_is_found(chain) -> None:
    line = sign(b"{}", "application/json", a_key())
    assert "altered" in kinds(verify([*chain.lines, line], a_key()))


def test_only_what_verified_is_listened_to(chain) -> None:
    heard: list[object] = []
    verifier = ChainVerifier([a_key().public_key], listen=lambda payload: heard.append(payload["seq"]))
    forged = Chain(a_key(9)).add(a_scan(), a_heal(), an_action())
    for line in [*chain.lines[:3], forged.lines[3], *chain.lines[4:]]:
        verifier.feed(line)
    assert heard == [1, 2, 3, 5]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"chain": "a", "seq": "x", "sha256": "b"}', "null", '"a"'])
def test_what_is_no_head_is_refused(text) -> None:
    with pytest.raises(ValueError, match="a head is"):
        read_head(text)


def test_a_head_survives_being_written_and_read(chain) -> None:
    assert read_head(json.dumps(chain.head.document())) == chain.head
