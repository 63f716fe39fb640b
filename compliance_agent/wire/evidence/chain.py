"""Verifying a chain: every way in which evidence can have been tampered with, found and named.

One pass over the lines, in order, in constant memory. What is found is a list, not the first thing,
so that an auditor sees how far the damage goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.evidence.drafts import EvidenceKind
from compliance_agent.domain.evidence.profile import ProfileError, read_canonical
from compliance_agent.wire.evidence.dsse import (
    PUBLIC_KEY_BYTES,
    EnvelopeError,
    key_id,
    read_envelope,
    verifies,
)
from compliance_agent.wire.evidence.entry import NO_HASH, PAYLOAD_TYPE, SCHEMA, line_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.evidence.dsse import (
        Envelope,
    )


class FindingKind(StrEnum):
    """What can be wrong with a chain."""

    ALTERED = "altered"
    """Not, or no longer, an entry: bytes changed."""
    BAD_SIGNATURE = "bad_signature"
    """The signature is not the named key's over these bytes."""
    FOREIGN_KEY = "foreign_key"
    """Signed by a key that is not the chain's at this place."""
    UNVOUCHED_KEY = "unvouched_key"
    """A key took over without the old one's signature, and is none of the trusted ones."""
    FOREIGN_CHAIN = "foreign_chain"
    """An entry of another chain."""
    MISSING = "missing"
    """Entries are left out."""
    OUT_OF_ORDER = "out_of_order"
    """An entry stands twice, or before one that it follows."""
    BROKEN_LINK = "broken_link"
    """It names another entry before it than the one that is there."""
    TAIL_MISSING = "tail_missing"
    """The chain is shorter than the recorded head says."""
    HEAD_DIFFERS = "head_differs"
    """The entry at the recorded head is another one."""
    FILE_ALTERED = "file_altered"
    """A file of the export is missing, altered, or not part of it."""
    MANIFEST = "manifest"
    """The export's signed list of files cannot be trusted, or does not fit the chain."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: What.
        message: One sentence for people.
        seq: The entry, where it is about one; 0 otherwise.

    """

    kind: FindingKind
    message: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain at one moment, as somebody else wrote it down: the witness against a cut tail."""

    chain: str
    seq: int
    sha256: str

    def document(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        return {"chain": self.chain, "seq": self.seq, "sha256": self.sha256}


def read_head(text: str) -> Head:
    """Read a head: ``{"chain": ..., "seq": ..., "sha256": ...}``, further keys left alone.

    Raises:
        ValueError: It is none.

    """
    try:
        value = json.loads(text)
        head = Head(str(value["chain"]), int(value["seq"]), str(value["sha256"]))
    except (ValueError, TypeError, KeyError) as error:
        message = 'a head is a JSON object like {"chain": "...", "seq": 7, "sha256": "..."}'
        raise ValueError(message) from error
    return head


@dataclass(slots=True)
class Verification:
    """What a pass over a chain found.

    Attributes:
        findings: What is wrong, in the order of the entries; empty when nothing is.
        notes: What a verifier cannot know, and what an auditor should.
        entries: How many lines there were.
        first_seq: Sequence number of the first; 0 without any.
        chain: The chain's id.
        head: The last entry that was read; ``None`` without any.
        keys: Ids of the keys that signed, in order.

    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    entries: int = 0
    first_seq: int = 0
    chain: str = ""
    head: Head | None = None
    keys: list[str] = field(default_factory=list)


