"""The error tree. Every error says what happened, what to do next, and whether a retry may help.

    ComplianceAgentError
    ├── InputError            a file or document that a person must correct (carries InputProblem rows)
    ├── CredentialError       a secret that a path names cannot be read
    ├── StoreError            the state file cannot be opened or written
    │   └── DamagedStoreError its content is broken
    ├── DeliveryError         an alert could not be delivered
    └── TransportError        a target could not be reached or spoken to (carries a TransportFault)

This module imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ComplianceAgentError(Exception):
    """Root of all errors that this product raises on purpose.

    Attributes:
        message: What happened, one sentence, without secrets.
        hint: What to do next, one sentence; empty when there is nothing to do.
        retryable: True when the same call may succeed later without a person.

    """

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        """Keep the message, the hint and whether a retry may help."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        """Return message and hint on one line."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One thing wrong in one input, precise enough to mend it.

    Attributes:
        source: File name, or a name such as ``<stdin>``.
        line: 1-based line; 0 when unknown.
        column: 1-based column; 0 when unknown.
        path: Where in the document, e.g. ``targets[2].port``; empty for the whole document.
        message: What is wrong.
        hint: How to mend it.

    """

    source: str
    message: str
    line: int = 0
    column: int = 0
    path: str = ""
    hint: str = ""

    def __str__(self) -> str:
        """Return ``file:line:column: path: message (hint)`` without the unknown parts."""
        place = self.source
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        text = f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class InputError(ComplianceAgentError):
    """An input that a person must correct. Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[InputProblem]) -> None:
        """Keep the problems (at least one) in the order in which they stand in the input."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class CredentialError(ComplianceAgentError):
    """A secret named by path is missing, unreadable or readable by others."""


class StoreError(ComplianceAgentError):
    """The state file cannot be opened, read or written."""


class DamagedStoreError(StoreError):
    """The state file can be reached, but its content is broken."""


class DeliveryError(ComplianceAgentError):
    """An alert could not be handed to its channel."""


class TransportFault(StrEnum):
    """Why a target could not be spoken to. None of these is ever drift or a failed heal."""

    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    AUTH_FAILED = "auth_failed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    HOST_KEY_CHANGED = "host_key_changed"
    NOT_CONFIGURED = "not_configured"
    PROTOCOL = "protocol"
    CLOSED = "closed"


class TransportError(ComplianceAgentError):
    """A target could not be reached, trusted, logged in to, or kept in conversation."""

    def __init__(self, fault: TransportFault, message: str, *, hint: str = "", retryable: bool = False) -> None:
        """Keep the fault beside message, hint and whether a retry may help."""
        super().__init__(message, hint=hint, retryable=retryable)
        self.fault = fault
