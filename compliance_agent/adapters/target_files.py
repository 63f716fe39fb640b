"""The targets that ``targets add`` manages: ``<state_dir>/targets.yaml`` beside ``known_hosts``."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.input_files import read_input, unreadable
from compliance_agent.adapters.ownership import give_to_owner_of_folder
from compliance_agent.adapters.whole_file import write_whole
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.located import Located
from compliance_agent.wire.target_document import read_managed
from compliance_agent.wire.yaml_document import read_yaml, write_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.wire.target_document import TargetEntry

FILE_NAME: Final = "targets.yaml"
KNOWN_HOSTS_NAME: Final = "known_hosts"
_LOCK_NAME: Final = ".targets.lock"
_HEADER: Final = "# Kept by `compliance-agent targets add` and `targets remove`.\n"


def managed_targets_path(state_dir: Path) -> Path:
    """Return where the managed targets stand."""
    return state_dir / FILE_NAME


def managed_known_hosts_path(state_dir: Path) -> Path:
    """Return where ``targets add`` pins host keys."""
    return state_dir / KNOWN_HOSTS_NAME


def holds_managed_known_hosts(state_dir: Path) -> bool:
    """Tell whether ``targets add`` has pinned a host key there (as far as this user can see)."""
    try:
        return managed_known_hosts_path(state_dir).is_file()
    except OSError:
        return False


def read_managed_document(state_dir: Path) -> Located | None:
    """Return the managed targets file as read, or ``None`` when there is none.

    Raises:
        InputError: It cannot be read or is not YAML.

    """
    path = managed_targets_path(state_dir)
    try:
        if not path.is_file():
            return None
    except OSError as error:
        raise InputError([unreadable(path, error)]) from error
    return read_yaml(read_input(path), source=str(path))


def read_managed_targets(state_dir: Path) -> tuple[TargetEntry, ...]:
    """Return the managed targets; none when there is no such file.

    Raises:
        InputError: With every problem in the file.

    """
    document = read_managed_document(state_dir)
    return read_managed(document, base=str(state_dir)) if document is not None else ()


def add_managed_target(
    state_dir: Path, entry: Mapping[str, JsonValue], *, taken: Mapping[str, str] | None = None
) -> TargetEntry:
    """Add a target, durably, and return it as read back.

    Args:
        state_dir: The state folder; made (mode 0700) when missing.
        entry: Keys as in the settings; relative paths are relative to ``state_dir``.
        taken: Ids that stand in the settings file, with their places.

    Raises:
        InputError: The entry is malformed, or its id is taken.

    """
    with _locked(state_dir):
        entries = _raw_entries(state_dir)
        target_id = str(entry.get("id", ""))
        place = (taken or {}).get(target_id)
        if place is None and any(one.get("id") == target_id for one in entries):
            place = str(managed_targets_path(state_dir))
        if place is not None:
            message = f"a target {target_id} stands already at {place}"
            raise InputError([InputProblem("targets add", message, path="id", hint="choose another id")])
        (added,) = read_managed(Located({"targets": [dict(entry)]}, "targets add"), base=str(state_dir))
        _write(state_dir, [*entries, dict(entry)])
    return added


def remove_managed_target(state_dir: Path, target_id: str) -> bool:
    """Remove a target, durably; tell whether it was there.

    Raises:
        InputError: The file cannot be read or written.

    """
    with _locked(state_dir):
        entries = _raw_entries(state_dir)
        kept = [entry for entry in entries if entry.get("id") != target_id]
        if len(kept) == len(entries):
            return False
        _write(state_dir, kept)
    return True


def _raw_entries(state_dir: Path) -> list[Mapping[str, JsonValue]]:
    """Return the entries as written, after judging them."""
    document = read_managed_document(state_dir)
    if document is None:
        return []
    read_managed(document, base=str(state_dir))
    assert isinstance(document.value, dict)  # noqa: S101 - the model has just said so
    return list(document.value.get("targets", []))


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Hold the only writer's lock; waits for another writer, which holds it for an instant."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_to_owner_of_folder(descriptor, state_dir)
    except OSError as error:
        raise InputError([_unwritable(state_dir, error)]) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(state_dir: Path, entries: list[Mapping[str, JsonValue]]) -> None:
    """Replace the file as a whole: after a crash there is the old one or the new one."""
    path = managed_targets_path(state_dir)
    text = _HEADER + write_yaml({"targets": list(entries)})
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise InputError([_unwritable(path, error)]) from error


def _unwritable(path: Path, error: OSError) -> InputProblem:
    hint = "run as the owner of the state folder, or name another state_dir"
    return InputProblem(str(path), f"cannot be written: {error.strerror or error}", hint=hint)
