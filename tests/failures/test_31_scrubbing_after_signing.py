"""Failure 31: scrubbing after signing broke signatures; a telephone pattern took clock offsets out: 99 rejections."""

from __future__ import annotations

import base64
import json

from compliance_agent.domain.evidence.drafts import EvidenceDraft, EvidenceKind
from compliance_agent.domain.scrub import scrub
from tests.support.evidence import Chain, a_key, verify
from tests.support.state import SITE, at

OFFSETS = "offset=-0.000012345 jitter=0.001234567 frequency=+12.345678901 reach=377 root=1234567890.123456"


def test_what_is_signed_was_scrubbed_before_and_no_later_scrubbing_would_change_it() -> None:
    said = f"{OFFSETS} password=hunter2x call 212-555-0100"
    chain = Chain().add(EvidenceDraft(EvidenceKind.ACTION, at(0), SITE, {"output": said}))
    payload = base64.b64decode(json.loads(chain.lines[-1])["payload"]).decode()
    assert "hunter2x" not in payload
    assert "555-0100" not in payload
    assert scrub(payload) == payload
    assert verify(chain.lines, a_key(), head=chain.head).findings == []


def test_clock_offsets_reach_the_evidence_untouched() -> None:
    chain = Chain().add(EvidenceDraft(EvidenceKind.ACTION, at(0), SITE, {"output": OFFSETS}))
    assert OFFSETS in base64.b64decode(json.loads(chain.lines[-1])["payload"]).decode()
