"""What goes wrong in Central Command: a message for people, and what to do next."""

from __future__ import annotations


class CentralError(Exception):
    """An error with a hint.

    Attributes:
        message: What is wrong, one sentence without a full stop.
        hint: What to do next; may be empty.

    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Take the message and the hint."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return both, for logs."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class DatabaseError(CentralError):
    """No PostgreSQL can be had, or it is not what this release needs."""


class RefusedError(CentralError):
    """What was asked for is not allowed, or not possible as things stand."""
