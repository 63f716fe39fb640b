"""From what pywinrm raises to our faults: whose fault it is, and what a person should look at."""

from __future__ import annotations

import ssl
import struct
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Final

import requests
from spnego.exceptions import SpnegoError
from winrm.exceptions import InvalidCredentialsError, WinRMError, WinRMTransportError, WSManFaultError

from compliance_agent.adapters.transports.wsman import lost
from compliance_agent.domain.text import printable
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from compliance_agent.domain.target import Target

# What a hostile or broken answer makes pywinrm raise, since it checks little of what it reads.
STRANGE: Final = (
    WinRMError,
    WinRMTransportError,
    SpnegoError,
    ET.ParseError,
    StopIteration,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    struct.error,
)
CONNECTION: Final = (requests.RequestException, OSError)
ANY: Final = (TransportError, *CONNECTION, *STRANGE)
"""All that one call of pywinrm may raise."""

_QUOTAS: Final = frozenset({2150859173, 2150859174})
"""WSManFault codes of MaxConcurrentOperationsPerUser and MaxShellsPerUser ([MS-WSMV] 2.2.4.43)."""
_ACCESS_DENIED: Final = 5


def fault_of(error: BaseException, target: Target, *, timeout_s: float) -> TransportError:
    """Return the fault that tells why one exchange with a target failed."""
    where = target.address
    if isinstance(error, TransportError):
        return error
    if isinstance(error, InvalidCredentialsError | PermissionError):
        return TransportError(
            TransportFault.AUTH_FAILED,
            f"{where} refused the login of {target.user}",
            hint="check user and password file; it is not tried again with the same password, so that it locks nothing",
        )
    if isinstance(error, WSManFaultError):
        return _wsman_fault(error, where)
    if isinstance(error, requests.exceptions.SSLError | ssl.SSLError):
        return _tls_fault(error, target)
    if isinstance(error, requests.exceptions.Timeout | TimeoutError):
        return TransportError(
            TransportFault.TIMED_OUT,
            f"{where} did not answer within {timeout_s:g} s",
            hint="the machine may be frozen or overloaded; what was asked of it may still run",
            retryable=True,
        )
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return TransportError(
            TransportFault.PROTOCOL, f"{where} sends us elsewhere, and there we do not go", hint="check host and port"
        )
    if isinstance(error, CONNECTION):
        return lost(target)
    code = f" (HTTP {error.code})" if isinstance(error, WinRMTransportError) else ""
    return TransportError(
        TransportFault.PROTOCOL,
        f"{where} did not answer as WinRM does{code}",
        hint="check that WinRM listens on this port: winrm enumerate winrm/config/listener",
    )


def _wsman_fault(error: WSManFaultError, where: str) -> TransportError:
    reason = printable(" ".join(error.reason.split())[:300])
    if error.wsman_fault_code in _QUOTAS:
        return TransportError(
            TransportFault.PROTOCOL,
            f"{where} has no place for another shell: {reason}",
            hint="a WinRM quota is used up (MaxShellsPerUser, MaxConcurrentOperationsPerUser); idle shells end alone",
            retryable=True,
        )
    if error.wsman_fault_code == _ACCESS_DENIED:
        return TransportError(
            TransportFault.AUTH_FAILED,
            f"{where} lets the user log in, but open no shell: {reason}",
            hint="put the user into the group Administrators, or Remote Management Users",
        )
    return TransportError(
        TransportFault.PROTOCOL, f"{where} reports fault {error.wsman_fault_code}: {reason}", hint="", retryable=True
    )


def _tls_fault(error: BaseException, target: Target) -> TransportError:
    if target.certificate_sha256:
        return TransportError(
            TransportFault.HOST_KEY_CHANGED,
            f"{target.address} shows another certificate than the pinned one",
            hint="find out why; then correct certificate_sha256",
        )
    return TransportError(
        TransportFault.HOST_KEY_UNKNOWN,
        f"{target.address} shows a certificate that nobody trusted vouches for: {printable(str(error)[-200:])}",
        hint="name its authority by ca_file, or pin it by certificate_sha256",
    )
