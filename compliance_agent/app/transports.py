"""The transports that settings ask for, made and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.domain.target import TransportKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.app.settings import Settings
    from compliance_agent.engine.context import Engine
    from compliance_agent.engine.ports import Transport


def close_transports(engine: Engine) -> None:
    """Close the connections that an engine keeps."""
    for transport in engine.transports.values():
        transport.close()


def connects_as(settings: Settings) -> object:
    """Return all settings that a transport is made of; the ways through jump hosts belong to the targets."""
    return settings.ssh.model_dump(exclude={"jump_hosts"}), settings.known_hosts_paths, settings.winrm.model_dump()


def make_transports(settings: Settings) -> Mapping[TransportKind, Transport]:
    """Return one transport a kind; SSH and WinRM are imported only where a target needs them."""
    credentials = CredentialReader()
    transports: dict[TransportKind, Transport] = {TransportKind.LOCAL: LocalTransport(credentials)}
    if any(target.transport is TransportKind.SSH for target in settings.targets()):
        from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport  # noqa: PLC0415 - 0.2 s of imports

        options = SshOptions(
            connect_timeout_s=settings.ssh.connect_timeout_s,
            banner_timeout_s=settings.ssh.banner_timeout_s,
            auth_timeout_s=settings.ssh.auth_timeout_s,
            channel_timeout_s=settings.ssh.channel_timeout_s,
            keepalive_s=settings.ssh.keepalive_s,
            idle_limit_s=settings.ssh.idle_limit_s,
            age_limit_s=settings.ssh.relogin_s,
            kept_max=settings.ssh.kept_max,
        )
        transports[TransportKind.SSH] = SshTransport(options, KnownHosts(settings.known_hosts_paths), credentials)
    if any(target.transport is TransportKind.WINRM for target in settings.targets()):
        from compliance_agent.adapters.transports.winrm import WinRmOptions, WinRmTransport  # noqa: PLC0415 - as above

        transports[TransportKind.WINRM] = WinRmTransport(
            WinRmOptions(settings.winrm.connect_timeout_s, settings.winrm.operation_timeout_s), credentials
        )
    return transports
