"""Files that root makes in the agent's folder belong to the agent, or the agent could not read them.

The service runs as a user of its own and owns its state folder. A person runs ``apply`` or
``targets add`` as root now and then; what that makes gets the owner of the folder that it lies in.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def give_to_owner_of_folder(descriptor: int, folder: Path) -> None:
    """Give an open file the owner of its folder, when this process is root and they differ.

    Raises:
        OSError: The owner cannot be changed.

    """
    if os.geteuid() != 0:
        return
    owner, file = folder.stat(), os.fstat(descriptor)
    if (owner.st_uid, owner.st_gid) != (file.st_uid, file.st_gid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
