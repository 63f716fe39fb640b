"""Exports of evidence: a folder or a zip file that verifies offline. ``evidence_check`` reads one.

    manifest.dsse.json        every other file with its SHA-256, and the chain's end; signed
    chain/000001.ndjson       one signed entry a line; a file for each segment
    report.html  evidence.csv  assessment-results.json
    public-key.pem            the key of the chain's first entry here
    head.json                 the chain's end, for whoever keeps it as a witness
    verify.py  README.txt

An export appears whole, under its name, or not at all.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, Protocol

from compliance_agent.adapters.input_files import within_package
from compliance_agent.domain.evidence.assessment import Assessor
from compliance_agent.domain.evidence.drafts import time_text
from compliance_agent.domain.evidence.profile import ProfileError, canonical_bytes
from compliance_agent.errors import ComplianceAgentError
from compliance_agent.wire.evidence.chain import ChainVerifier, read_payload
from compliance_agent.wire.evidence.dsse import EnvelopeError, public_key_pem, sign
from compliance_agent.wire.evidence.oscal import assessment_results
from compliance_agent.wire.evidence.page import PageInput, write_page
from compliance_agent.wire.evidence.table import TableWriter
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from compliance_agent.adapters.store.evidence_reads import EvidenceReader
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.evidence.chain import Head, Verification
    from compliance_agent.wire.evidence.dsse import Signer

MANIFEST: Final = "manifest.dsse.json"
MANIFEST_TYPE: Final = "application/vnd.compliance-agent.evidence-manifest.v1+json"
CHAIN_FOLDER: Final = "chain/"
VERIFIER: Final = "verify.py"
CHUNK: Final = 1 << 20
_README: Final = """\
Evidence of the site {site}: {entries} signed entries, exported {made_at}.

report.html               for reading: what is not shown first, then each HIPAA citation
evidence.csv              the same as a table, one row for each check of each entry
assessment-results.json   the same as OSCAL assessment-results (NIST, {oscal})
chain/                    the proof: one signed entry a line
public-key.pem, head.json the key and the end of the chain, as this export has them

To verify: python3 verify.py . KEY.pem HEAD.json
KEY.pem is the site's public key and HEAD.json the end of the chain, each as somebody else than the giver of this export
recorded them. With the copies in here the export proves that it is whole, not whose it is.
The format is specified in docs/reference/evidence.md of compliance-agent {version}.
"""


class ExportError(ComplianceAgentError):
    """An export cannot be made or read."""


class _Sink(Protocol):
    def add(self, name: str, chunks: Iterable[bytes]) -> None: ...


class _Hashed:
    """Adds files to a sink and remembers their hashes."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self.hashes: dict[str, str] = {}

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        digest = hashlib.sha256()

        def watched() -> Iterator[bytes]:
            for chunk in chunks:
                digest.update(chunk)
                yield chunk

        self._sink.add(name, watched())
        self.hashes[name] = digest.hexdigest()


