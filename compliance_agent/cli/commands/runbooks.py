"""``compliance-agent runbooks``: what this appliance can check and heal."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.runbook_check import content_problems
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.shellcheck import find_shellcheck
from compliance_agent.app.content import load_content
from compliance_agent.cli.commands import runbooks_test
from compliance_agent.cli.common import settings_for, settings_options
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson
from compliance_agent.domain.pattern_nodes import show
from compliance_agent.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compliance_agent.domain.catalogue import Catalogue, CompiledRunbook
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.runbook import Phase

_TEXT_MAX = 2_000
"""Most characters of a pattern or table that are shown."""


@click.group("runbooks", help="List, show and test the runbooks, and check their files.")
def command() -> None:
    """Group of commands about runbooks."""


command.add_command(runbooks_test.command)


@command.command("list", help="List the runbooks of this appliance.")
@settings_options
@format_option
def list_runbooks(config: Path | None, output: str, *, local: bool) -> int:
    """List all runbooks."""
    catalogue = _catalogue(config, local=local)
    rows = [_row(compiled) for compiled in catalogue]
    if output == Format.JSON:
        print_json({"runbooks": list(rows)})
    elif output == Format.NDJSON:
        print_ndjson(rows)
    else:
        _show_list(rows)
    return Exit.CLEAN


@command.command("show", help="Show one runbook: what it checks, when it passes, what it would do.")
@click.argument("runbook_id", metavar="ID")
@settings_options
@format_option
def show_runbook(runbook_id: str, config: Path | None, output: str, *, local: bool) -> int:
    """Show one runbook."""
    catalogue = _catalogue(config, local=local)
    compiled = catalogue.get(runbook_id)
    if compiled is None:
        known = ", ".join(one.id for one in catalogue)
        raise click.UsageError(f"there is no runbook {runbook_id}; known: {known}.")
    if output == Format.TABLE:
        _show_one(compiled)
    else:
        runbook = json.loads(compiled.runbook.model_dump_json(by_alias=True), parse_float=Decimal)
        print_json({**runbook, "digest": compiled.digest})
    return Exit.CLEAN


@command.command("check", help="Check runbook files; without PATH those of this appliance.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
def check(paths: tuple[Path, ...]) -> int:
    """Check files; every problem is shown with file, line and remedy.

    Schema, patterns and parameters of all; scripts, references and citations of PATH alone where one is named.
    """
    catalogue = load_catalogue([builtin_runbooks_path(), *paths])
    program = find_shellcheck()
    problems = content_problems(paths or [builtin_runbooks_path()], program=program)
    if problems:
        raise InputError(problems)
    if program is None:
        click.echo("note: ShellCheck is not installed; the scripts were checked without it.", err=True)
    click.echo(f"{plural(len(catalogue), 'runbook')} checked, no problem found.")
    return Exit.CLEAN


def _catalogue(config: Path | None, *, local: bool) -> Catalogue:
    """Return the catalogue; without any option and without a settings file the built-in one."""
    if config is None and not local:
        try:
            return load_content(settings_for(None)).catalogue
        except click.UsageError:
            return load_catalogue([builtin_runbooks_path()])
    return load_content(settings_for(config, local=local)).catalogue


def _row(compiled: CompiledRunbook) -> dict[str, JsonValue]:
    runbook = compiled.runbook
    return {
        "runbook": runbook.id,
        "version": runbook.version,
        "title": runbook.title,
        "check_type": runbook.check_type,
        "severity": runbook.severity,
        "hipaa": list(runbook.controls.hipaa),
        "platforms": list(runbook.platforms),
        "remedy": runbook.remediate is not None,
        "disruption": runbook.effects.disruption,
        "reversible": runbook.rollback is not None,
        "digest": compiled.digest,
        "place": compiled.place,
    }


def _show_list(rows: list[dict[str, JsonValue]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title in ("RUNBOOK", "SEVERITY", "HIPAA", "HEALS", "UNDO", "TITLE"):
        table.add_column(title, overflow="fold", no_wrap=title in {"RUNBOOK", "HIPAA"})
    for row in rows:
        hipaa = row["hipaa"]
        table.add_row(
            str(row["runbook"]),
            str(row["severity"]),
            "\n".join(str(one) for one in hipaa) if isinstance(hipaa, list) else "",
            "yes" if row["remedy"] else "no",
            "yes" if row["reversible"] else "-",
            str(row["title"]),
        )
    console = out_console()
    console.print(table)
    console.print(f"\n{plural(len(rows), 'runbook')}.")


def _show_one(compiled: CompiledRunbook) -> None:
    from rich.markup import escape
    from rich.syntax import Syntax

    runbook, console = compiled.runbook, out_console()
    console.print(f"[bold]{runbook.id}[/] version {runbook.version}: {escape(runbook.title)}")
    if runbook.description:
        console.print(escape(runbook.description.strip()))
    parameters = compiled.parameters({}) if all(p.default is not None for p in runbook.parameters.values()) else {}
    facts: Mapping[str, object] = {
        "supports": f"HIPAA {', '.join(runbook.controls.hipaa)}; NIST 800-53 {', '.join(runbook.controls.nist_800_53)}",
        "severity": runbook.severity,
        "applies when": show(runbook.applies_when, _TEXT_MAX) if runbook.applies_when else "always",
        "passes when": show(runbook.pass_when, _TEXT_MAX),
        "parameters": show(parameters, _TEXT_MAX) if parameters else "none",
        "effects": f"disruption {runbook.effects.disruption}, reboot {runbook.effects.reboot}, "
        f"{'reversible' if runbook.effects.reversible else 'not reversible'}",
        "references": ", ".join(runbook.references) or "none",
        "digest": compiled.digest,
        "file": compiled.place,
    }
    for name, value in facts.items():
        console.print(f"  {name + ':':14} {escape(str(value))}")
    for name, phase in (("detect", runbook.detect), ("remediate", runbook.remediate), ("rollback", runbook.rollback)):
        if phase is None:
            console.print(f"\n[bold]{name}[/]: none ({escape(runbook.no_remedy_reason or 'nothing to undo')})")
            continue
        console.print(f"\n[bold]{name}[/] as {phase.privilege}, at most {phase.timeout_s} s a step")
        for text in _phase_texts(phase):
            console.print(Syntax(text, "sh", background_color="default", word_wrap=True))


def _phase_texts(phase: Phase) -> list[str]:
    texts = []
    for step in phase.steps:
        if step.script is not None:
            texts.append(step.script.rstrip())
        else:
            texts.append(f"# resource {step.resource} with {show(step.with_, _TEXT_MAX)}")
    return texts