class ChainVerifier:
    """Verifies lines one by one."""

    def __init__(
        self,
        trusted: Iterable[bytes] = (),
        *,
        head: Head | None = None,
        listen: Callable[[Mapping[str, JsonValue]], None] = lambda _payload: None,
    ) -> None:
        """Trust these raw public keys; without any, the key that the first entry names, and say so.

        Args:
            trusted: Raw public keys.
            head: The chain's end as somebody else recorded it.
            listen: Called with each payload that verified, in order.

        """
        self._trusted = {key_id(key): key for key in trusted}
        self._head = head
        self._listen = listen
        self._key: bytes | None = None
        self._next_seq = 0
        self._previous = ""
        self._latest_at = ""
        self._pruned: tuple[int, str] | None = None
        self._first_link = ""
        self.result = Verification()

    @property
    def key(self) -> bytes | None:
        """Return the raw key that signs at the place where the pass is now."""
        return self._key

    def feed(self, line: bytes) -> None:
        """Judge the next line (without its newline)."""
        self.result.entries += 1
        try:
            envelope = read_envelope(line)
            payload = _read_payload(envelope)
        except (EnvelopeError, ProfileError) as error:
            self._find(FindingKind.ALTERED, f"line {self.result.entries} is no entry as it was signed: {error}", 0)
            self._next_seq += 1  # the lines after it are still judged by their own place
            self._previous = line_hash(line)
            return
        self._judge(envelope, payload, line)

    def finish(self) -> Verification:
        """End the pass: only now is it known where the chain begins and ends."""
        result = self.result
        if result.first_seq > 1:
            self._judge_start()
        if self._head is None:
            result.notes.append(
                "no recorded head was given: entries cut off at the end of the chain cannot be told from "
                "entries that were never made"
            )
        else:
            self._judge_head(self._head)
        return result

    def _judge(self, envelope: Envelope, payload: Mapping[str, JsonValue], line: bytes) -> None:
        result, seq = self.result, int(str(payload["seq"]))
        if result.first_seq == 0:
            result.first_seq, result.chain = seq, str(payload["chain"])
            self._next_seq = seq
            self._first_link = str(payload["previous"])
            self._previous = self._previous or str(payload["previous"])
        if payload["chain"] != result.chain:  # it does not belong here, so it does not count for its neighbours
            self._find(FindingKind.FOREIGN_CHAIN, f"an entry of the chain {payload['chain']}", seq)
            return
        self._judge_place(payload, seq)
        if self._judge_signature(envelope, payload, seq):
            self._take(payload, seq)
        self._next_seq, self._previous = seq + 1, line_hash(line)
        if result.head is None or seq >= result.head.seq:
            result.head = Head(result.chain, seq, self._previous)
        witness = self._head if self._head is not None and self._head.chain == result.chain else None
        if witness is not None and seq == witness.seq and self._previous != witness.sha256:
            self._find(FindingKind.HEAD_DIFFERS, f"entry {seq} is not the one that was recorded", seq)

    def _judge_place(self, payload: Mapping[str, JsonValue], seq: int) -> None:
        expected = self._next_seq
        if seq > expected:
            self._find(FindingKind.MISSING, f"entries {expected} to {seq - 1} are not here", seq)
        elif seq < expected:
            self._find(FindingKind.OUT_OF_ORDER, f"entry {seq} stands where entry {expected} belongs", seq)
        elif payload["previous"] != self._previous:
            self._find(FindingKind.BROKEN_LINK, f"entry {seq} follows another entry than the one before it", seq)
        if seq == 1 and payload["previous"] != NO_HASH:
            self._find(FindingKind.BROKEN_LINK, "entry 1 follows an entry, though it is the first", seq)

    def _judge_signature(self, envelope: Envelope, payload: Mapping[str, JsonValue], seq: int) -> bool:
        if self._key is None:
            self._key = self._first_key(envelope, payload, seq)
        key = self._key
        if payload["kind"] == EvidenceKind.KEY_REPLACED.value:
            key = self._replacing_key(payload, seq)
        if key is None:
            return False
        if envelope.key_id != key_id(key):
            self._find(FindingKind.FOREIGN_KEY, f"entry {seq} is signed by the key {envelope.key_id[:16]}…", seq)
            return False
        if not verifies(envelope, key):
            self._find(FindingKind.BAD_SIGNATURE, f"the signature of entry {seq} is not over these bytes", seq)
            return False
        if envelope.key_id not in self.result.keys:
            self.result.keys.append(envelope.key_id)
        return True

    def _first_key(self, envelope: Envelope, payload: Mapping[str, JsonValue], seq: int) -> bytes | None:
        if self._trusted:
            found = self._trusted.get(envelope.key_id)
            if found is None:
                message = f"entry {seq} is signed by the key {envelope.key_id[:16]}…, which is none of the trusted ones"
                self._find(FindingKind.FOREIGN_KEY, message, seq)
            return found
        found = _key_of(payload, "key")
        if found is None:
            self._find(FindingKind.FOREIGN_KEY, f"entry {seq} names no key, and none was given", seq)
        else:
            self.result.notes.append(
                "no public key was given: the chain is judged by the key that it names itself, which proves that it "
                "is whole, not whose it is"
            )
        return found

    def _replacing_key(self, payload: Mapping[str, JsonValue], seq: int) -> bytes | None:
        """Return the new key of a replacement, which the lost one could not vouch for."""
        new = _key_of(payload, "new_key")
        # A key that signed here before is no newcomer: whoever stole it before it was rotated could come back with it.
        if new is None or key_id(new) not in self._trusted or key_id(new) in self.result.keys:
            message = (
                f"at entry {seq} a new key took over because the old one was lost; nothing proves that it is the "
                "same appliance's unless it is a key that is new in this chain and given as a trusted one too"
            )
            self._find(FindingKind.UNVOUCHED_KEY, message, seq)
        return new

    def _take(self, payload: Mapping[str, JsonValue], seq: int) -> None:
        """Go by what a verified entry says."""
        kind, body = payload["kind"], payload["body"]
        if kind in {EvidenceKind.KEY_ROTATED.value, EvidenceKind.KEY_REPLACED.value}:
            self._key = _key_of(payload, "new_key") or self._key
        if kind == EvidenceKind.SEGMENTS_PRUNED.value and isinstance(body, Mapping):
            self._pruned = (int(str(body["last_seq"])), str(body["last_sha256"]))
        if kind == EvidenceKind.REFUSED.value:
            self.result.notes.append(f"entry {seq} stands for one that could not be made safe to sign")
        if kind == EvidenceKind.STATE_RESTORED.value:
            self.result.notes.append(
                f"entry {seq} says that the state file was lost or damaged and replaced by its snapshot: entries made "
                "between the two are gone, and a head recorded then will not be found"
            )
        at = str(payload["at"])
        if _is_long_before(at, self._latest_at):
            self.result.notes.append(f"entry {seq} is dated {at}, before an earlier one: the clock was set back")
        self._latest_at = max(self._latest_at, at)
        self._listen(payload)

    def _judge_start(self) -> None:
        """Judge a chain that does not begin with its first entry: pruned by its own word, or cut."""
        first = self.result.first_seq
        if self._pruned == (first - 1, self._first_link):
            self.result.notes.append(
                f"entries 1 to {first - 1} were removed at the end of their retention time, as a later entry says"
            )
        else:
            self._find(FindingKind.MISSING, f"entries 1 to {first - 1} are not here", 0)

    def _judge_head(self, head: Head) -> None:
        result, seen = self.result, self.result.head
        if seen is None or seen.chain != head.chain:
            self._find(FindingKind.FOREIGN_CHAIN, f"the recorded head is of the chain {head.chain}", 0)
        elif seen.seq < head.seq:
            message = f"the chain ends at entry {seen.seq}, but entry {head.seq} was recorded: its tail is missing"
            self._find(FindingKind.TAIL_MISSING, message, 0)
        elif seen.seq > head.seq:
            result.notes.append(f"the recorded head is entry {head.seq}; the entries after it have no witness")

    def _find(self, kind: FindingKind, message: str, seq: int) -> None:
        self.result.findings.append(Finding(kind, message, seq))


