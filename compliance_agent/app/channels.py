"""Ways out from the settings: alert channels, and the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compliance_agent.adapters.alert_channels import Channel
    from compliance_agent.adapters.control_plane import Uplink
    from compliance_agent.app.alert_settings import SyslogSettings
    from compliance_agent.app.control_plane_settings import ControlPlaneSettings
    from compliance_agent.app.settings import Settings


def channel_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the configured channels, without making them."""
    alerts = settings.alerts
    found = (("webhook", alerts.webhook), ("smtp", alerts.smtp), ("syslog", alerts.syslog))
    return tuple(name for name, one in found if one is not None)


def channels_of(settings: Settings) -> list[Channel]:
    """Make the configured channels; each is imported only where it is used."""
    channels: list[Channel] = []
    alerts = settings.alerts
    if alerts.webhook is not None:
        from compliance_agent.adapters.alert_channels.webhook import WebhookChannel  # noqa: PLC0415 - imports requests

        webhook = alerts.webhook
        channels.append(WebhookChannel(webhook.url, token_file=webhook.token_file, deadline_s=webhook.timeout_s))
    if alerts.smtp is not None:
        from compliance_agent.adapters.alert_channels.smtp import SmtpChannel  # noqa: PLC0415 - imports smtplib

        mail = alerts.smtp
        channels.append(
            SmtpChannel(
                host=mail.host,
                port=mail.port,
                sender=mail.from_,
                recipients=mail.to,
                starttls=mail.starttls,
                user=mail.user or "",
                password_file=mail.password_file,
            )
        )
    if alerts.syslog is not None:
        channels.append(_syslog(alerts.syslog))
    return channels


def uplink_of(site_id: str, settings: ControlPlaneSettings) -> Uplink:
    """Return the way to the control plane."""
    from compliance_agent.adapters.control_plane.https import HttpsUplink  # noqa: PLC0415 - imports requests

    return HttpsUplink(
        settings.url,
        settings.token_file,
        site_id=site_id,
        appliance_id=settings.appliance_id,
        ca_file=settings.ca_file,
        deadline_s=settings.timeout_s,
    )


def _syslog(settings: SyslogSettings) -> Channel:
    from compliance_agent.adapters.alert_channels.syslog import SyslogChannel  # noqa: PLC0415 - as above

    if settings.address.startswith("/"):
        return SyslogChannel(path=settings.address, facility=settings.facility)
    host, _, port = settings.address.rpartition(":")
    return SyslogChannel(host=host.removeprefix("[").removesuffix("]"), port=int(port), facility=settings.facility)
