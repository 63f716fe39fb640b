"""Alerts by mail: SMTP with STARTTLS, verified."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.alert_channels import ChannelError
from compliance_agent.adapters.alert_channels.addresses import is_here
from compliance_agent.adapters.alert_channels.message import plain_text, subject
from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.deadline import Deadline
from compliance_agent.domain.scrub import scrub
from compliance_agent.errors import CredentialError

if TYPE_CHECKING:
    from compliance_agent.adapters.store import QueuedAlert

_PERMANENT: Final = 500


@dataclass(frozen=True, slots=True)
class SmtpChannel:
    """A mail server.

    Attributes:
        host: Name as its certificate has it.
        sender: Address that the mail comes from.
        recipients: Addresses that it goes to, at least one; each must be taken.
        port: TCP port.
        user: Login name; empty for none.
        password_file: Path of a file with the password, read at each delivery; needed with ``user``.
        starttls: Encrypt. Without it a login is possible at this machine only.
        ca_file: Path of the PEM file to trust instead of the system's authorities.
        timeout_s: Limit of connecting, and of each read.
        deadline_s: Limit of everything.
        name: What the queue keeps its tries under.

    """

    host: str
    sender: str
    recipients: tuple[str, ...]
    port: int = 587
    user: str = ""
    password_file: str | None = None
    starttls: bool = True
    ca_file: str | None = None
    timeout_s: float = 10.0
    deadline_s: float = 30.0
    name: str = "smtp"

    def __post_init__(self) -> None:
        """Refuse what would send a password in clear text, or nothing to nobody.

        Raises:
            ValueError: Login without STARTTLS or without a password file; no recipient; a line break.

        """
        if self.user and (self.password_file is None or not (self.starttls or is_here(self.host))):
            message = "a login at the mail server needs password_file, and starttls unless it is this machine"
            raise ValueError(message)
        addresses = (self.sender, *self.recipients)
        if not self.recipients or any(not address.isprintable() or not address for address in addresses):
            message = "a mail needs a sender and at least one recipient, each one line"
            raise ValueError(message)

    def deliver(self, queued: QueuedAlert) -> None:
        """Send the alert as one mail to all recipients.

        Raises:
            ChannelError: It was not taken, by all of them.

        """
        password = self._password()
        # Without a host it does not connect yet, so that the deadline covers the greeting, too.
        client = smtplib.SMTP(timeout=self.timeout_s)
        with Deadline(self.deadline_s, lambda: client.sock) as limit:
            try:
                self._converse(client, password, self._mail(queued))
            except (smtplib.SMTPException, OSError, ValueError) as error:
                raise self._refused(error, too_late=limit.passed) from error
            finally:
                client.close()

    def _converse(self, client: smtplib.SMTP, password: str, mail: EmailMessage) -> None:
        code, text = client.connect(self.host, self.port)
        if code != 220:  # noqa: PLR2004 - RFC 5321's "service ready"
            raise smtplib.SMTPConnectError(code, text)
        if self.starttls:
            # smtplib takes the name to verify from here, and connect() does not set it.
            client._host = self.host  # type: ignore[attr-defined]  # noqa: SLF001 - see above
            client.starttls(context=ssl.create_default_context(cafile=self.ca_file))
        if self.user:
            client.login(self.user, password)
        refused = client.send_message(mail)
        if refused:
            raise smtplib.SMTPRecipientsRefused(refused)
        with suppress(smtplib.SMTPException, OSError):  # the mail was taken, whatever happens to the farewell
            client.quit()

    def _mail(self, queued: QueuedAlert) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = subject(queued)
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        # The same for every try, so that a receiver can drop what it has.
        mail["Message-ID"] = f"<{queued.alert_id}@compliance-agent.invalid>"
        mail["Date"] = queued.last_raised_at
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(plain_text(queued))
        return mail

    def _password(self) -> str:
        if not self.user or self.password_file is None:
            return ""
        try:
            return CredentialReader().read_password(self.password_file, purpose="mail password").reveal()
        except CredentialError as error:
            raise ChannelError(f"mail: {error.message}", hint=error.hint, retryable=True) from error

    def _refused(self, error: Exception, *, too_late: bool) -> ChannelError:
        if too_late:
            return ChannelError(f"mail: not sent within {self.deadline_s:g} s", retryable=True)
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            codes = [code for code, _ in error.recipients.values()]
            who = ", ".join(sorted(error.recipients))
            return ChannelError(f"mail: refused for {who}", retryable=any(code < _PERMANENT for code in codes))
        if isinstance(error, smtplib.SMTPResponseException):
            text = (
                error.smtp_error if isinstance(error.smtp_error, str) else error.smtp_error.decode("utf-8", "replace")
            )
            answer = scrub(" ".join(text.split()))[:300]
            return ChannelError(
                f"mail: answered {error.smtp_code}: {answer}", retryable=not error.smtp_code >= _PERMANENT
            )
        hint = "check the server's certificate and ca_file" if isinstance(error, ssl.SSLError) else ""
        return ChannelError(f"mail: {type(error).__name__}: {scrub(str(error))[:300]}", hint=hint, retryable=True)
