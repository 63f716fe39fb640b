"""The reference of the commands says what the commands have, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from central_command.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "central-command.md"


def _commands(group: click.Group, above: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    for name, command in group.commands.items():
        path = f"{above} {name}".strip()
        if isinstance(command, click.Group):
            yield from _commands(command, path)
        else:
            options = (one for one in command.params if isinstance(one, click.Option))
            yield path, frozenset(text for one in options for text in one.opts if text.startswith("--"))


def test_every_command_and_option_stands_in_the_reference_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z ]+)` \|([^|]*)\|", _PAGE.read_text().split("## Exit codes")[0], re.MULTILINE)
    told = {name: frozenset(re.findall(r"--[a-z-]+", options)) for name, options in rows}
    assert told == dict(_commands(main))
