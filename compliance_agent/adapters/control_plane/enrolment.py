"""Enrolment: a one-time token and the appliance's public key go out, a credential and the root of trust come back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import requests
from urllib3.exceptions import HTTPError

from compliance_agent.adapters.control_plane.exchange import exchange, read_at_most
from compliance_agent.domain.scrub import scrub
from compliance_agent.domain.text import one_line
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from compliance_agent.adapters.control_plane.exchange import Address

ANSWER_MAX_BYTES: Final = 131_072
_CREDENTIAL_MAX: Final = 500


class EnrolmentError(ComplianceAgentError):
    """The control plane did not enrol this appliance."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What enrolment brought.

    Attributes:
        site_id: The site that the token was for.
        credential: The bearer token; shown to nobody.
        trusted_root: The root of The Update Framework, its bytes as signed; empty where the server signs no rules.

    """

    site_id: str
    credential: str
    trusted_root: bytes

    @property
    def fingerprint(self) -> str:
        """Return SHA-256 of the root, hex; as ``central-command sites token`` prints it."""
        return fingerprint_of(self.trusted_root)

    def __repr__(self) -> str:
        """Leave the credential out."""
        return f"Enrolled(site_id={self.site_id!r})"


def fingerprint_of(root: bytes) -> str:
    """Return the SHA-256 of a root, hex."""
    return hashlib.sha256(root).hexdigest()


def enrol(address: Address, token: str, *, appliance_id: str, public_key: bytes) -> Enrolled:
    """Enrol an appliance; the token is used up by it.

    Args:
        address: Of the control plane.
        token: One-time token of the site.
        appliance_id: This appliance.
        public_key: Its raw Ed25519 public key, 32 bytes.

    Raises:
        EnrolmentError: It was refused, or there was no answer.

    """
    body = json.dumps({"token": token, "appliance_id": appliance_id, "public_key": public_key.hex()}).encode()
    try:
        with exchange(address) as line:
            with line.ask("POST", "/agent/enroll", body=body, headers={"Content-Type": "application/json"}) as response:
                status, content = response.status_code, read_at_most(response, ANSWER_MAX_BYTES)
            if line.is_over:
                raise EnrolmentError(f"no answer within {address.deadline_s:g} s", hint=_UNKNOWN)
    except requests.exceptions.SSLError as error:
        raise EnrolmentError("the control plane's certificate is not trusted", hint="check it and ca_file") from error
    except (requests.RequestException, HTTPError, OSError) as error:
        raise EnrolmentError(f"the control plane does not answer: {type(error).__name__}", hint=_UNKNOWN) from error
    if status != requests.codes.created:
        said = one_line(scrub(" ".join((content or b"")[:2_000].decode("utf-8", "replace").split()))[:300])
        hint = "ask for a new token: central-command sites token SITE" if status == requests.codes.unauthorized else ""
        raise EnrolmentError(f"the control plane answered {status}: {_detail(said)}", hint=hint)
    return _read(content)


_UNKNOWN: Final = "try again; if the token is refused then, it was used up: ask for a new one"


def _read(content: bytes | None) -> Enrolled:
    try:
        answer: Any = json.loads(content or b"")
        site_id, credential, root = answer["site_id"], answer["credential"], answer.get("trusted_root", "")
        for one in (site_id, credential, root):
            {str: None}[type(one)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EnrolmentError("the answer is no enrolment", hint="is this the address of Central Command?") from error
    if not 0 < len(credential) <= _CREDENTIAL_MAX or not all("!" <= letter <= "~" for letter in credential):
        raise EnrolmentError("the answer holds no credential", hint="is this the address of Central Command?")
    return Enrolled(site_id, credential, root.encode())


def _detail(said: str) -> str:
    """Return what a problem document says (RFC 9457), or the text as it is."""
    try:
        document = json.loads(said)
        return str(document.get("detail") or document.get("title") or said)
    except (ValueError, AttributeError, RecursionError):
        return said
