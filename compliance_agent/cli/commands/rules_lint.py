"""``compliance-agent rules lint``: what is doubtful about the rules, found without any incident."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.rule_files import load_rule_files
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.app.content import Content, load_content
from compliance_agent.cli.common import refuse_both, settings_for, settings_options
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson
from compliance_agent.domain.rule import RuleSource
from compliance_agent.domain.rule_lint import Severity, lint
from compliance_agent.domain.text import one_line
from compliance_agent.engine.admission import admit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule_lint import Finding, LintReport

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


@click.command("lint", help="Look for rules that can never act, duplicates, and fields that no check reports.")
@click.argument("paths", metavar="[FILE]...", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--strict", is_flag=True, help="Warnings end with 1 too, not only errors.")
@settings_options
@format_option
def command(paths: tuple[Path, ...], config: Path | None, output: str, *, local: bool, strict: bool) -> int:
    """Lint the rules of the files (or folders), or else those of the settings with the built-in ones.

    The checks that the rules are held against are those of the settings, else the built-in ones.
    """
    content = _of_files(paths, config, local=local) if paths else load_content(settings_for(config, local=local))
    report = lint(content.rules, content.quarantined, content.catalogue)
    if output == Format.JSON:
        print_json(_document(report, content))
    elif output == Format.NDJSON:
        print_ndjson(_row(finding) for finding in report.findings)
    else:
        _show(report, content)
    bad = report.has_errors or (strict and any(one.severity is Severity.WARNING for one in report.findings))
    return Exit.ERROR if bad else Exit.CLEAN


def _of_files(paths: Sequence[Path], config: Path | None, *, local: bool) -> Content:
    read, malformed = load_rule_files(paths, RuleSource.LOCAL)
    catalogue = _catalogue(config, local=local)
    rules, refused = admit(read, catalogue)
    return Content(catalogue, rules, (*malformed, *refused))


def _catalogue(config: Path | None, *, local: bool) -> Catalogue:
    refuse_both(config, local=local)
    if config is None:
        return load_catalogue([builtin_runbooks_path()])
    return load_catalogue([builtin_runbooks_path(), *settings_for(config).runbook_paths])


def _row(finding: Finding) -> dict[str, JsonValue]:
    return {
        "severity": finding.severity.value,
        "kind": finding.kind.value,
        "rule": finding.rule_id,
        "place": finding.place,
        "message": finding.message,
        "hint": finding.hint,
        "other_rule": finding.other_rule_id or None,
    }


def _document(report: LintReport, content: Content) -> dict[str, JsonValue]:
    return {
        "rules": len(content.rules) + len(content.quarantined),
        "complete": report.complete,
        "findings": [_row(finding) for finding in report.findings],
    }


def _show(report: LintReport, content: Content) -> None:
    from rich.markup import escape

    console = out_console()
    for finding in report.findings:
        head = f"{escape(one_line(finding.place))}: [{_STYLE[finding.severity]}]{finding.severity.value}[/]"
        name = escape(one_line(finding.rule_id))
        console.print(f"{head} {finding.kind.value} {name}: {escape(one_line(finding.message))}", soft_wrap=True)
        if finding.hint:
            console.print(f"    {escape(one_line(finding.hint))}", style="dim", soft_wrap=True)
    errors = sum(finding.severity is Severity.ERROR for finding in report.findings)
    warnings = sum(finding.severity is Severity.WARNING for finding in report.findings)
    judged = plural(len(content.rules) + len(content.quarantined), "rule")
    found = f"{plural(errors, 'error')}, {plural(warnings, 'warning')}" if report.findings else "no problem found"
    notes = len(report.findings) - errors - warnings
    console.print(f"{judged} judged, {found}{f', {notes} for information' if notes else ''}.")
    if not report.complete:
        console.print("There are too many alike to compare each rule with each; some that hide others may be missing.")
