"""Verifying an export of evidence offline. ``docs/reference/evidence_verify.py`` does it without the agent."""

from __future__ import annotations

import hashlib
import lzma
import struct
import zipfile
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, Protocol

from compliance_agent.adapters.evidence_export import CHAIN_FOLDER, CHUNK, MANIFEST, MANIFEST_TYPE, ExportError
from compliance_agent.domain.evidence.profile import ProfileError, read_canonical
from compliance_agent.wire.evidence.chain import ChainVerifier, Finding, FindingKind
from compliance_agent.wire.evidence.dsse import EnvelopeError, read_envelope, verifies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from compliance_agent.wire.evidence.chain import Head, Verification
    from compliance_agent.wire.evidence.dsse import Envelope


_UNREADABLE: Final = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
"""How ``zipfile`` tells that a file is broken, or encrypted."""

LINE_MAX_BYTES: Final = 1 << 20
"""Longest line that is read as an entry; the largest that the agent writes has some 88,000 bytes."""

MANIFEST_MAX_BYTES: Final = 1 << 24


class Source(Protocol):
    """Where the files of an export are."""

    def names(self) -> list[str]:
        """Return the files' names, sorted."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield one file, piece by piece."""
        ...


class _FolderSource:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        paths = (path for path in self._folder.rglob("*") if path.is_symlink() or not path.is_dir())
        return sorted(path.relative_to(self._folder).as_posix() for path in paths)

    def chunks(self, name: str) -> Iterator[bytes]:
        path = self._folder / name
        if path.is_symlink() or not path.is_file():  # a pipe would never end, and a link may lead elsewhere tomorrow
            raise _odd(f"{name} is no plain file")
        with path.open("rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")


class _ZipSource:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def names(self) -> list[str]:
        names = sorted(one.orig_filename for one in self._archive.infolist() if not one.orig_filename.endswith("/"))
        # Programs differ in which one they show where a name stands twice: one is read here, another by the auditor.
        if len({name.replace("\\", "/") for name in names}) < len(names):
            raise _odd("a name stands twice in the zip file")
        return names

    def chunks(self, name: str) -> Iterator[bytes]:
        with self._archive.open(name) as file:
            yield from iter(lambda: file.read(CHUNK), b"")


def _odd(message: str) -> ExportError:
    return ExportError(message, hint="an export holds plain files, each name once; ask for an untouched copy")


class MemorySource:
    """An export in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Hold name -> bytes."""
        self._files = files

    def names(self) -> list[str]:
        """Return the files' names, sorted."""
        return sorted(self._files)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield one file."""
        yield self._files[name]


def verify_export(path: Path, trusted: Sequence[bytes], head: Head | None) -> Verification:
    """Verify an export, offline.

    Args:
        path: A folder or a zip file.
        trusted: Raw public keys; without any the chain is judged by the key that it names itself.
        head: The chain's end as somebody else recorded it.

    Raises:
        ExportError: It cannot be read at all.

    """
    try:
        if path.is_dir():
            return verify_source(_FolderSource(path), trusted, head)
        with closing(zipfile.ZipFile(path)) as archive:
            return verify_source(_ZipSource(archive), trusted, head)
    except _UNREADABLE as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ExportError(
            f"{path} cannot be read: {reason}", hint="name a folder or a zip file of an export"
        ) from error


def verify_source(source: Source, trusted: Sequence[bytes], head: Head | None) -> Verification:
    """Verify an export, wherever it is."""
    names = source.names()
    chain = [name for name in names if name.startswith(CHAIN_FOLDER)]
    verifier = ChainVerifier(trusted, head=head)
    hashes = {name: _hash(source, name, verifier if name in chain else None) for name in names if name != MANIFEST}
    result = verifier.finish()
    manifest = _bounded(source, MANIFEST) if MANIFEST in names else b""
    result.findings += _manifest_findings(manifest, hashes, result, verifier.key)
    return result


def _bounded(source: Source, name: str) -> bytes:
    data = b""
    for chunk in source.chunks(name):
        data += chunk
        if len(data) > MANIFEST_MAX_BYTES:
            raise _odd(f"{name} has more than {MANIFEST_MAX_BYTES} bytes")
    return data


def _hash(source: Source, name: str, verifier: ChainVerifier | None) -> str:
    digest, rest = hashlib.sha256(), b""
    for chunk in source.chunks(name):
        digest.update(chunk)
        if verifier is not None:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                verifier.feed(line)
            if len(rest) > LINE_MAX_BYTES:
                raise _odd(f"{name} holds a line of more than {LINE_MAX_BYTES} bytes")
    if verifier is not None and rest:
        verifier.feed(rest)
    return digest.hexdigest()


def _manifest_findings(
    manifest: bytes, hashes: Mapping[str, str], result: Verification, key: bytes | None
) -> list[Finding]:
    try:
        envelope = read_envelope(manifest)
        content = _content(envelope)
        listed, end = dict(content["files"]), content["head"]
    except (EnvelopeError, ProfileError, ValueError, KeyError, TypeError) as error:
        return [Finding(FindingKind.MANIFEST, f"{MANIFEST} is missing, or not as it was signed: {error}")]
    findings = []
    if key is None or not verifies(envelope, key):
        findings.append(Finding(FindingKind.MANIFEST, f"{MANIFEST} is not signed by the key that the chain ends with"))
    if result.head is None or end != result.head.document():
        findings.append(Finding(FindingKind.MANIFEST, f"{MANIFEST} was made for a chain with another end"))
    for name in sorted({*hashes, *listed}):
        if name not in hashes:
            findings.append(Finding(FindingKind.FILE_ALTERED, f"{name} is missing"))
        elif name not in listed:
            findings.append(Finding(FindingKind.FILE_ALTERED, f"{name} is not part of this export"))
        elif hashes[name] != listed[name]:
            findings.append(Finding(FindingKind.FILE_ALTERED, f"{name} was altered"))
    return findings


def _content(envelope: Envelope) -> Any:  # noqa: ANN401 - a shape that is wrong raises, and is caught
    if envelope.payload_type != MANIFEST_TYPE:
        raise EnvelopeError("it is not a manifest")
    return read_canonical(envelope.payload)
