"""``central-command keys``: the ceremony, and what follows it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from central_command.signing.keys import ONLINE_KEYS
from central_command.signing.repository import found, renew


@click.group()
def keys() -> None:
    """The keys that sign rules."""


@keys.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def keys_init(folder: Path) -> None:
    """Make all keys, the root and the first targets in a new FOLDER. Do it once, on a machine that you trust."""
    found(folder, now=datetime.now(UTC))
    click.echo(
        f"{folder / 'offline'}: take root-1, root-2 and root-3 to three places, targets to a fourth; two roots make"
        f" a new root.\n  Then remove this folder: a server that has one of these keys refuses to start.\n"
        f"{folder / 'central'}: goes to the server, for its user alone: central-command serve --signing FOLDER.\n"
        "The targets live 30 days, the root a year: central-command keys renew CENTRAL --offline FOLDER in time."
    )


@keys.command("renew")
@click.argument("central", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--offline", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True)
@click.option("--root", "with_root", is_flag=True, help="The root, too: needs two of its keys.")
@click.option(
    "--rotate",
    multiple=True,
    type=click.Choice(ONLINE_KEYS),
    help="Replace an online key, after a break-in: what it signed is believed no more. Repeatable.",
)
def keys_renew(central: Path, offline: Path, rotate: tuple[str, ...], *, with_root: bool) -> None:
    """Sign the targets anew, with the offline keys, for 30 days; a server that is started again takes them up."""
    renew(central, offline, now=datetime.now(UTC), with_root=with_root, rotate=rotate)
    click.echo("signed anew: the targets and the root" if with_root else "signed anew: the targets")
    for name in rotate:
        click.echo(f"{name} has a new key")
