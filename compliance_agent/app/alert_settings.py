"""Settings of the alert channels: webhook, SMTP, syslog. All are optional; secrets are named by path."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from compliance_agent.domain.runbook import Model
from compliance_agent.wire.validation import RefusedError
from compliance_agent.wire.way_entry import PathText

_PORT_MAX: Final = 65_535


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this very machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str) -> str:
    """Refuse what is not https (plain http only to this very machine) or carries a secret."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise RefusedError("is no URL", "write it like https://alerts.example.org/hook") from None
    if parts.scheme not in {"http", "https"} or not host or any(character.isspace() for character in url):
        raise RefusedError("is no https URL", "write it like https://alerts.example.org/hook")
    if parts.scheme == "http" and not is_loopback(host):
        raise RefusedError("is plain http, which anyone on the way can read", "use https; http is for loopback only")
    if parts.username is not None or parts.password is not None:
        raise RefusedError("holds a login, and secrets do not stand in settings", "name a file: token_file")
    return url


def _check_syslog(address: str) -> str:
    if address.startswith("/"):
        return address
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= _PORT_MAX:
        raise RefusedError(
            f"got {address!r}, need a socket's path or host:port", "write /dev/log or syslog.example.org:514"
        )
    return address


class WebhookSettings(Model):
    """Alerts by HTTP POST."""

    url: Annotated[str, Field(max_length=2_000), AfterValidator(check_url)] = Field(
        description="Where to post; https, or http to this very machine."
    )
    token_file: PathText | None = Field(default=None, description="Path of a file that holds the bearer token.")
    timeout_s: int = Field(default=10, ge=1, le=120, description="For one delivery.")


class SmtpSettings(Model):
    """Alerts by mail."""

    host: str = Field(min_length=1, max_length=253, description="Mail server.")
    port: int = Field(default=587, ge=1, le=_PORT_MAX, description="Its port.")
    starttls: bool = Field(default=True, description="Encrypt, with the server's certificate verified.")
    user: str | None = Field(default=None, min_length=1, description="Login name.")
    password_file: PathText | None = Field(default=None, description="Path of a file that holds the password.")
    from_: Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")] = Field(alias="from", description="Sender's address.")
    to: tuple[Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")], ...] = Field(
        min_length=1, strict=False, description="Recipients' addresses."
    )

    @model_validator(mode="after")
    def _login(self) -> SmtpSettings:
        if (self.user is None) != (self.password_file is None):
            raise RefusedError("a login needs user and password_file", "add the other one, or remove both")
        if self.user is not None and not self.starttls and not is_loopback(self.host):
            raise RefusedError("the password would travel in clear text", "leave starttls on")
        return self


class SyslogSettings(Model):
    """Alerts by syslog."""

    address: Annotated[str, AfterValidator(_check_syslog)] = Field(
        default="/dev/log", description="Path of a socket, or host:port (UDP)."
    )
    facility: Literal[
        "user",
        "daemon",
        "auth",
        "authpriv",
        "local0",
        "local1",
        "local2",
        "local3",
        "local4",
        "local5",
        "local6",
        "local7",
    ] = Field(default="daemon", description="Facility of the messages.")


class AlertSettings(Model):
    """Where alerts go. Without any channel they stay in the queue and show in status."""

    repeat_s: int = Field(
        default=86_400, ge=60, le=31_536_000, description="Pause before the same alert is sent once more."
    )
    webhook: WebhookSettings | None = Field(default=None, description="By HTTP POST.")
    smtp: SmtpSettings | None = Field(default=None, description="By mail.")
    syslog: SyslogSettings | None = Field(default=None, description="By syslog.")
