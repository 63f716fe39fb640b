"""Evidence is appended to its chain byte for byte; a gap, a fork and tampering are refused and raise an alarm."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from central_command.store.access import enrol, issue_enrolment_token
from central_command.store.evidence import Fate, Reception, receive
from compliance_agent.domain.evidence.profile import canonical_bytes, read_canonical
from compliance_agent.wire.evidence.dsse import read_envelope, sign
from compliance_agent.wire.evidence.entry import PAYLOAD_TYPE
from tests.support.central import NOW, add_site, as_agent, uuid7
from tests.support.evidence import CHAIN, Chain, a_key, a_scan, an_action
from tests.support.state import SITE

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

_numbers = itertools.count()


@pytest.fixture
def chain() -> Chain:
    chain = Chain()
    for draft in (a_scan(), an_action(), a_scan()):
        chain.add(draft)
    return chain


@pytest.fixture
def send(owner: psycopg.Connection) -> Callable[[bytes], Reception]:
    add_site(owner, SITE, "box")
    owner.execute("UPDATE appliances SET public_key = %s WHERE site_id = %s", (a_key().public_key, SITE))

    def one(line: bytes) -> Reception:
        with as_agent(owner, SITE):
            return receive(
                owner, site_id=SITE, appliance_id="box", entry_id=uuid7(NOW, next(_numbers)), line=line, now=NOW
            )

    return one


def _alarm(owner: psycopg.Connection) -> str | None:
    row = owner.execute("SELECT alarm FROM evidence_chains").fetchone()
    return row[0] if row else None


def test_a_chain_is_kept_byte_for_byte_and_its_head_is_known(send, chain, owner) -> None:
    assert [send(line).fate for line in chain.lines] == [Fate.STORED] * len(chain.lines)
    kept = owner.execute("SELECT envelope FROM evidence_bundles ORDER BY seq").fetchall()
    assert [row[0] for row in kept] == chain.lines
    head = owner.execute("SELECT chain_id, seq, sha256, alarm FROM evidence_chains").fetchone()
    assert head == (CHAIN, len(chain.lines), chain.head.sha256, None)


def test_what_is_sent_again_is_had(send, chain, owner) -> None:
    send(chain.lines[0])
    assert send(chain.lines[0]) == Reception(Fate.HAD)
    assert _alarm(owner) is None


def test_a_gap_waits_for_what_is_missing_and_raises_an_alarm(send, chain, owner) -> None:
    send(chain.lines[0])
    assert send(chain.lines[2]) == Reception(Fate.EARLY, "a gap: entries 2 to 2 of the chain have not arrived")
    assert _alarm(owner) == "a gap: entries 2 to 2 of the chain have not arrived"
    assert [send(line).fate for line in chain.lines[1:3]] == [Fate.STORED, Fate.STORED]
    assert _alarm(owner) is not None  # a person ends it, nothing else


def test_a_second_entry_of_a_number_is_a_fork(send, chain, owner) -> None:
    other = Chain()
    other.add(a_scan(target_id="another"))
    send(chain.lines[0])
    send(chain.lines[1])
    reception = send(other.lines[1])
    assert (reception.fate, reception.reason.startswith("a fork: entry 2")) == (Fate.REFUSED, True)
    assert _alarm(owner) == reception.reason


def test_an_entry_that_follows_another_than_the_one_here_is_a_fork(send, chain, owner) -> None:
    other = Chain()
    for draft in (a_scan(target_id="another"), an_action(), a_scan()):
        other.add(draft)
    for line in chain.lines[:2]:
        send(line)
    assert send(other.lines[2]).reason.startswith("a fork: entry 3 follows another entry")


def test_an_altered_byte_is_refused_wherever_it_is(send, chain, owner) -> None:
    send(chain.lines[0])
    line = chain.lines[1]
    for position in range(0, len(line), 7):
        altered = line[:position] + bytes([line[position] ^ 1]) + line[position + 1 :]
        assert send(altered).fate is not Fate.STORED
    assert owner.execute("SELECT count(*) FROM evidence_bundles").fetchone() == (1,)
    assert send(line).fate is Fate.STORED


def test_another_appliances_key_signs_nothing_here(send, owner) -> None:
    other = Chain(a_key(2))
    reception = send(other.lines[0])
    assert (reception.fate, reception.reason) == (Fate.REFUSED, "entry 1 is signed by another key than the chain's")


def test_a_rotated_key_goes_on(send, chain, owner) -> None:
    chain.rotate(a_key(2))
    chain.add(a_scan())
    assert {send(line).fate for line in chain.lines} == {Fate.STORED}
    assert owner.execute("SELECT public_key FROM evidence_chains").fetchone() == (a_key(2).public_key,)


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b"\xff", b'{"payload":"","payloadType":"x","signatures":[]}'])
def test_what_is_no_entry_is_refused(send, line) -> None:
    assert send(line).reason.startswith("no entry of a chain")


def test_an_entry_of_another_site_is_refused(owner, chain) -> None:
    add_site(owner, "other-site", "box")
    with as_agent(owner, "other-site"):
        reception = receive(
            owner,
            site_id="other-site",
            appliance_id="box",
            entry_id=uuid7(NOW, next(_numbers)),
            line=chain.lines[0],
            now=NOW,
        )
    assert (reception.fate, reception.reason) == (Fate.REFUSED, f"an entry of the site {SITE}")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"chain": 5}, id="a chain that is a number"),
        pytest.param({"chain": "x"}, id="a chain that is no UUID"),
        pytest.param({"seq": True}, id="a truth for a number"),
        pytest.param({"seq": 0}, id="zero"),
        pytest.param({"at": "infinity"}, id="a time that never comes"),
        pytest.param({"at": "0001-01-01T00:00:00Z"}, id="a time that cannot be read back"),
        pytest.param({"at": "2026-01-01T00:00:00"}, id="a time without a zone"),
        pytest.param({"at": 7}, id="a time that is a number"),
        pytest.param({"kind": ["x"]}, id="a kind that is a list"),
        pytest.param({"kind": "key_rotated", "body": {}}, id="a rotation to no key"),
        pytest.param({"kind": "key_rotated", "body": {"new_key": {"public_key": "zz"}}}, id="a rotation to nonsense"),
        pytest.param({"kind": "key_rotated", "body": {"new_key": {"public_key": "ab"}}}, id="a rotation to a stub"),
    ],
)
def test_an_entry_that_is_signed_and_nonsense_is_refused_and_never_an_error(send, owner, change) -> None:
    chain = Chain()
    payload = read_canonical(read_envelope(chain.lines[0]).payload)
    assert isinstance(payload, dict)
    line = sign(canonical_bytes({**payload, **change}), PAYLOAD_TYPE, a_key())
    assert send(line).reason.startswith("no entry of a chain")
    assert owner.execute("SELECT count(*) FROM evidence_bundles").fetchone() == (0,)


@pytest.mark.parametrize(("seed", "alarmed"), [(1, False), (2, True)], ids=["the same key", "another key"])
def test_an_appliance_that_enrols_anew_with_another_key_raises_an_alarm_and_its_chain_keeps_its_key(
    send, chain, owner, seed, alarmed
) -> None:
    assert send(chain.lines[0]).fate is Fate.STORED
    token = issue_enrolment_token(owner, site_id=SITE, created_by="kim", now=NOW, valid_for=timedelta(hours=1))
    key, number = a_key(seed).public_key, uuid7(NOW, 10**9)
    enrol(owner, token, appliance_id="box", public_key=key, credential_id=number, now=NOW)
    assert (_alarm(owner) == "the appliance enrolled anew with another key after entry 1") is alarmed
    assert owner.execute("SELECT what, subject, details ->> 'public_key' FROM audit_log").fetchall() == [
        ("appliance_enrolled", "box", key.hex())
    ]
    assert send(chain.lines[1]).fate is Fate.STORED  # signed by the chain's own key, which nobody took from it
