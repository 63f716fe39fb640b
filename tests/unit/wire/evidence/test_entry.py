"""Entries and envelopes: scrubbed before they are signed, exact, bounded, and refused rather than signed unsafe."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from compliance_agent.domain.evidence.drafts import EvidenceDraft, EvidenceKind
from compliance_agent.domain.scrub import ScrubError
from compliance_agent.testing import NOON
from compliance_agent.wire.evidence.chain import read_payload
from compliance_agent.wire.evidence.dsse import (
    EnvelopeError,
    key_id,
    pae,
    public_key_pem,
    read_envelope,
    read_public_key,
    sign,
    verifies,
)
from compliance_agent.wire.evidence.entry import NO_HASH, PAYLOAD_MAX_BYTES, PAYLOAD_TYPE, Position, seal
from tests.support.evidence import CHAIN, VERSION, a_heal, a_key, an_action
from tests.support.state import SITE

FIRST = Position(CHAIN, 1, 1, NO_HASH)


def a_draft(body) -> EvidenceDraft:
    return EvidenceDraft(EvidenceKind.ACTION, NOON, SITE, body)


def sealed(draft):
    return seal(draft, FIRST, a_key(), agent_version=VERSION)


def payload_of(line: bytes) -> Any:
    return read_payload(line)


def body_of(draft) -> Any:
    return payload_of(sealed(draft).line)["body"]


def test_the_encoding_that_is_signed_is_the_one_of_the_dsse_specification() -> None:
    # The example of protocol.md of github.com/secure-systems-lab/dsse, v1.0.2.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_count_bytes_and_not_characters() -> None:
    assert pae("tä", b"\xff\x00") == b"DSSEv1 3 t\xc3\xa4 2 \xff\x00"


def test_an_envelope_verifies_by_cryptography_alone() -> None:
    envelope = json.loads(sealed(an_action()).line)
    payload = base64.b64decode(envelope["payload"])
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    key = Ed25519PublicKey.from_public_bytes(a_key().public_key)
    key.verify(signature, b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload))
    with pytest.raises(InvalidSignature):
        key.verify(signature, payload)


def test_the_payload_says_who_what_when_and_where_in_the_chain() -> None:
    payload = payload_of(sealed(an_action()).line)
    assert {key: payload[key] for key in payload if key != "body"} == {
        "schema": "evidence/v1",
        "chain": CHAIN,
        "seq": 1,
        "segment": 1,
        "previous": NO_HASH,
        "kind": "action",
        "at": "2026-01-15T12:00:00.000000Z",
        "site_id": SITE,
        "actor": {"kind": "person", "name": "kim"},
        "agent": {"name": "compliance-agent", "version": VERSION},
    }


def test_secrets_and_personal_data_are_gone_before_it_is_signed() -> None:
    line = sealed(a_heal(output="login ok password=hunter2x\npatient: Jane Doe\nssn 123-45-6789 port=22")).line
    text = base64.b64decode(json.loads(line)["payload"]).decode()
    assert "port=22" in text
    for secret in ("hunter2x", "Jane", "Doe", "123-45-6789"):
        assert secret not in text


def test_the_reason_of_a_person_is_scrubbed_and_so_is_the_name() -> None:
    payload = payload_of(sealed(an_action(reason="as MRN: 00123456 asked", actor="jane.doe@example.org")).line)
    assert payload["body"]["reason"] == "as MRN: [removed] asked"
    assert payload["actor"] == {"kind": "person", "name": "[removed]"}


def test_addresses_ports_offsets_versions_and_digests_reach_the_evidence() -> None:
    facts = {"text": "10.0.0.242:22 offset +0.000001234 OpenSSH_9.2p1 " + "ab" * 32, "port": 22}
    assert body_of(a_draft(facts)) == facts


def test_decimals_and_long_integers_are_signed_as_text() -> None:
    assert body_of(a_draft({"a": Decimal("0.10"), "b": 2**53, "c": -(2**53) + 1, "d": [Decimal("1E+3")]})) == {
        "a": "0.10",
        "b": "9007199254740992",
        "c": -9007199254740991,
        "d": ["1E+3"],
    }


def test_a_binary_float_is_never_signed() -> None:
    one = sealed(a_draft({"offset": 0.1}))
    assert one.draft.kind is EvidenceKind.REFUSED
    assert "float" in one.trouble


def test_when_the_scrubber_fails_the_text_is_not_signed_and_the_hole_is(monkeypatch) -> None:
    def fails(*_arguments: object, **_more: object) -> None:
        raise ScrubError("not sure")

    monkeypatch.setattr("compliance_agent.wire.evidence.entry.scrub_document", fails)
    with pytest.raises(ScrubError):  # not even the stand-in can be written without a scrubber
        sealed(an_action())


def test_a_text_of_which_the_scrubber_is_not_sure_leaves_a_hole_that_is_signed(monkeypatch) -> None:
    once = "compliance_agent.domain.scrub._scrub_once"
    monkeypatch.setattr(once, lambda text: text + "!" if "strange" in text else text)
    one = sealed(an_action(reason="something strange"))
    payload = payload_of(one.line)
    assert (payload["kind"], one.trouble.partition(":")[0]) == ("refused", "ScrubError")
    assert payload["body"] == {
        "kind": "action",
        "target_id": "srv01",
        "check_id": "LIN-SSH-001",
        "reason": "it could not be made safe to sign",
    }
    assert payload["actor"] == {"kind": "person", "name": "kim"}


def test_a_flood_is_cut_until_it_fits() -> None:
    body = {f"fact_{number}": ["word " * 100] * 100 for number in range(20)}
    line = sealed(a_draft(body)).line
    payload = payload_of(line)
    assert payload["kind"] == "action"
    assert len(read_envelope(line).payload) <= PAYLOAD_MAX_BYTES
    assert payload["body"]["fact_0"][-1] == "[90 more]"
    assert payload["body"]["fact_0"][0].endswith(" [cut]")


def test_what_cannot_be_cut_to_size_is_refused() -> None:
    one = sealed(a_draft({f"fact_{number}": "x" for number in range(10_000)}))
    assert (one.draft.kind, "65536" in one.trouble) == (EvidenceKind.REFUSED, True)


def test_every_other_way_of_writing_an_envelope_is_refused() -> None:
    line = sealed(an_action()).line
    for other in (
        line + b"\n",
        b" " + line,
        line.replace(b'","payloadType"', b'", "payloadType"'),
        json.dumps(json.loads(line), indent=1).encode(),
        line.replace(b'"signatures":[', b'"signatures":[{"keyid":"","sig":""},'),
        line[:-1] + b',"more":1}',
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"payload":1,"payloadType":"","signatures":[{}]}',
    ):
        assert other != line
        with pytest.raises(EnvelopeError):
            read_envelope(other)


def test_a_key_survives_pem_and_other_keys_are_refused() -> None:
    key = a_key().public_key
    assert read_public_key(public_key_pem(key)) == key
    for bad in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", a_key().pem()):
        with pytest.raises(EnvelopeError):
            read_public_key(bad)


def test_a_signature_of_another_type_or_key_does_not_verify() -> None:
    envelope = read_envelope(sign(b"{}", "one/type", a_key()))
    assert verifies(envelope, a_key().public_key)
    assert not verifies(envelope, a_key(2).public_key)
    assert envelope.key_id == key_id(a_key().public_key)