CLOCK_SLACK: Final = timedelta(hours=1)
"""Turns of several machines overlap, so entries may be dated a little before the ones that they follow."""


def _is_long_before(at: str, latest: str) -> bool:
    try:
        return bool(latest) and datetime.fromisoformat(latest) - datetime.fromisoformat(at) > CLOCK_SLACK
    except (ValueError, TypeError):
        return False


_FIELDS: Final = ("chain", "seq", "segment", "previous", "kind", "at", "site_id", "actor", "agent", "body")


def read_payload(line: bytes) -> Mapping[str, JsonValue]:
    """Return what an entry tells, without verifying it.

    Raises:
        EnvelopeError: It is no envelope of ours.
        ProfileError: Its payload is not as the profile says.

    """
    return _read_payload(read_envelope(line))


def _read_payload(envelope: Envelope) -> Mapping[str, JsonValue]:
    if envelope.payload_type != PAYLOAD_TYPE:
        raise EnvelopeError(f"a payload of the type {envelope.payload_type[:80]!r}")
    payload = read_canonical(envelope.payload)
    if not isinstance(payload, Mapping) or payload.get("schema") != SCHEMA:
        raise EnvelopeError(f"the payload is not {SCHEMA}")
    absent = [name for name in _FIELDS if name not in payload]
    if absent or not isinstance(payload["seq"], int) or isinstance(payload["seq"], bool):
        raise EnvelopeError(f"the payload lacks {', '.join(absent) or 'a number'}")
    return payload


def _key_of(payload: Mapping[str, JsonValue], name: str) -> bytes | None:
    body = payload["body"]
    document = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(document, Mapping):
        return None
    try:
        key = bytes.fromhex(str(document.get("public_key")))
    except ValueError:
        return None
    return key if len(key) == PUBLIC_KEY_BYTES else None
