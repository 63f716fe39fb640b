"""Which hosts are this very machine, so that clear text may go there."""

from __future__ import annotations

import ipaddress


def is_here(host: str) -> bool:
    """Tell whether a host name or address is this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
