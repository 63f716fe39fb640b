"""Secrets, read from the files that settings name by path, at the moment they are needed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, NoReturn

from compliance_agent.errors import CredentialError

SECRET_MAX_BYTES: Final = 65_536
"""No key or password is longer."""


class Secret:
    """A secret text that does not show itself in logs, errors, tracebacks or pickles."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap it."""
        self._text = text

    def reveal(self) -> str:
        """Return the text. Pass the result on at once; do not keep it."""
        return self._text

    def __repr__(self) -> str:
        """Return a mask."""
        return "Secret(***)"

    def __str__(self) -> str:
        """Return a mask."""
        return "***"

    def __reduce__(self) -> NoReturn:
        """Refuse: a pickle would hold the text."""
        raise TypeError("a secret cannot be pickled")


class CredentialReader:
    """Reads secret files, and refuses those that others could read too. Thread-safe; keeps nothing."""

    def __init__(self, credentials_directory: Path | None = None) -> None:
        """Remember where systemd puts credentials; without an argument, what it says in the environment."""
        named = os.environ.get("CREDENTIALS_DIRECTORY")
        self._directory = credentials_directory or (Path(named) if named else None)

    def read(self, path: str, *, purpose: str) -> Secret:
        """Return the contents of a secret file.

        Args:
            path: Of the file.
            purpose: What it is, for messages, e.g. ``identity file``.

        Raises:
            CredentialError: It is missing, unreadable, no regular file, empty, too long, no text, or
                readable by group or others (systemd's own credentials excepted).

        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise _unreadable(path, purpose, error) from None
        try:
            self._check(os.fstat(descriptor), path, purpose)
            data = _read_all(descriptor)
        except OSError as error:
            raise _unreadable(path, purpose, error) from None
        finally:
            os.close(descriptor)
        return _decode(data, path, purpose)

    def read_password(self, path: str, *, purpose: str) -> Secret:
        """Return a secret of one line, without the line feed at its end.

        Raises:
            CredentialError: As ``read``, or it holds several lines.

        """
        text = self.read(path, purpose=purpose).reveal().removesuffix("\n").removesuffix("\r")
        if "\n" in text or "\r" in text or not text:
            raise CredentialError(
                f"the {purpose} {path} does not hold exactly one line", hint="write the password alone into it"
            )
        return Secret(text)

    def _check(self, status: os.stat_result, path: str, purpose: str) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise CredentialError(f"the {purpose} {path} is not a regular file", hint="name a file")
        if status.st_mode & 0o077 and not self._is_systemd_credential(path):
            mode = stat.S_IMODE(status.st_mode)
            raise CredentialError(
                f"the {purpose} {path} can be read or written by others (mode {mode:04o})",
                hint=f"run: chmod 600 {path}",
            )
        if status.st_size > SECRET_MAX_BYTES:
            raise CredentialError(
                f"the {purpose} {path} is longer than {SECRET_MAX_BYTES} bytes", hint="check that it is the right file"
            )

    def _is_systemd_credential(self, path: str) -> bool:
        return self._directory is not None and Path(path).resolve().is_relative_to(self._directory.resolve())


def file_state(path: str) -> tuple[int, ...] | None:
    """Return what changes when a file is replaced, rewritten, or given to others; ``None`` if it is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- text, no Path
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _read_all(descriptor: int) -> bytes:
    data = b""
    while len(data) <= SECRET_MAX_BYTES and (chunk := os.read(descriptor, SECRET_MAX_BYTES + 1)):
        data += chunk
    return data[:SECRET_MAX_BYTES]


def _decode(data: bytes, path: str, purpose: str) -> Secret:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        # The default error would carry the bytes themselves.
        raise CredentialError(
            f"the {purpose} {path} is no UTF-8 text", hint="check that it is the right file"
        ) from None
    if not text.strip() or "\0" in text:
        raise CredentialError(f"the {purpose} {path} is empty or no text", hint="check that it is the right file")
    return Secret(text)


def _unreadable(path: str, purpose: str, error: OSError | ValueError) -> CredentialError:
    if isinstance(error, FileNotFoundError):
        return CredentialError(
            f"the {purpose} {path} does not exist", hint="create it, or correct the path in the settings"
        )
    if isinstance(error, PermissionError):
        return CredentialError(
            f"the {purpose} {path} may not be read by this user", hint="give it to the user that the agent runs as"
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or "not a path"
    return CredentialError(f"the {purpose} {path} cannot be read: {reason}", hint="correct the path in the settings")
