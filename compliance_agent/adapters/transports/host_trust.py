"""Whether the host key that a peer proved is one that was agreed on. There is no trust on first use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from compliance_agent.adapters.transports.certificate import host_certificate_problem
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from compliance_agent.adapters.known_hosts import PinnedKeys
    from compliance_agent.adapters.transports.host_key import HostKey
    from compliance_agent.domain.target import Target

_VERIFY = "compare the fingerprint with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub on it)"


def check_host_key(offered: HostKey, certificate: bytes, target: Target, pinned: PinnedKeys) -> None:
    """Return if the host key is trusted for this target.

    Args:
        offered: The key that the peer proved to hold.
        certificate: The certificate that it came in, as it travels; empty for a bare key.
        target: With its own fingerprint, if it names one: that alone counts then.
        pinned: What ``known_hosts`` says of the target.

    Raises:
        TransportError: ``HOST_KEY_CHANGED`` or ``HOST_KEY_UNKNOWN``; never retryable.

    """
    shown = f"{offered.fingerprint} ({offered.key_type})"
    if offered in pinned.revoked:
        raise TransportError(
            TransportFault.HOST_KEY_CHANGED,
            f"{target.address} offers the host key {shown}, which is marked as revoked",
            hint=f"do not connect; {_VERIFY}, and find out why its key was revoked",
        )
    if target.host_key:
        if offered.fingerprint != target.host_key:
            raise _changed(target, f"{target.host_key} (host_key of {target.target_id})", shown)
        return
    if offered in pinned.keys:
        return
    doubt = ""
    if certificate and pinned.authorities:
        doubt = host_certificate_problem(certificate, target.host, pinned, now_s=time.time())
        if not doubt:
            return
    if pinned.keys:
        known = ", ".join(
            f"{key.fingerprint} ({key.key_type}, {source})"
            for key, source in zip(pinned.keys, pinned.sources, strict=True)
        )
        raise _changed(target, known, shown)
    if pinned.authorities:
        reason = doubt or "it shows no certificate"
        raise TransportError(
            TransportFault.HOST_KEY_UNKNOWN,
            f"the certificate authority pinned for {target.address} does not vouch for its key {shown}: {reason}",
            hint=f"sign the machine's host key anew (ssh-keygen -h), or {_VERIFY} and pin it: "
            "compliance-agent targets add",
        )
    raise TransportError(
        TransportFault.HOST_KEY_UNKNOWN,
        f"no host key is pinned for {target.address}; it offers {shown}",
        hint=f"{_VERIFY}, then pin it: compliance-agent targets add",
    )


def _changed(target: Target, known: str, shown: str) -> TransportError:
    return TransportError(
        TransportFault.HOST_KEY_CHANGED,
        f"the host key of {target.address} has changed: pinned {known}, offered {shown}",
        hint=f"this may be an attack or a reinstalled machine; over another way than this connection {_VERIFY}; "
        "only if it is right, take the old line away and pin the new key: compliance-agent targets add",
    )
