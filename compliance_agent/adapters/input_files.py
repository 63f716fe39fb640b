"""Reading files that people write: bounded, and with problems that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from compliance_agent.errors import InputError, InputProblem

SIZE_MAX_BYTES: Final = 16 << 20
"""Largest input file that is read at all; the readers' own limits are lower."""


def read_input(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: It is missing, no file, unreadable or larger than ``SIZE_MAX_BYTES``.

    """
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise InputError([unreadable(path, error)]) from error
    if len(data) > SIZE_MAX_BYTES:
        raise InputError([InputProblem(str(path), f"larger than {SIZE_MAX_BYTES:,} bytes")])
    return data


def unreadable(path: Path, error: OSError) -> InputProblem:
    """Return why a file or folder cannot be read, and what to do."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return InputProblem(str(path), "there is no such file", hint="check the path and the spelling")
    if isinstance(error, IsADirectoryError):
        return InputProblem(str(path), "is a folder, not a file", hint="name a file in it")
    if isinstance(error, PermissionError):
        return InputProblem(str(path), "may not be read by this user", hint="run as its owner, or correct its mode")
    return InputProblem(str(path), f"cannot be read: {error.strerror or error}")


def within_package(name: str) -> Path:
    """Return the path of a part of the installed package (it need not exist)."""
    return Path(__file__).resolve().parent.parent / name
