"""``compliance-agent targets``: add a machine without a rebuild, try it, remove it."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.known_hosts import fetch_host_keys, pin, unpin
from compliance_agent.adapters.target_files import (
    add_managed_target,
    managed_known_hosts_path,
    remove_managed_target,
)
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.settings import load_settings
from compliance_agent.cli.common import (
    ProgressEvents,
    choose_targets,
    config_option,
    configure_logs,
    settings_for,
    settings_options,
)
from compliance_agent.cli.exits import Exit, worst
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson
from compliance_agent.domain.target import TransportKind
from compliance_agent.engine.scan import scan_target
from compliance_agent.errors import StoreError, TransportError, TransportFault

if TYPE_CHECKING:
    from compliance_agent.adapters.transports.host_key import HostKey
    from compliance_agent.app.assemble import Agent
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.target import Target


@click.group("targets", help="List, add, test and remove targets.")
def command() -> None:
    """Group of commands about targets."""


@command.command("list", help="List the targets of the settings, and those added here.")
@settings_options
@format_option
def list_targets(config: Path | None, output: str, *, local: bool) -> int:
    """List targets."""
    settings = settings_for(config, local=local)
    written = settings.target_places()
    rows: list[dict[str, JsonValue]] = [
        {
            "target": target.target_id,
            "address": target.address,
            "user": target.user,
            "become": target.become.value,
            "mode": target.mode.value,
            "tags": list(target.tags),
            "place": written.get(target.target_id, "added by targets add"),
        }
        for target in settings.targets()
    ]
    if output == Format.JSON:
        print_json({"targets": list(rows)})
    elif output == Format.NDJSON:
        print_ndjson(rows)
    else:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, header_style="bold")
        for title in ("TARGET", "ADDRESS", "USER", "BECOME", "MODE", "FROM"):
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*(escape(str(row[key])) for key in ("target", "address", "user", "become", "mode", "place")))
        out_console().print(table)
    return Exit.CLEAN


@command.command("test", help="Log in to targets and say what is missing. Changes nothing.")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@settings_options
def test(ids: tuple[str, ...], config: Path | None, *, local: bool) -> int:
    """Try targets, all of them without ID."""
    settings = settings_for(config, local=local)
    configure_logs(verbose=False)
    with assemble(settings, access=Access.NONE, events=ProgressEvents(0, verbose=False)) as agent:
        return worst([_try(agent, target) for target in choose_targets(settings, ids)])


def _try(agent: Agent, target: Target) -> Exit:
    """Log in, ask the machine what it is, and say what works."""
    scan = scan_target(agent.engine, target, (), now=SystemClock().now())
    if scan.unreached is not None:
        click.echo(f"✗ {target.target_id}: {scan.unreached.fault.value}: {scan.unreached.message}")
        if scan.unreached.hint:
            click.echo(f"    {scan.unreached.hint}")
        return Exit.UNREACHABLE
    if scan.host is None:
        click.echo(f"✗ {target.target_id}: the login works, but the machine did not say what it is")
        return Exit.ERROR
    host = scan.host
    system = " ".join(part for part in (host.os_id, host.os_version) if part)
    click.echo(
        f"✓ {target.target_id}: {target.address} is {host.hostname}, {system}, {round(scan.duration_s * 1000)} ms"
    )
    if not host.is_root:
        click.echo("    not root: some checks will be not_assessed and nothing is healed; set become: sudo")
    return Exit.CLEAN


@command.command("add", help="Add a machine: show its host key, pin it after a yes, and try the login.")
@click.argument("target_id", metavar="ID")
@click.option("--host", required=True, help="Name or address.")
@click.option("--port", default=22, show_default=True, type=click.IntRange(1, 65535))
@click.option("--user", required=True, help="Login name.")
@click.option("--identity-file", type=click.Path(path_type=Path), help="Private key, by path.")
@click.option("--password-file", type=click.Path(path_type=Path), help="File that holds the login password.")
@click.option("--become", type=click.Choice(["none", "sudo"]), default="none", show_default=True)
@click.option("--become-password-file", type=click.Path(path_type=Path), help="File that holds the sudo password.")
@click.option("--mode", type=click.Choice(["observe", "enforce"]), default="observe", show_default=True)
@click.option("--fingerprint", metavar="SHA256:...", help="Pin only a key with this fingerprint, without asking.")
@click.option(
    "--host-key", metavar="SHA256:...", help="Trust this host key alone, by the entry; pin nothing, ask nothing."
)
@click.option("--certificate", type=click.Path(path_type=Path), help="OpenSSH certificate of the private key, by path.")
@click.option("--via", metavar="NAME", help="Go through this target or jump host; needs --host-key.")
@config_option
def add(  # noqa: PLR0913, PLR0917 - one parameter an option
    target_id: str,
    host: str,
    port: int,
    user: str,
    identity_file: Path | None,
    password_file: Path | None,
    become: str,
    become_password_file: Path | None,
    mode: str,
    fingerprint: str | None,
    host_key: str | None,
    certificate: Path | None,
    via: str | None,
    config: Path | None,
) -> int:
    """Add one machine over SSH."""
    settings = settings_for(config)
    if settings.state_dir is None:
        raise StoreError("these settings keep no state", hint="use a settings file: -c FILE")
    _refuse_ways(settings, via=via, host_key=host_key, fingerprint=fingerprint)
    asked = host_key is None
    keys = _agree_on_keys(host, port, fingerprint, timeout_s=settings.ssh.connect_timeout_s) if asked else []
    entry: dict[str, JsonValue] = {"id": target_id, "transport": "ssh", "host": host, "port": port, "user": user}
    entry |= {"become": become, "mode": mode}
    files = {
        "identity_file": identity_file,
        "password_file": password_file,
        "become_password_file": become_password_file,
        "certificate_file": certificate,
    }
    entry |= {key: str(path.absolute()) for key, path in files.items() if path is not None}
    entry |= {key: value for key, value in {"host_key": host_key, "via": via}.items() if value is not None}
    add_managed_target(settings.state_dir, entry, taken=settings.target_places())
    for key in keys:
        pin(managed_known_hosts_path(settings.state_dir), host, port, key)
    trusted = f"{plural(len(keys), 'host key')} pinned" if asked else "the host key of its entry alone is trusted"
    click.echo(f"Added {target_id}; {trusted}. Trying the login …")
    result = _try_added(settings, target_id)
    if result is not Exit.CLEAN:
        click.echo(f"{target_id} is kept; mend the above and run: compliance-agent targets test {target_id}")
    elif mode == "observe":
        click.echo(f"{target_id} is only observed. To heal it, remove it and add it again with --mode enforce.")
    return result


def _refuse_ways(settings: Settings, *, via: str | None, host_key: str | None, fingerprint: str | None) -> None:
    """Refuse what would not be what it seems: a way that is not there, or a key that nobody has compared."""
    if host_key is not None and fingerprint is not None:
        raise click.UsageError("--host-key and --fingerprint exclude each other.")
    if via is None:
        return
    known = {one.target_id for one in settings.targets() if one.transport is TransportKind.SSH}
    known |= {one.id for one in settings.ssh.jump_hosts}
    if via not in known:
        raise click.UsageError(f"there is no way through {via}; known: {', '.join(sorted(known)) or 'none'}.")
    if host_key is None:
        raise click.UsageError(
            "behind another machine the host key cannot be shown from here; give its fingerprint: --host-key SHA256:..."
        )


def _try_added(settings: Settings, target_id: str) -> Exit:
    again = load_settings(Path(settings.source))
    configure_logs(verbose=False)
    with assemble(again, access=Access.NONE, events=ProgressEvents(0, verbose=False)) as agent:
        return _try(agent, choose_targets(again, [target_id])[0])


def _agree_on_keys(host: str, port: int, fingerprint: str | None, *, timeout_s: float) -> list[HostKey]:
    """Fetch the host keys and return those that a person, or ``--fingerprint``, vouches for."""
    keys = fetch_host_keys(host, port, timeout_s=timeout_s)
    if fingerprint is not None:
        chosen = [key for key in keys if key.fingerprint == fingerprint]
        if not chosen:
            offered = ", ".join(f"{key.key_type} {key.fingerprint}" for key in keys)
            raise TransportError(
                TransportFault.HOST_KEY_CHANGED,
                f"{host}:{port} has no key with the fingerprint {fingerprint}; it offers {offered}",
                hint="look at the machine's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
            )
        return chosen
    click.echo(f"{host}:{port} shows these host keys:")
    for key in keys:
        click.echo(f"  {key.key_type} {key.fingerprint}")
    click.echo("Compare with the machine's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
    if not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: standard input is no terminal. Add --fingerprint SHA256:...")
    click.confirm("Are they the same? Pin them?", default=False, abort=True)
    return keys


@command.command("remove", help="Remove a machine that was added here, and its pinned host keys.")
@click.argument("target_id", metavar="ID")
@config_option
def remove(target_id: str, config: Path | None) -> int:
    """Remove one machine."""
    settings = settings_for(config)
    target = choose_targets(settings, [target_id])[0]
    place = settings.target_places().get(target_id)
    if place is not None or settings.state_dir is None:
        raise click.UsageError(f"{target_id} stands in the settings file at {place}; take it out there.")
    behind = [one.target_id for one in settings.targets() if one.via is not None and one.via.target_id == target_id]
    if behind:
        raise click.UsageError(f"{', '.join(behind)} is reached through {target_id}; remove that first.")
    remove_managed_target(settings.state_dir, target_id)
    others = [one for one in settings.targets() if one.target_id != target_id]
    if target.transport is TransportKind.SSH and all((o.host, o.port) != (target.host, target.port) for o in others):
        with suppress(FileNotFoundError):
            unpin(managed_known_hosts_path(settings.state_dir), target.host, target.port)
    click.echo(f"Removed {target_id}.")
    return Exit.CLEAN