def write_export(
    evidence: EvidenceReader,
    path: Path,
    signer: Signer,
    *,
    now: datetime,
    agent_version: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Verification:
    """Write all evidence to a folder, or to a zip file where the name ends in ``.zip``.

    Args:
        evidence: The chain.
        path: Where; it must not exist.
        signer: The chain's key now; signs the list of files.
        now: When, UTC.
        agent_version: The running program's.
        since: Begin of the period that the reports are about; the chain is always exported whole.
        until: Its end (not included).

    Returns:
        What verifying the chain on the way found.

    Raises:
        ExportError: There is no evidence, the path exists, or it cannot be written.

    """
    status = evidence.status()
    if status.head is None:
        raise ExportError("there is no evidence yet", hint="run apply or run once")
    assessor = Assessor(since=time_text(since) if since else "", until=time_text(until) if until else "")
    with _new(path) as raw, tempfile.TemporaryFile("w+b") as table:
        sink = _Hashed(raw)
        verification, first_key = _write_chain(evidence, sink, assessor, table, status.head, signer)
        given = PageInput(assessor.finish(), verification, status.key_id, time_text(now), agent_version)
        oscal = assessment_results(given.assessment, status.head, agent_version=agent_version)
        readme = _README.format(
            site=status.site_id,
            entries=f"{verification.entries:,}",
            made_at=time_text(now),
            version=agent_version,
            oscal="1.2.3",
        )
        table.seek(0)
        sink.add("evidence.csv", iter(lambda: table.read(CHUNK), b""))
        sink.add("report.html", [write_page(given).encode()])
        sink.add("assessment-results.json", [write_json(oscal).encode()])
        sink.add("public-key.pem", [public_key_pem(first_key)])
        sink.add("head.json", [canonical_bytes(status.head.document())])
        sink.add(VERIFIER, [verifier_path().read_bytes()])
        sink.add("README.txt", [readme.encode()])
        manifest: dict[str, JsonValue] = {
            "schema": "evidence-manifest/v1",
            "site_id": status.site_id,
            "made_at": time_text(now),
            "agent_version": agent_version,
            "since": time_text(since) if since else None,
            "until": time_text(until) if until else None,
            "head": status.head.document(),
            "files": dict(sink.hashes),
        }
        raw.add(MANIFEST, [sign(canonical_bytes(manifest), MANIFEST_TYPE, signer)])
    return verification


def _write_chain(
    evidence: EvidenceReader, sink: _Hashed, assessor: Assessor, table: IO[bytes], head: Head, signer: Signer
) -> tuple[Verification, bytes]:
    """Write the segments, verifying and folding them on the way; return the verification and the first key."""
    text = io.TextIOWrapper(
        table,
        encoding="utf-8",
        newline="",
        write_through=True,
    )
    rows = TableWriter(text)

    def listen(payload: Mapping[str, JsonValue]) -> None:
        assessor.take(payload)
        rows.take(payload)

    first_line = next(evidence.rows(), None)
    first_key = _key_in(first_line.line if first_line else b"") or signer.public_key
    verifier = ChainVerifier([first_key, signer.public_key], head=head, listen=listen)
    for segment in evidence.segments():
        if segment.pruned_at is None:
            lines = evidence.rows(first_seq=segment.first_seq, last_seq=min(segment.last_seq, head.seq))
            sink.add(f"{CHAIN_FOLDER}{segment.segment:06}.ndjson", _fed(verifier, (row.line for row in lines)))
    text.flush()
    text.detach()
    return verifier.finish(), first_key


def _fed(verifier: ChainVerifier, lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        verifier.feed(line)
        yield line + b"\n"


def _key_in(line: bytes) -> bytes | None:
    """Return the key that a chain's or segment's first entry names."""
    try:
        body = read_payload(line)["body"]
        return bytes.fromhex(str(body["key"]["public_key"]))  # type: ignore[index,call-overload] # caught below
    except (EnvelopeError, ProfileError, KeyError, TypeError, ValueError):
        return None


def verifier_path() -> Path:
    """Return the independent verifier: installed, or beside the package in the source tree.

    Raises:
        ExportError: Neither is there.

    """
    installed = within_package("_evidence_verify.py")
    beside = within_package("").parent / "docs" / "reference" / "evidence_verify.py"
    for path in (installed, beside):
        if path.is_file():
            return path
    raise ExportError(f"{installed} is missing", hint="install the package again")


# writing ------------------------------------------------------------------------------------------


class _FolderSink:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        path = self._folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


class _ZipSink:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        with self._archive.open(name, "w", force_zip64=True) as file:
            for chunk in chunks:
                file.write(chunk)


@contextmanager
def _new(path: Path) -> Iterator[_Sink]:
    """Make a folder or a zip file that gets its name when it is whole."""
    draft = path.with_name(f".{path.name}.part")
    try:
        refuse_existing(path)
        _remove(draft)
        if path.suffix == ".zip":
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                    yield _ZipSink(archive)
                file.flush()
                os.fsync(file.fileno())
        else:
            draft.mkdir(mode=0o700)
            yield _FolderSink(draft)
        draft.rename(path)
    except OSError as error:
        _remove(draft)
        raise ExportError(f"{path} cannot be written: {error.strerror or error}", hint="name another place") from error
    except BaseException:
        _remove(draft)
        raise


def refuse_existing(path: Path) -> None:
    """Refuse a place where something is.

    Raises:
        ExportError: Something is there.

    """
    if path.exists() or path.is_symlink():
        raise ExportError(f"{path} exists already", hint="name another place; an export never replaces one")


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)
