"""``compliance-agent enroll``: make this appliance known to its control plane."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.app.assemble import state_path
from compliance_agent.cli.common import config_option, settings_for
from compliance_agent.cli.exits import Exit
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from compliance_agent.adapters.control_plane.enrolment import Enrolled
    from compliance_agent.app.control_plane_settings import ControlPlaneSettings
    from compliance_agent.app.settings import Settings

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_TOKEN_MAX: Final = 200


@click.command("enroll", help="Enrol this appliance with the control plane that the settings name.")
@click.option(
    "--token-file",
    metavar="FILE",
    help="File with the one-time token; without it the token is read from standard input, never from an argument.",
)
@click.option("--root-sha256", metavar="HEX", help="Fingerprint of the rules' root, as printed with the token.")
@click.option("--no-rules", is_flag=True, help="Take no rules from the control plane: pin no root.")
@click.option("--replace", is_flag=True, help="Enrol again: replace the credential and the root that are there.")
@config_option
def command(
    token_file: str | None, root_sha256: str | None, config: Path | None, *, no_rules: bool, replace: bool
) -> int:
    """Write the credential to ``control_plane.token_file`` and pin the root; nothing half-way."""
    settings = settings_for(config)
    control_plane = settings.control_plane
    if control_plane is None:
        raise ComplianceAgentError(
            "the settings name no control plane", hint="add control_plane: with url, appliance_id and token_file"
        )
    if (root_sha256 is None) != no_rules:
        raise click.UsageError("name --root-sha256 HEX, as printed with the token, or --no-rules.")
    wanted = (root_sha256 or "").strip().lower().replace(":", "")
    if wanted and not _FINGERPRINT.fullmatch(wanted):
        raise click.UsageError("--root-sha256 has 64 hexadecimal digits.")
    _refuse_to_overwrite(settings, control_plane, replace=replace)
    enrolled = _enrol(settings, control_plane, _token(token_file))
    if enrolled.site_id != settings.site_id:
        raise ComplianceAgentError(
            f"the token is for the site {enrolled.site_id}, these settings are for {settings.site_id}",
            hint="nothing was written; mend site_id, or ask for a token of this site",
        )
    if wanted and not enrolled.trusted_root:
        raise ComplianceAgentError(
            "the control plane signs no rules (it was started without --signing)",
            hint="nothing was written: ask for a new token, and enrol with --no-rules or when it does",
        )
    if wanted and enrolled.fingerprint != wanted:
        raise ComplianceAgentError(
            f"the control plane's root is {enrolled.fingerprint}, not {wanted}",
            hint="nothing was written: either the fingerprint is another server's, or this is not your server",
        )
    _keep(settings, control_plane, enrolled, pin=bool(wanted))
    click.echo(f"{control_plane.appliance_id} is enrolled for {enrolled.site_id}.")
    click.echo(f"The credential is in {control_plane.token_file}.")
    if wanted:
        click.echo("Rules are believed from this root on; the first ones come within a minute of a running agent.")
    return Exit.CLEAN


def _token(token_file: str | None) -> str:
    if token_file is not None:
        return CredentialReader().read_password(token_file, purpose="enrolment token").reveal()
    if sys.stdin.isatty():
        return str(click.prompt("One-time token", hide_input=True))
    token = sys.stdin.read(_TOKEN_MAX + 1).strip()
    if not token or len(token) > _TOKEN_MAX or not token.isprintable():
        raise ComplianceAgentError("standard input holds no token", hint="central-command sites token SITE prints one")
    return token


def _refuse_to_overwrite(settings: Settings, control_plane: ControlPlaneSettings, *, replace: bool) -> None:
    from compliance_agent.adapters.synced_rules import TRUSTED_ROOT, synced_folder

    if settings.state_dir is None:
        raise ComplianceAgentError("these settings keep no state", hint="use a settings file: -c FILE")
    there = [Path(control_plane.token_file), synced_folder(settings.state_dir) / TRUSTED_ROOT]
    if not replace and (found := [path for path in there if path.exists()]):
        raise ComplianceAgentError(f"{found[0]} is there already", hint="to enrol again: enroll --replace")
    if not there[0].parent.is_dir():
        raise ComplianceAgentError(
            f"the folder {there[0].parent} of control_plane.token_file is not there", hint="make it, or name another"
        )


def _enrol(settings: Settings, control_plane: ControlPlaneSettings, token: str) -> Enrolled:
    from compliance_agent.adapters.control_plane.enrolment import enrol
    from compliance_agent.adapters.control_plane.exchange import Address
    from compliance_agent.app.assemble import open_recording
    from compliance_agent.app.evidence import key_store
    from compliance_agent.cli.common import ProgressEvents

    keys = key_store(settings.evidence, state_path(settings).parent)
    with open_recording(settings, ProgressEvents(0, verbose=False)) as store:  # makes the key where there is none
        wanted = store.evidence.status().key_id
    public_key = (keys.of(wanted) if wanted else keys.first()).public_key
    address = Address(control_plane.url, control_plane.ca_file, deadline_s=control_plane.timeout_s)
    return enrol(address, token, appliance_id=control_plane.appliance_id, public_key=public_key)


def _keep(settings: Settings, control_plane: ControlPlaneSettings, enrolled: Enrolled, *, pin: bool) -> None:
    """Write the root first: with a root alone nobody is asked, and enrolling again mends it."""
    from compliance_agent.adapters.synced_rules import TRUSTED_ROOT, forget_synced, synced_folder
    from compliance_agent.adapters.whole_file import write_whole

    assert settings.state_dir is not None  # noqa: S101 - looked at before
    try:
        path = synced_folder(settings.state_dir) / TRUSTED_ROOT
        if not (pin and path.exists() and path.read_bytes() == enrolled.trusted_root):
            forget_synced(settings.state_dir)  # what another root signed is believed no more
        if pin:
            write_whole(path, enrolled.trusted_root)
        write_whole(Path(control_plane.token_file), enrolled.credential.encode() + b"\n")
    except OSError as error:
        raise ComplianceAgentError(
            f"{error.filename or control_plane.token_file} cannot be written: {error.strerror}",
            hint="make room or mend the folder, ask for a new token, and enrol again with --replace",
        ) from error
