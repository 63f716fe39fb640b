"""Chains of evidence for tests: keys from seeds, drafts, and a chain built without a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from compliance_agent.adapters.evidence_key import EvidenceKey
from compliance_agent.adapters.store.evidence import Recorder
from compliance_agent.domain.evidence.drafts import (
    ActionKind,
    EvidenceDraft,
    EvidenceKind,
    Place,
    Story,
    action_draft,
    incident_draft,
    scan_draft,
)
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind, StepRecord
from compliance_agent.domain.target import Target
from compliance_agent.testing import NOON
from compliance_agent.wire.evidence.chain import ChainVerifier, Head
from compliance_agent.wire.evidence.entry import (
    NO_HASH,
    Position,
    chain_start_draft,
    key_document,
    seal,
)
from tests.support.state import CHECK, SITE, TARGET, an_attempt, an_end, an_observation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.evidence.chain import Verification
    from compliance_agent.wire.evidence.entry import (
        Sealed,
    )

CHAIN = "0190a6b5-7c1e-7abc-8def-0123456789ab"
VERSION = "0.1.0"


def a_key(seed: int = 1) -> EvidenceKey:
    return EvidenceKey(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


class Ring:
    """Keys in memory, as ``adapters.store.evidence.Keys``."""

    def __init__(self, *keys: EvidenceKey) -> None:
        self.keys = list(keys or [a_key()])

    def first(self) -> EvidenceKey:
        return self.keys[0]

    def of(self, wanted: str) -> EvidenceKey:
        return next(key for key in self.keys if key.key_id == wanted)


@dataclass
class Refusals:
    """Keeps what was refused."""

    sealed: list[Sealed] = field(default_factory=list)


def a_recorder(*keys: EvidenceKey, refusals: Refusals | None = None) -> Recorder:
    kept = refusals or Refusals()
    return Recorder(Ring(*keys), VERSION, lambda: CHAIN, kept.sealed.append)


def an_action(at: datetime = NOON, **changes: object) -> EvidenceDraft:
    values: dict[str, object] = {"actor": "kim", "reason": "the printer is to stay on", **changes}
    place = Place(SITE, TARGET, CHECK)
    return action_draft(ActionKind.WAIVED, place, at=at, until=at + timedelta(days=30), **values)  # type: ignore[arg-type]


def a_scan(at: datetime = NOON, verdict: Verdict = Verdict.PASS, target_id: str = TARGET) -> EvidenceDraft:
    target = Target(target_id, SITE)
    return scan_draft(target, [an_observation(verdict, at, target_id=target_id)], {}, at=at)


def a_heal(at: datetime = NOON, kind: OutcomeKind = OutcomeKind.REMEDIATED, output: str = "restarted") -> EvidenceDraft:
    from dataclasses import replace

    attempt = an_attempt(when=at)
    outcome = replace(an_end(attempt, kind, at), steps=(StepRecord(f"{CHECK}/0", 0, output, ""),))
    story = Story(outcome, None, None, attempt, an_observation(Verdict.FAIL, at), (an_observation(Verdict.PASS, at),))
    return incident_draft(story, site_id=SITE)


class Chain:
    """A chain in memory: its lines in order, as an export would hold them."""

    def __init__(self, key: EvidenceKey | None = None, chain: str = CHAIN) -> None:
        self.key = key or a_key()
        self.first_key = self.key
        self.chain = chain
        self.sealed: list[Sealed] = []
        self.add(chain_start_draft(self.key.public_key, at=NOON, site_id=SITE))

    def add(self, *drafts: EvidenceDraft) -> Chain:
        for draft in drafts:
            last = self.sealed[-1].sha256 if self.sealed else NO_HASH
            position = Position(self.chain, len(self.sealed) + 1, 1, last)
            self.sealed.append(seal(draft, position, self.key, agent_version=VERSION))
        return self

    def rotate(self, new: EvidenceKey, *, lost: bool = False) -> Chain:
        kind = EvidenceKind.KEY_REPLACED if lost else EvidenceKind.KEY_ROTATED
        body: dict[str, JsonValue] = {
            "reason": "yearly",
            "old_key_id": self.key.key_id,
            "new_key": key_document(new.public_key),
        }
        if lost:
            self.key = new
        self.add(EvidenceDraft(kind, NOON, SITE, body))
        self.key = new
        return self

    @property
    def lines(self) -> list[bytes]:
        return [one.line for one in self.sealed]

    @property
    def head(self) -> Head:
        return Head(self.chain, len(self.sealed), self.sealed[-1].sha256)


def verify(lines: Iterable[bytes], *keys: EvidenceKey, head: Head | None = None) -> Verification:
    verifier = ChainVerifier([key.public_key for key in keys], head=head)
    for line in lines:
        verifier.feed(line)
    return verifier.finish()


def kinds(verification: Verification) -> set[str]:
    return {finding.kind.value for finding in verification.findings}
