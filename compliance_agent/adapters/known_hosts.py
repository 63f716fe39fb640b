"""Pinned host keys, in OpenSSH's ``known_hosts`` form: looked up, added, taken away, fetched."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hmac
import os
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from compliance_agent.adapters.ownership import give_to_owner_of_folder
from compliance_agent.adapters.transports.host_key import HostKey, fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["HostKey", "KnownHosts", "PinnedKeys", "fetch_host_keys", "fingerprint", "pin", "unpin"]

_SSH_PORT: Final = 22
_NAME: Final = re.compile(r"^[A-Za-z0-9_.:%-]{1,255}$")
_FIELDS: Final = 3
_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """What is known about one host.

    Attributes:
        keys: Any of these is trusted.
        revoked: None of these is, even if it is pinned too, or signed.
        sources: Where each of ``keys`` stands, ``file:line``, for people.
        authorities: Whose certificates for this host are trusted (``@cert-authority``).

    """

    keys: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    sources: tuple[str, ...] = ()
    authorities: tuple[HostKey, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    names: str
    key_text: str
    source: str
    marker: str


@dataclass(slots=True)
class _Table:
    """One parse of all files. Keys are decoded only when their host is asked for."""

    by_name: dict[str, list[_Entry]] = field(default_factory=dict)
    searched: list[_Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stamp: tuple[object, ...] = ()


class KnownHosts:
    """The pinned keys of all hosts. Thread-safe; reads a file again only when it has changed."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Remember the paths; see ``load``."""
        self._paths = tuple(paths)
        self._lock = threading.Lock()
        self._table = _Table()

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Self:
        """Read the files. One that does not exist yet holds nothing (see ``configured``)."""
        hosts = cls(paths)
        hosts._refresh()
        return hosts

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files, in the order given."""
        return self._paths

    @property
    def configured(self) -> bool:
        """Tell whether at least one of the files exists and can be read."""
        return any(os.access(path, os.R_OK) for path in self._paths)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was passed over while reading, one sentence each, with file and line."""
        return tuple(self._refresh().notes)

    def keys_for(self, host: str, port: int) -> PinnedKeys:
        """Return what is pinned and revoked for ``host``, or ``[host]:port`` when the port is not 22."""
        table = self._refresh()
        name = host_pattern(host, port)
        entries = [*table.by_name.get(name, ()), *(entry for entry in table.searched if _matches(entry.names, name))]
        keys: dict[HostKey, str] = {}
        marked: dict[str, list[HostKey]] = {_REVOKED: [], _AUTHORITY: []}
        for entry in entries:
            with contextlib.suppress(ValueError):
                key = HostKey.from_base64(entry.key_text)
                if entry.marker:
                    marked[entry.marker].append(key)
                else:
                    keys.setdefault(key, entry.source)
        return PinnedKeys(tuple(keys), tuple(marked[_REVOKED]), tuple(keys.values()), tuple(marked[_AUTHORITY]))

    def _refresh(self) -> _Table:
        with self._lock:
            stamp = tuple(_stamp(path) for path in self._paths)
            if stamp != self._table.stamp:
                table = _Table(stamp=stamp)
                for path in self._paths:
                    _read(path, table)
                self._table = table
            return self._table


def host_pattern(host: str, port: int) -> str:
    """Return the name under which a host stands in ``known_hosts``."""
    name = host.lower()
    return name if port == _SSH_PORT else f"[{name}]:{port}"


def pin(path: Path, host: str, port: int, key: HostKey) -> None:
    """Add a key to a ``known_hosts`` file, durably; a file that does not exist is created (mode 0644).

    Does nothing if exactly this key stands there for this host already.

    Raises:
        ValueError: ``host`` is no name or address.
        OSError: The file cannot be written.

    """
    if not _NAME.match(host):
        raise ValueError(f"{host!r} is no host name or address")
    line = f"{host_pattern(host, port)} {key.key_type} {key.base64}\n".encode()
    created = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    give_to_owner_of_folder(descriptor, path.parent)
    with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123 -- a descriptor, no path
        fcntl.flock(file, fcntl.LOCK_EX)
        present = file.read()
        if line.rstrip() in (known.rstrip() for known in present.splitlines()):
            return
        gap = b"\n" if present and not present.endswith(b"\n") else b""
        file.write(gap + line)
        os.fsync(file.fileno())
    if created:
        _sync_directory(path)


def unpin(path: Path, host: str, port: int) -> int:
    """Take every line away that names this host alone (revocations stay), and return how many.

    Raises:
        OSError: The file cannot be written.

    """
    name = host_pattern(host, port)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = file.read().splitlines(keepends=True)
        kept = [line for line in lines if not _names_only(line, name)]
        if len(kept) < len(lines):
            fresh = path.with_name(f".{path.name}.new")
            with fresh.open("wb") as new:
                give_to_owner_of_folder(new.fileno(), path.parent)
                new.write(b"".join(kept))
            fresh.chmod(path.stat().st_mode & 0o777)
            with fresh.open("rb") as written:
                os.fsync(written.fileno())
            fresh.replace(path)
            _sync_directory(path)
    return len(lines) - len(kept)


def fetch_host_keys(host: str, port: int, *, timeout_s: float) -> list[HostKey]:
    """Return the host keys that a server proves to hold, one of each kind, without a login.

    They are not to be trusted until a person has compared a fingerprint.

    Raises:
        TransportError: It cannot be reached, or is no SSH server.

    """
    from compliance_agent.adapters.transports import handshake  # noqa: PLC0415 -- 0.2 s of imports

    return handshake.host_keys(host, port, timeout_s=timeout_s)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path, table: _Table) -> None:
    try:
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return
    except OSError as error:
        table.notes.append(f"{path}: cannot be read: {error.strerror}")
        return
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            _add(table, words, f"{path}:{number}")


def _add(table: _Table, words: list[str], source: str) -> None:
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in {"", _REVOKED, _AUTHORITY}:
        table.notes.append(f"{source}: unknown marker {marker}")
    elif len(words) < _FIELDS:
        table.notes.append(f"{source}: not a known_hosts line")
    else:
        entry = _Entry(words[0], words[2], source, marker)
        try:
            HostKey.from_base64(entry.key_text)
        except ValueError as error:
            table.notes.append(f"{source}: the key is {error}")
            return
        if re.search(r"[*?!|]", entry.names):
            table.searched.append(entry)
            return
        for name in entry.names.lower().split(","):
            table.by_name.setdefault(name, []).append(entry)


def _matches(names: str, name: str) -> bool:
    if names.startswith("|"):
        return _hash_matches(names, name)
    found = False
    for pattern in names.lower().split(","):
        if _wildcard(pattern.removeprefix("!")).fullmatch(name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _wildcard(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter) or re.escape(letter) for letter in pattern))


def _hash_matches(names: str, name: str) -> bool:
    words = names.split("|")
    if len(words) != 4 or words[1] != "1":  # noqa: PLR2004 -- "|1|salt|hash"
        return False
    try:
        salt, digest = base64.b64decode(words[2]), base64.b64decode(words[3])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def _names_only(line: bytes, name: str) -> bool:
    words = line.decode("utf-8", "replace").split()
    if len(words) < _FIELDS:
        return False
    return words[0].lower() == name or (words[0].startswith("|") and _hash_matches(words[0], name))


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
