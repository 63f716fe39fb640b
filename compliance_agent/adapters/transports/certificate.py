"""OpenSSH host certificates (PROTOCOL.certkeys of OpenSSH): who signed, for whom, until when."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import paramiko
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import SSHCertificate, SSHCertificateType, load_ssh_public_identity

from compliance_agent.adapters.transports.host_key import HostKey

if TYPE_CHECKING:
    from compliance_agent.adapters.known_hosts import PinnedKeys

SUFFIX: Final = "-cert-v01@openssh.com"
"""How the name of a certificate's key type ends."""

_STRONG_SIGNATURES: Final = frozenset(
    {
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-256",
        "rsa-sha2-512",
    }
)
# Fields of the certified key itself, between nonce and serial number.
_KEY_FIELDS: Final = {"ssh-ed25519": 1, "ecdsa-sha2-nistp256": 2, "ecdsa-sha2-nistp384": 2, "ecdsa-sha2-nistp521": 2}
_RSA_FIELDS: Final = 2


def host_certificate_problem(certificate: bytes, host: str, pinned: PinnedKeys, *, now_s: float) -> str:
    """Return why a host certificate does not vouch for ``host``, or an empty string.

    Args:
        certificate: As it travels.
        host: The name or address that was connected to; must stand among the certificate's principals.
        pinned: With the authorities trusted for this host; none that is revoked counts.
        now_s: Seconds since the epoch, UTC.

    """
    try:
        authority, algorithm = _signed_by(certificate)
        parsed = load_ssh_public_identity(_line(certificate))
    except (ValueError, paramiko.SSHException, UnicodeDecodeError, IndexError):
        return "the certificate cannot be read"
    if not isinstance(parsed, SSHCertificate):
        return "it is no certificate"
    if authority not in pinned.authorities or authority in pinned.revoked:
        return f"signed by {authority.fingerprint}, which is not a trusted authority for it"
    if algorithm not in _STRONG_SIGNATURES:
        return f"signed by the weak algorithm {algorithm}"
    try:
        parsed.verify_cert_signature()
    except InvalidSignature:
        return "the signature is wrong"
    return _unfit(parsed, host, now_s)


def _unfit(parsed: SSHCertificate, host: str, now_s: float) -> str:
    if parsed.type is not SSHCertificateType.HOST:
        return "it is a user's certificate, not a host's"
    names = [name.decode("utf-8", "replace").lower() for name in parsed.valid_principals]
    if host.lower() not in names:
        return f"it is made out to {', '.join(names[:5]) or 'nobody'}, not to {host}"
    if now_s < parsed.valid_after:
        return "it is not valid yet; check the clocks"
    if now_s >= parsed.valid_before:
        return "it has expired"
    if parsed.critical_options:
        return "it holds critical options, which no host certificate has"
    return ""


def _line(certificate: bytes) -> bytes:
    kind = HostKey.from_blob(certificate).key_type
    return kind.encode() + b" " + base64.b64encode(certificate)


def _signed_by(certificate: bytes) -> tuple[HostKey, str]:
    """Return the authority's key and the algorithm of its signature."""
    message = paramiko.Message(certificate)
    kind = message.get_text().removesuffix(SUFFIX)
    message.get_string()  # nonce
    for _ in range(_KEY_FIELDS.get(kind, _RSA_FIELDS)):
        message.get_string()
    message.get_int64()  # serial number
    message.get_int()  # type
    for _ in range(2):  # key id, principals
        message.get_string()
    message.get_int64()
    message.get_int64()
    for _ in range(3):  # critical options, extensions, reserved
        message.get_string()
    authority = HostKey.from_blob(message.get_string())
    return authority, paramiko.Message(message.get_string()).get_text()
