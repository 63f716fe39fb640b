"""Alerts by syslog: RFC 5424, to this machine's own collector or to another one."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final, Literal

from compliance_agent.adapters.alert_channels import ChannelError
from compliance_agent.adapters.alert_channels.message import one_line
from compliance_agent.domain.outcome import OutcomeKind

if TYPE_CHECKING:
    from compliance_agent.adapters.store import QueuedAlert

_FACILITIES: Final = {"user": 1, "daemon": 3, "auth": 4, "authpriv": 10} | {f"local{n}": 16 + n for n in range(8)}
_WARNING: Final = 4
_ERROR: Final = 3
_MESSAGE_MAX_BYTES: Final = 2_048  # what every receiver should take (RFC 5424, section 6.1)


@dataclass(frozen=True, slots=True)
class SyslogChannel:
    """A syslog collector.

    Attributes:
        path: Path of a Unix datagram socket; used where ``host`` is empty.
        host: Name or address of a collector; empty for this machine.
        port: Its port.
        protocol: ``udp`` or ``tcp`` (octet-counted frames, RFC 6587).
        facility: ``user``, ``daemon``, ``auth``, ``authpriv`` or ``local0`` to ``local7``.
        hostname: What the messages name as their origin.
        timeout_s: Limit of connecting and of sending.
        name: What the queue keeps its tries under.

    """

    path: str = "/dev/log"
    host: str = ""
    port: int = 514
    protocol: Literal["udp", "tcp"] = "udp"
    facility: str = "daemon"
    hostname: str = ""
    timeout_s: float = 5.0
    name: str = "syslog"

    def __post_init__(self) -> None:
        """Refuse an unknown facility.

        Raises:
            ValueError: It is none of the named ones.

        """
        if self.facility not in _FACILITIES:
            message = f"syslog facility {self.facility!r} is none of {', '.join(_FACILITIES)}"
            raise ValueError(message)

    def deliver(self, queued: QueuedAlert) -> None:
        """Send the alert as one message. Syslog has no answer: sent is all that is known.

        Raises:
            ChannelError: It could not be sent; a later try may help.

        """
        message = syslog_message(queued, facility=self.facility, hostname=self.hostname or socket.gethostname())
        try:
            self._send(message)
        except OSError as error:
            place = f"{self.host}:{self.port}/{self.protocol}" if self.host else self.path
            raise ChannelError(f"syslog: {place}: {error.strerror or error}", retryable=True) from error

    def _send(self, message: bytes) -> None:
        if not self.host:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
                unix.settimeout(self.timeout_s)
                unix.connect(self.path)
                unix.send(message)
        elif self.protocol == "tcp":
            with socket.create_connection((self.host, self.port), self.timeout_s) as stream:
                stream.sendall(b"%d %b" % (len(message), message))
        else:
            family, kind, number, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind, number) as datagram:
                datagram.settimeout(self.timeout_s)
                datagram.connect(address)
                datagram.send(message)


def syslog_message(queued: QueuedAlert, *, facility: str, hostname: str) -> bytes:
    """Return the alert as one RFC 5424 message, at most 2,048 bytes.

    The alert's id, kind and name travel as structured data under ``alert@32473`` (the number that
    RFC 5612 keeps for documentation: this product has none of its own).
    """
    alert = queued.alert
    severity = _ERROR if alert.kind is OutcomeKind.ESCALATED else _WARNING
    at = alert.raised_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = {"id": queued.alert_id, "kind": alert.kind.value, "name": alert.name[:200]}
    data = " ".join(f'{key}="{_escaped(value)}"' for key, value in fields.items())
    header = (
        f"<{_FACILITIES[facility] * 8 + severity}>1 {at} {_word(hostname, 255)} compliance-agent {os.getpid()} ALERT"
    )
    message = f"{header} [alert@32473 {data}] {one_line(queued)}".encode()
    return (
        message
        if len(message) <= _MESSAGE_MAX_BYTES
        else message[:_MESSAGE_MAX_BYTES].decode("utf-8", "ignore").encode()
    )


def _escaped(value: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in value)
    return printable.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _word(text: str, length_max: int) -> str:
    """Return what RFC 5424 allows as a name: printable ASCII without spaces; ``-`` for nothing."""
    return "".join(letter for letter in text if "!" <= letter <= "~")[:length_max] or "-"
