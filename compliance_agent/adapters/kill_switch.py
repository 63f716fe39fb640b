"""The kill switch's file: while it is there, nothing is healed."""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.gate.people import PauseOrder
from compliance_agent.wire.pause_file import PauseText, read_pause_file

if TYPE_CHECKING:
    from pathlib import Path

CONTENT_MAX: Final = 4_096
"""Most bytes of the file that are looked at."""


class FileKillSwitch:
    """``engine.ports.KillSwitch`` over a file. An empty file stops healing just as well, and so does anything else."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist."""
        self._path = path

    def order(self) -> PauseOrder | None:
        """Return what the file says and whose it is; ``None`` where there is none."""
        try:
            found = self._path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # nobody can tell that there is none
            trouble = f"it cannot be looked at: {error.strerror}"
            return PauseOrder(mark=trouble, actor="unknown", reason="", trouble=trouble)
        content, said = self._read()
        identity = (found.st_uid, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, content)
        return PauseOrder(
            mark=hashlib.sha256(repr(identity).encode()).hexdigest(),
            actor=_account(found.st_uid),
            reason=said.reason,
            until=said.until,
            trouble=said.trouble,
        )

    def _read(self) -> tuple[bytes, PauseText]:
        """Return the beginning of the file, and what it says; of what is no plain file nothing is read."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not block
        except OSError as error:
            return b"", PauseText(trouble=f"it cannot be read: {error.strerror}")
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return b"", PauseText(trouble="it is no plain file")
            content = os.read(descriptor, CONTENT_MAX)
        except OSError as error:
            return b"", PauseText(trouble=f"it cannot be read: {error.strerror}")
        finally:
            os.close(descriptor)
        return content, read_pause_file(content)


def _account(uid: int) -> str:
    """Return the login of a user id, or the id where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
