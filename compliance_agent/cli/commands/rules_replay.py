"""``compliance-agent rules replay``: what would change between two rule sets, over recorded incidents."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Final

import click

from compliance_agent.adapters.input_files import open_lines
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, err_console, format_option, out_console, plural
from compliance_agent.cli.rule_input import read_rule_file, warn_of
from compliance_agent.domain.rule_comparison import ChangeKind, Comparison
from compliance_agent.domain.text import one_line
from compliance_agent.wire.json_document import read_ndjson, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.rule import Rule

LIMIT_DEFAULT: Final = 20
SPOOLED_MAX: Final = 8 << 20
"""Characters of a JSON document that are kept in memory; more go to a temporary file."""

TOLD_EVERY: Final = 1_000
"""Incidents between two updates of the live line on a terminal."""

TOLD_PLAINLY_EVERY: Final = 100_000
"""Incidents between two plain lines where standard error is no terminal."""

_TITLES: Final = {
    ChangeKind.UNCHANGED: "unchanged",
    ChangeKind.NEWLY_MATCHED: "newly matched",
    ChangeKind.NO_LONGER_MATCHED: "no longer matched",
    ChangeKind.OTHER_ACTION: "other action",
    ChangeKind.OTHER_RULE: "other rule, same action",
}


@click.command("replay", help="Say what would change between two rule files, over recorded incidents.")
@click.option(
    "--incidents",
    "incidents_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="One JSON object a line; - reads standard input.",
)
@click.option(
    "--rules",
    "before_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The rules as they are.",
)
@click.option(
    "--against",
    "after_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The rules as they would be.",
)
@click.option(
    "--limit",
    type=click.IntRange(0, 100_000),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="Most changes that a table shows; json and ndjson have all.",
)
@format_option
def command(incidents_path: Path, before_path: Path, after_path: Path, limit: int, output: str) -> int:
    """Compare; incidents are read one at a time, so the file may be of any length."""
    loaded = [read_rule_file(path) for path in (before_path, after_path)]
    for one in loaded:
        warn_of(one.aside)
    comparison = Comparison(loaded[0].rules, loaded[1].rules)
    first: list[dict[str, JsonValue]] = []
    with _progress() as tell:
        rows = _changes(comparison, incidents_path, tell)
        if output == Format.TABLE:
            first += islice(rows, limit)
            for _ in rows:  # counts the rest
                pass
        elif output == Format.JSON:
            _stream_json(rows, comparison)
        else:
            for row in rows:
                click.echo(write_json(row))
            click.echo(write_json({"summary": _summary(comparison)}))
    if output == Format.TABLE:
        _show(first, comparison, before_path, after_path)
    return Exit.DRIFT if comparison.changed else Exit.CLEAN


def _changes(
    comparison: Comparison, incidents_path: Path, tell: Callable[[int], None]
) -> Iterator[dict[str, JsonValue]]:
    """Yield a row for each incident whose answer changes."""
    with open_lines(incidents_path) as (lines, source):
        yield from _compare(comparison, lines, source, tell)


def _compare(
    comparison: Comparison, lines: Iterator[bytes], source: str, tell: Callable[[int], None]
) -> Iterator[dict[str, JsonValue]]:
    for done, (number, incident) in enumerate(read_ndjson(lines, source=source), start=1):
        kind, before, after = comparison.judge(incident)
        if kind is not ChangeKind.UNCHANGED:
            yield {
                "incident": number,
                "incident_id": incident.get("incident_id"),
                "change": kind.value,
                "before": _answer(before),
                "after": _answer(after),
            }
        tell(done)


def _answer(rule: Rule | None) -> JsonValue:
    return {"rule": rule.rule_id, "action": str(rule.action)} if rule else None


def _summary(comparison: Comparison) -> dict[str, JsonValue]:
    ids = sorted(comparison.wins_before.keys() | comparison.wins_after.keys())
    return {
        "incidents": comparison.changes.total(),
        "changed": comparison.changed,
        "changes": {kind.value: comparison.changes[kind] for kind in ChangeKind},
        "rules": [
            {"rule": one, "before": comparison.wins_before[one], "after": comparison.wins_after[one]} for one in ids
        ],
    }


def _stream_json(rows: Iterator[dict[str, JsonValue]], comparison: Comparison) -> None:
    """Write one document, all or nothing of it, without holding its rows in memory."""
    with SpooledTemporaryFile(SPOOLED_MAX, mode="w+", encoding="utf-8") as kept:
        kept.write('{"changes":[')
        for index, row in enumerate(rows):
            kept.write(("," if index else "") + write_json(row))
        kept.write(f'],"summary":{write_json(_summary(comparison))}}}')
        kept.seek(0)
        while piece := kept.read(SPOOLED_MAX // 8):
            click.echo(piece, nl=False)
    click.echo()


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Tell on standard error how many incidents are done: a live line on a terminal, a few plain ones elsewhere."""
    if sys.stderr.isatty():
        with err_console().status("0 incidents …", spinner="dots") as status:

            def update(done: int) -> None:
                if done % TOLD_EVERY == 0:
                    status.update(f"{done:,} incidents …")

            yield update
    else:
        yield _tell_plainly


def _tell_plainly(done: int) -> None:
    if done % TOLD_PLAINLY_EVERY == 0:
        click.echo(f"{done:,} incidents …", err=True)


def _show(first: list[dict[str, JsonValue]], comparison: Comparison, before_path: Path, after_path: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    console = out_console()
    total = comparison.changes.total()
    if not total:
        console.print(Text("There is no incident in the file: nothing was compared.", style="bold yellow"))
        return
    if not comparison.changed:
        console.print(Text(f"Nothing changes: {plural(total, 'incident')}, the same answers.", style="bold"))
        return
    head = f"{comparison.changed} of {plural(total, 'incident')} would get another answer."
    console.print(Text(head, style="bold"))
    console.print(Text(f"before: {before_path}\nafter:  {after_path}\n", style="dim"))
    for row in first:
        console.print(_line(row))
    if comparison.changed > len(first):
        more = f"… and {comparison.changed - len(first)} more; --limit shows more, -o ndjson all."
        console.print(Text(more, style="dim"))
    console.print()
    for kind in ChangeKind:
        console.print(Text(f"{comparison.changes[kind]:>8}  {_TITLES[kind]}"))
    console.print()
    table = Table(box=None, header_style="bold")
    table.add_column("RULE", overflow="fold")
    for title in ("BEFORE", "AFTER", "CHANGE"):
        table.add_column(title, justify="right")
    before, after = comparison.wins_before, comparison.wins_after
    for rule_id in sorted(before.keys() | after.keys(), key=lambda one: (-abs(after[one] - before[one]), one)):
        difference = after[rule_id] - before[rule_id]
        shown = f"{difference:+}" if difference else ""
        table.add_row(Text(rule_id), str(before[rule_id]), str(after[rule_id]), shown)
    console.print(table)


def _line(row: dict[str, JsonValue]) -> object:
    """Return one change as two lines, like a diff."""
    from rich.text import Text

    number, name = row["incident"], row["incident_id"]
    assert isinstance(number, int)  # noqa: S101 - built above
    title = f"line {number + 1}"
    if isinstance(name, str):
        title += f", incident {one_line(name)}"
    text = Text(f"{title}: {_TITLES[ChangeKind(str(row['change']))]}\n")
    text.append(f"  - {_told(row['before'])}\n", style="red")
    return text.append(f"  + {_told(row['after'])}", style="green")


def _told(answer: JsonValue) -> str:
    return one_line(f"{answer['rule']} → {answer['action']}") if isinstance(answer, dict) else "(no rule)"
