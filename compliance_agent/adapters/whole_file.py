"""Small files that are written as a whole: whoever reads one sees the old content or the new, after a power cut too."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from compliance_agent.adapters.ownership import give_to_owner_of_folder


def write_whole(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file, durably; it gets the owner of its folder, which is made (mode 0700) when missing.

    Args:
        path: The file.
        content: All of it.
        mode: Its permissions.

    Raises:
        OSError: It cannot be written; what was there stays.

    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            give_to_owner_of_folder(descriptor, path.parent)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """See that names in a folder outlive a power cut.

    Raises:
        OSError: They may not.

    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
