"""What a power cut leaves: a model of a disk that keeps only what was flushed.

It is fed with a trace of system calls with all their bytes. Of a file it keeps what was there at its last flush; of a
folder the names at the folder's last flush. Real disks keep more than that, but nothing obliges them to.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

TRACED: Final = (
    "pwrite64,write,writev,sendfile,ftruncate,fallocate,fsync,fdatasync,openat,close,unlink,rename,link,mkdir,"
    "copy_file_range,lseek,pwritev,renameat,renameat2,unlinkat,linkat,sendto,connect"
)
FLUSHES: Final = ("fsync", "fdatasync")
ALL_BYTES: Final = ("-s", "100000000")

_CALL: Final = re.compile(r"^([a-z0-9_]+)\((.*)\) += (-?\d+)", re.DOTALL)
_OPEN: Final = re.compile(r'^AT_FDCWD(?:<[^>]*>)?, "([^"]*)", ([A-Z_|]+)')
_ON_FILE: Final = re.compile(r"^(\d+)<([^>]*)>(?:, )?(.*)$", re.DOTALL)
_TEXT: Final = re.compile(r'^"((?:[^"\\]|\\.)*)"(?:, )?(.*)$', re.DOTALL)


@dataclass
class _File:
    """One file, whatever its names: what it holds now, and what a power cut would leave."""

    now: bytearray = field(default_factory=bytearray)
    kept: bytes = b""


class Disk:
    """A folder, as a power cut would leave it.

    Args:
        folder: It is taken to be on the disk as it is now.
        names_last: Whether names are kept only when the folder is flushed. If not, they are on the disk at once, before
            what the file holds: so a rename can survive that the content did not.

    """

    def __init__(self, folder: Path, *, names_last: bool) -> None:
        self._folder, self._names_last = str(folder), names_last
        self._now: dict[str, _File] = {}
        self._open: dict[int, tuple[_File, int]] = {}
        if folder.is_dir():
            for path in folder.iterdir():
                content = path.read_bytes()
                self._now[path.name] = _File(bytearray(content), content)
        self._kept = dict(self._now)

    def replay(self, trace: str) -> None:
        """Take in what a process did."""
        for line in trace.splitlines():
            call = _CALL.match(line)
            if call is not None and int(call[3]) >= 0:
                self._take(call[1], call[2], int(call[3]))
                if not self._names_last:
                    self._kept = dict(self._now)

    def lay_out(self, folder: Path) -> None:
        """Make this folder what the power cut left."""
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
        else:
            folder.mkdir(mode=0o700)
        for name, file in self._kept.items():
            if not name.endswith("-shm"):  # is written through memory, and made anew from the journal
                (folder / name).write_bytes(file.kept)
                (folder / name).chmod(0o600)

    def _name(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        return name if folder == self._folder else None

    def _take(self, call: str, arguments: str, result: int) -> None:
        if call == "openat":
            self._opened(arguments, result)
        elif call in {"unlink", "rename", "link"}:
            self._named(call, [codecs.escape_decode(text)[0].decode() for text in re.findall(r'"([^"]*)"', arguments)])
        elif (found := _ON_FILE.match(arguments)) is not None:
            self._on_file(call, int(found[1]), found[2], found[3], result)

    def _opened(self, arguments: str, descriptor: int) -> None:
        found = _OPEN.match(arguments)
        name = self._name(found[1]) if found is not None else None
        self._open.pop(descriptor, None)
        if found is None or name is None:
            return
        if "O_CREAT" in found[2]:
            self._now.setdefault(name, _File())
        if name in self._now:
            if "O_TRUNC" in found[2]:
                self._now[name].now.clear()
            self._open[descriptor] = (self._now[name], 0)

    def _named(self, call: str, paths: list[str]) -> None:
        names = [self._name(path) for path in paths]
        if names[0] is None:
            return
        file = self._now[names[0]] if call == "link" else self._now.pop(names[0])
        if call != "unlink":
            assert names[1] is not None
            self._now[names[1]] = file

    def _on_file(self, call: str, descriptor: int, path: str, rest: str, result: int) -> None:
        if call in FLUSHES and path == self._folder:
            self._kept = dict(self._now)
        if descriptor not in self._open:
            return
        file, position = self._open[descriptor]
        if call in FLUSHES:
            file.kept = bytes(file.now)
        elif call == "close":
            del self._open[descriptor]
        elif call == "ftruncate":
            length = int(rest)
            file.now[:] = file.now[:length].ljust(length, b"\0")
        elif call in {"pwrite64", "write"}:
            text = _TEXT.match(rest)
            assert text is not None, rest[:200]
            data = codecs.escape_decode(text[1])[0][:result]
            at = int(text[2].rpartition(", ")[2]) if call == "pwrite64" else position
            self._write(descriptor, file, at, data, moves=call == "write")
        elif call == "sendfile":
            source, offset = re.findall(r"^\d+<([^>]*)>, (?:\[(\d+)\]|NULL)", rest)[0]
            name = self._name(source)
            assert name is not None, rest
            start = int(offset or 0)
            self._write(descriptor, file, position, bytes(self._now[name].now[start : start + result]), moves=True)
        else:
            assert call == "lseek", f"the model does not know {call}({descriptor}<{path}>, {rest[:80]})"

    def _write(self, descriptor: int, file: _File, at: int, data: bytes, *, moves: bool) -> None:
        if len(file.now) < at:
            file.now.extend(bytes(at - len(file.now)))
        file.now[at : at + len(data)] = data
        if moves:
            self._open[descriptor] = (file, at + len(data))
