"""Who an appliance is: one-time enrolment tokens, and bearer credentials of which only the hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.errors import UniqueViolation

from central_command.errors import RefusedError
from central_command.store.promoter import audit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    import psycopg

SCOPES: Final = ("sync", "telemetry", "evidence", "checkin", "commands")
"""What a credential may be for; an appliance's own has all of them."""

_TOKEN_BYTES: Final = 32
_CREDENTIAL_PREFIX: Final = "cca_"
_ENROLMENT_PREFIX: Final = "cce_"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a bearer token belongs to.

    Attributes:
        site_id: Its site.
        appliance_id: Its appliance.
        scopes: What it is good for.

    """

    site_id: str
    appliance_id: str
    scopes: frozenset[str]


def hash_of(token: str) -> bytes:
    """Return what is kept of a token: SHA-256, since its 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def find_caller(connection: psycopg.Connection, token: str, *, now: datetime) -> Caller | None:
    """Return whom a token belongs to; ``None`` if it is unknown, expired or revoked, or its appliance is."""
    row = connection.execute(
        "SELECT c.site_id, c.appliance_id, c.scopes FROM credentials c JOIN appliances a USING (site_id, appliance_id)"
        " WHERE c.token_sha256 = %s AND c.revoked_at IS NULL AND a.state = 'active'"
        " AND (c.expires_at IS NULL OR c.expires_at > %s)",
        (hash_of(token), now),
    ).fetchone()
    return Caller(row[0], row[1], frozenset(row[2])) if row else None


def issue_enrolment_token(
    connection: psycopg.Connection, *, site_id: str, created_by: str, now: datetime, valid_for: timedelta
) -> str:
    """Return a token with which one appliance of a site can enrol, once."""
    token = _ENROLMENT_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    connection.execute(
        "INSERT INTO enrolment_tokens (site_id, token_sha256, created_by, created_at, expires_at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (site_id, hash_of(token), created_by, now, now + valid_for),
    )
    return token


def enrol(
    connection: psycopg.Connection,
    token: str,
    *,
    appliance_id: str,
    public_key: bytes,
    credential_id: UUID,
    now: datetime,
) -> tuple[Caller, str]:
    """Use an enrolment token up, and return the appliance with its new credential.

    An appliance of that name is enrolled anew: its old credentials end, and what it did before stays its own.

    Args:
        connection: Of the role ``central_fleet``: whose the token is is not known before.
        token: The one-time token.
        appliance_id: The name that it takes.
        public_key: Ed25519, raw 32 bytes: it signs its evidence.
        credential_id: Id of the new credential.
        now: The time of this turn, UTC.

    Raises:
        RefusedError: The token is unknown, expired, or was used.

    """
    row = connection.execute(
        "UPDATE enrolment_tokens SET used_at = %s, used_by = %s"
        " WHERE token_sha256 = %s AND used_at IS NULL AND expires_at > %s RETURNING site_id",
        (now, appliance_id, hash_of(token), now),
    ).fetchone()
    if row is None:
        message = "the enrolment token is unknown, expired, or was used"
        raise RefusedError(message, hint="ask for a new one: central-command sites token SITE")
    site_id: str = row[0]
    _tell_of_new_key(connection, site_id, appliance_id, public_key, now)
    audit(
        connection,
        str(credential_id),
        actor=f"{site_id}/{appliance_id}",
        what="appliance_enrolled",
        subject=appliance_id,
        details={"public_key": public_key.hex()},
        site_id=site_id,
    )
    connection.execute(
        "INSERT INTO appliances (site_id, appliance_id, public_key, enrolled_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (site_id, appliance_id) DO UPDATE SET"
        " public_key = excluded.public_key, enrolled_at = excluded.enrolled_at, state = 'active'",
        (site_id, appliance_id, public_key, now),
    )
    connection.execute(
        "UPDATE credentials SET revoked_at = %s WHERE site_id = %s AND appliance_id = %s AND revoked_at IS NULL",
        (now, site_id, appliance_id),
    )
    caller = Caller(site_id, appliance_id, frozenset(SCOPES))
    return caller, issue_credential(connection, caller, credential_id=credential_id, now=now, label="enrolment")


def _tell_of_new_key(
    connection: psycopg.Connection, site_id: str, appliance_id: str, public_key: bytes, now: datetime
) -> None:
    """Raise an alarm on every chain that another key signs: that chain can only go on with its own key.

    Whoever has an enrolment token of a site can take the name of one of its appliances. That must not pass unseen.
    """
    connection.execute(
        "UPDATE evidence_chains SET alarm = 'the appliance enrolled anew with another key after entry ' || seq,"
        " alarmed_at = %s WHERE site_id = %s AND appliance_id = %s AND public_key <> %s AND alarm IS NULL",
        (now, site_id, appliance_id, public_key),
    )


def issue_credential(
    connection: psycopg.Connection,
    caller: Caller,
    *,
    credential_id: UUID,
    now: datetime,
    valid_for: timedelta | None = None,
    label: str = "",
) -> str:
    """Return a new bearer token for an appliance, or for a script that speaks for it. It is shown this once.

    Raises:
        RefusedError: The id is taken.

    """
    token = _CREDENTIAL_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    scopes: Sequence[str] = sorted(caller.scopes)
    try:
        connection.execute(
            "INSERT INTO credentials"
            " (site_id, credential_id, appliance_id, token_sha256, scopes, label, created_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                caller.site_id,
                credential_id,
                caller.appliance_id,
                hash_of(token),
                scopes,
                label,
                now,
                now + valid_for if valid_for is not None else None,
            ),
        )
    except UniqueViolation as error:
        message = f"there is a credential {credential_id} already"
        raise RefusedError(message) from error
    return token


def revoke(connection: psycopg.Connection, *, site_id: str, credential_id: UUID, now: datetime) -> bool:
    """End a credential; tell whether there was one to end."""
    return (
        connection.execute(
            "UPDATE credentials SET revoked_at = %s WHERE site_id = %s AND credential_id = %s AND revoked_at IS NULL",
            (now, site_id, credential_id),
        ).rowcount
        == 1
    )
