"""The rules in force from the control plane, in one file of the state folder: whole, or the one before."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.whole_file import write_whole
from compliance_agent.wire.synced_rules import read_bundle, write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.wire.synced_rules import SyncedBundle

FOLDER: Final = "synced"
ACTIVE: Final = "active.json"
CHECKED: Final = "checked.json"
TRUSTED_ROOT: Final = "trusted_root.json"
"""The root of The Update Framework that enrolment pinned."""


def synced_folder(state_dir: Path) -> Path:
    """Return the folder of all that comes from the control plane, or would."""
    return state_dir / FOLDER


def active_path(state_dir: Path) -> Path:
    """Return the file of the rules in force."""
    return synced_folder(state_dir) / ACTIVE


def read_active(state_dir: Path) -> SyncedBundle | None:
    """Return the rules in force; ``None`` if there never were any.

    Raises:
        InputError: The file holds something else.
        OSError: It cannot be read.

    """
    path = active_path(state_dir)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return read_bundle(content, source=str(path))


def write_active(state_dir: Path, bundle: SyncedBundle) -> bool:
    """Put rules in force, atomically and for good; tell whether they differ from those before.

    Raises:
        OSError: The file cannot be written; what was in force stays.

    """
    path, content = active_path(state_dir), write_bundle(bundle)
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    write_whole(path, content)
    return True


def forget_synced(state_dir: Path) -> None:
    """Remove the root and what it signed: rules in force, and what was verified last.

    Raises:
        OSError: It cannot be removed.

    """
    folder = synced_folder(state_dir)
    for name in (ACTIVE, CHECKED, TRUSTED_ROOT):
        (folder / name).unlink(missing_ok=True)
    for name in ("metadata", "targets"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)


@dataclass(frozen=True, slots=True)
class Checked:
    """How the last look went, for people.

    Attributes:
        good_at: When rules were last seen to be up to date, ISO 8601; empty for never.
        trouble: Why the look after that brought none; empty when it was good.
        version: Of the rules in force; 0 for none.

    """

    good_at: str = ""
    trouble: str = ""
    version: int = 0


def read_checked(state_dir: Path) -> Checked | None:
    """Return how the last look went; ``None`` where there was none, or nothing can be known of it."""
    try:
        found = Checked(**json.loads((synced_folder(state_dir) / CHECKED).read_bytes()))
        if found.good_at:
            datetime.fromisoformat(found.good_at)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found


def write_checked(state_dir: Path, checked: Checked) -> None:
    """Keep how the last look went.

    Raises:
        OSError: It cannot be written.

    """
    write_whole(synced_folder(state_dir) / CHECKED, json.dumps(asdict(checked)).encode())
