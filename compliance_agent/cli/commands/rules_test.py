"""``compliance-agent rules test``: incidents with the rules and the action that are expected of them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from compliance_agent.adapters.input_files import read_input
from compliance_agent.cli.case_results import judge_case, junit_xml
from compliance_agent.cli.common import settings_options
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, out_console, plural, print_json, print_ndjson
from compliance_agent.cli.rule_input import rules_file_option, rules_in_force, warn_of
from compliance_agent.domain.text import one_line
from compliance_agent.errors import InputError, InputProblem
from compliance_agent.wire.document import read_document
from compliance_agent.wire.rule_cases import read_rule_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from compliance_agent.cli.case_results import CaseResult
    from compliance_agent.cli.rule_input import LoadedRules
    from compliance_agent.wire.rule_cases import RuleCase

PASSED_SHOWN_MAX: Final = 50
"""Most passing cases that are listed by name."""


@click.command("test", help="Check that the rules answer recorded incidents as a file of cases expects.")
@click.argument("cases_path", metavar="CASES.yaml", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--junit",
    "junit_path",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the results as JUnit XML too.",
)
@rules_file_option
@settings_options
@format_option
def command(
    *, cases_path: Path, junit_path: Path | None, rules_path: Path | None, config: Path | None, output: str, local: bool
) -> int:
    """Run every case; exit with 2 when one fails, as with all that is not as it should be."""
    cases = read_rule_cases(read_document(read_input(cases_path), source=str(cases_path)))
    loaded = rules_in_force(rules_path, config, local=local)
    if rules_path is not None:
        warn_of(loaded.aside)
    results = [_timed(case, loaded) for case in cases]
    if junit_path is not None:
        _write(junit_path, junit_xml(results, source=str(cases_path)))
    failed = sum(not one.passed for one in results)
    if output == Format.JSON:
        print_json({"cases": [one.row() for one in results], "passed": len(results) - failed, "failed": failed})
    elif output == Format.NDJSON:
        print_ndjson(one.row() for one in results)
    else:
        _show(results, failed)
    return Exit.DRIFT if failed else Exit.CLEAN


def _timed(case: RuleCase, loaded: LoadedRules) -> CaseResult:
    started = time.perf_counter()
    result = judge_case(case, loaded)
    return replace(result, duration_s=time.perf_counter() - started)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise InputError([InputProblem(str(path), message, hint="name a file in a folder that is there")]) from error


def _show(results: Sequence[CaseResult], failed: int) -> None:
    from rich.text import Text

    from compliance_agent.cli.indented import Indented

    console = out_console()
    passed = len(results) - failed
    for one in results:
        if not one.passed:
            title = Text.assemble(("✗ ", "bold red"), (one_line(one.case.name), "bold"), (f"  {one.case.place}", "dim"))
            console.print(title)
            for line in one.lines():
                console.print(Indented(_styled(line), 4))
        elif passed <= PASSED_SHOWN_MAX:
            console.print(Text.assemble(("✓ ", "green"), one_line(one.case.name)))
    summary = f"{plural(len(results), 'case')}: {passed} passed, {failed} failed."
    console.print(Text(f"\n{summary}", style="bold red" if failed else "bold"))


def _styled(line: str) -> Text:
    from rich.text import Text

    style = {"-": "red", "+": "green"}.get(line[:1], "")
    return Text(line, style=style)
