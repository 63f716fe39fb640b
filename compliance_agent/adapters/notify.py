"""Tell systemd how the service is: the ``sd_notify`` protocol, one datagram a message.

Protocol: sd_notify(3). Without ``NOTIFY_SOCKET`` (no systemd, or a plain service) nothing is sent.
"""

from __future__ import annotations

import os
import socket


class Notifier:
    """Speaks to the service manager that started this process."""

    def __init__(self, address: str | None = None) -> None:
        """Use ``address``, else ``NOTIFY_SOCKET``; a leading ``@`` means an abstract socket."""
        found = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{found[1:]}" if found.startswith("@") else found

    def ready(self, status: str) -> None:
        """Say that start-up is over."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """Say one line that ``systemctl status`` shows."""
        self._send(f"STATUS={status}")

    def stopping(self) -> None:
        """Say that the service is stopping."""
        self._send("STOPPING=1\nSTATUS=finishing what has begun")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto(message.encode(), self._address)
        except OSError:
            return  # a deaf service manager is no reason to stop working
