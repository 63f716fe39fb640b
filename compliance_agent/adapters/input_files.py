"""Reading files that people write: bounded, and with problems that say what to do."""

from __future__ import annotations

import os
import select
import stat
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from compliance_agent.errors import InputError, InputProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_MAX_BYTES: Final = 16 << 20
"""Largest input file that is read at all; the readers' own limits are lower."""

LINE_MAX_BYTES: Final = 16 << 20
"""Longest line of a file of incidents, its end included."""

WRITER_WAIT_S: Final = 30
"""Longest wait for the first byte of a pipe, in seconds; opening one without a writer would wait for ever."""


def read_input(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: It is missing, no file, unreadable or larger than ``SIZE_MAX_BYTES``, or a pipe to which
            nobody writes.

    """
    try:
        with open_input(path) as file:
            data = file.read(SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise InputError([unreadable(path, error)]) from error
    if len(data) > SIZE_MAX_BYTES:
        raise InputError([InputProblem(str(path), f"larger than {SIZE_MAX_BYTES:,} bytes")])
    return data


def open_input(path: Path) -> BinaryIO:
    """Open a file for reading; of a named pipe, wait for a writer no longer than ``WRITER_WAIT_S``.

    Raises:
        OSError: It is missing or may not be read.
        InputError: It is a pipe to which nobody writes.

    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # a folder is refused here
    try:
        _wait_for_a_writer(path, file)
    except BaseException:
        file.close()
        raise
    os.set_blocking(file.fileno(), True)
    return file


@contextmanager
def open_lines(path: Path) -> Iterator[tuple[Iterator[bytes], str]]:
    """Open a file that is read line by line, or standard input for ``-``; yields its lines, and its name for problems.

    Raises:
        OSError: It is missing or may not be read.
        InputError: It is a pipe to which nobody writes; or, as its lines are read, one is longer than
            ``LINE_MAX_BYTES``. The lines before it have been yielded.

    """
    if str(path) == "-":
        yield _lines(sys.stdin.buffer, "<stdin>"), "<stdin>"
    else:
        with open_input(path) as file:
            yield _lines(file, str(path)), str(path)


def _lines(file: BinaryIO, source: str) -> Iterator[bytes]:
    for number, line in enumerate(iter(partial(file.readline, LINE_MAX_BYTES + 1), b""), start=1):
        if len(line) > LINE_MAX_BYTES:
            raise InputError([InputProblem(source, f"the line is longer than {LINE_MAX_BYTES:,} bytes", line=number)])
        yield line


def _wait_for_a_writer(path: Path, file: BinaryIO) -> None:
    if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode) and not select.select([file], [], [], WRITER_WAIT_S)[0]:
        hint = "write to it before it is read, or name a file"
        raise InputError([InputProblem(str(path), f"a pipe that held nothing for {WRITER_WAIT_S} s", hint=hint)])


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
