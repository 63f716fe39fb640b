"""Examinations and rehearsals of runbooks, as a report for programs and as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from compliance_agent.adapters.version import version
from compliance_agent.cli.exits import Exit, worst
from compliance_agent.cli.output import plural
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.scrub import ScrubError, scrub_document
from compliance_agent.domain.scrubbing.detectors import REMOVED
from compliance_agent.domain.text import one_line
from compliance_agent.engine.rehearse import Ending, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import Console

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.observation import HostFacts
    from compliance_agent.domain.pattern_nodes import Clause
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.rehearse import Examination

SCHEMA: Final = "runbook-test/v1"
_TEXT_MAX: Final = 2_000
_NAMES_NO_MACHINE: Final = ("hostname", "login_user")
"""Facts of the host that say whose machine it is; a report that is sent on leaves them out."""
_STYLES: Final = {"pass": "green", "fail": "bold red", "error": "bold red", "restored": "green"}

_OF_VERDICT: Final = {
    Verdict.PASS: Exit.CLEAN,
    Verdict.NOT_APPLICABLE: Exit.CLEAN,
    Verdict.NOT_ASSESSED: Exit.CLEAN,
    Verdict.FAIL: Exit.DRIFT,
    Verdict.ERROR: Exit.ERROR,
}
_OF_ENDING: Final = {
    Ending.NOT_POSSIBLE: Exit.DRIFT,
    Ending.HELD: Exit.HELD,
    Ending.FAILED: Exit.ERROR,
    Ending.NOT_RESTORED: Exit.ERROR,
    Ending.RESTORED: Exit.CLEAN,
}


def exit_of_tests(tried: Sequence[Rehearsal | Examination]) -> Exit:
    """Return the exit code of some examinations or rehearsals."""
    return worst(_exit_of(one) for one in tried)


def _exit_of(one: Rehearsal | Examination) -> Exit:
    found = _examination(one)
    if found.scan.unreached is not None:
        return Exit.UNREACHABLE
    if isinstance(one, Rehearsal) and one.ending is not Ending.NOT_NEEDED:
        return _OF_ENDING[one.ending]
    return _OF_VERDICT[found.observation.verdict] if found.observation is not None else Exit.ERROR


def _examination(one: Rehearsal | Examination) -> Examination:
    return one.examination if isinstance(one, Rehearsal) else one


def report(
    tried: Sequence[Rehearsal | Examination], target: Target, *, at: datetime, heal: bool
) -> dict[str, JsonValue]:
    """Return the report: what ran on what, scrubbed, without the machine's name, address and login."""
    host = next((one.scan.host for one in map(_examination, tried) if one.scan.host is not None), None)
    return {
        "schema": SCHEMA,
        "version": version(),
        "at": at.isoformat(timespec="seconds"),
        "target": target.target_id,
        "transport": target.transport.value,
        "become": target.become.value,
        "heal": heal,
        "host": _host(host),
        "runbooks": [row_of(one) for one in tried],
        "exit_code": int(exit_of_tests(tried)),
    }


def _host(host: HostFacts | None) -> dict[str, JsonValue] | None:
    if host is None:
        return None
    return {name: value for name, value in host.document().items() if name not in _NAMES_NO_MACHINE}


def row_of(one: Rehearsal | Examination) -> dict[str, JsonValue]:
    """Return one runbook's result, scrubbed; of what the scrubber is not sure of only the verdict is left."""
    row = _row(one)
    try:
        return scrub_document(row, length_max=_TEXT_MAX)
    except ScrubError:
        return {**{key: row[key] for key in ("runbook", "version", "digest", "verdict")}, "reason": REMOVED}


def _row(one: Rehearsal | Examination) -> dict[str, JsonValue]:
    found = _examination(one)
    runbook, seen, unreached = found.runbook.runbook, found.observation, found.scan.unreached
    clauses = found.clauses
    row: dict[str, JsonValue] = {
        "runbook": runbook.id,
        "version": runbook.version,
        "digest": found.runbook.digest,
        "title": runbook.title,
        "severity": runbook.severity,
        "parameters": dict(found.parameters),
        "verdict": seen.verdict.value if seen else "unreachable",
        "reason": seen.reason if seen else (unreached.message if unreached else ""),
        "facts": dict(seen.facts) if seen else {},
        "applies_when": [_clause(clause) for clause in clauses.applies] if clauses else [],
        "pass_when": [_clause(clause) for clause in clauses.passes] if clauses else [],
        "would": found.work.summary if found.work else "",
        "why_not": found.why_not,
        "duration_ms": round(found.scan.duration_s * 1000),
        "rehearsal": _rehearsal(one) if isinstance(one, Rehearsal) else None,
    }
    return row


def _clause(clause: Clause) -> dict[str, JsonValue]:
    return {"field": clause.path, "expected": clause.expected, "actual": clause.actual, "holds": clause.holds}


def _rehearsal(one: Rehearsal) -> dict[str, JsonValue]:
    steps = [*(one.outcome.steps if one.outcome else ()), *(one.undone.execution.records if one.undone else ())]
    begun = one.attempt.begun_at if one.attempt else None
    return {
        "ending": one.ending.value,
        "reason": one.reason,
        "attempt": one.attempt.attempt_id if one.attempt else None,
        "outcome": one.outcome.kind.value if one.outcome else None,
        "changed": list(one.changed),
        "differences": list(one.differences),
        "heal_ms": round((one.outcome.at - begun).total_seconds() * 1000) if one.outcome and begun else None,
        "rollback_ms": round(one.undone.execution.duration_s * 1000) if one.undone else None,
        "steps": [{"step": step.step_id, "exit_code": step.exit_code, "error": step.error} for step in steps],
    }


def show_tests(
    console: Console, tried: Sequence[Rehearsal | Examination], target: Target, *, whole: bool, heal: bool
) -> None:
    """Print results; with ``whole`` every fact and clause, else of failing checks the clauses that do not hold."""
    rows = [row_of(one) for one in tried]
    table = Table(box=None, header_style="bold")
    for title in ("RUNBOOK", "VERDICT", *(("REHEARSAL",) if heal else ()), "TIME", "REASON"):
        table.add_column(
            title, overflow="fold", no_wrap=title == "RUNBOOK", justify="right" if title == "TIME" else "left"
        )
    for one, row in zip(tried, rows, strict=True):
        cells = [str(row["runbook"]), _styled(str(row["verdict"]))]
        if heal:
            cells.append(_styled(one.ending.value) if isinstance(one, Rehearsal) else "")
        reason = one.reason if isinstance(one, Rehearsal) and one.ending is not Ending.NOT_NEEDED else row["reason"]
        table.add_row(*cells, f"{row.get('duration_ms', '')} ms", escape(one_line(str(reason))))
    console.print(table)
    for row in rows:
        _show_details(console, row, whole=whole)
    host = next((one.scan.host for one in map(_examination, tried) if one.scan.host is not None), None)
    system = f", {host.os_id} {host.os_version}, kernel {host.kernel}" if host else ""
    counts = ", ".join(f"{sum(row['verdict'] == name for row in rows)} {name}" for name in dict.fromkeys(_words(rows)))
    console.print(escape(f"\n{target.target_id}{system}: {plural(len(rows), 'runbook')} tested: {counts}."))


def _words(rows: Sequence[dict[str, JsonValue]]) -> list[str]:
    return [str(row["verdict"]) for row in rows]


def _styled(word: str) -> str:
    style = _STYLES.get(word, "yellow" if word.startswith("not_restored") or word == "failed" else "")
    return f"[{style}]{word}[/]" if style else word


def _show_details(console: Console, row: dict[str, JsonValue], *, whole: bool) -> None:
    clauses = [
        (name, clause)
        for name in ("applies_when", "pass_when")
        for clause in _listed(row.get(name))
        if isinstance(clause, dict) and (whole or (row["verdict"] == "fail" and not clause["holds"]))
    ]
    rehearsal = row.get("rehearsal")
    if not clauses and not whole and not rehearsal:
        return
    console.print(f"\n[bold]{row['runbook']}[/] {escape(str(row.get('title', '')))}")
    facts = row.get("facts")
    for key, value in facts.items() if whole and isinstance(facts, dict) else ():
        console.print(escape(f"  {key} = {one_line(str(value))}"), style="dim")
    for name, clause in clauses:
        mark = "[green]✓[/]" if clause["holds"] else "[bold red]✗[/]"
        text = f"{name}: {clause['field']} expected {clause['expected']} actual {clause['actual']}"
        console.print(f"  {mark} {escape(one_line(text))}")
    for key in ("would", "why_not"):
        if row.get(key):
            console.print(escape(f"  {key.replace('_', ' ')}: {one_line(str(row[key]))}"))
    if isinstance(rehearsal, dict):
        _show_rehearsal(console, rehearsal)


def _show_rehearsal(console: Console, rehearsal: dict[str, JsonValue]) -> None:
    for key in ("changed", "differences"):
        for path in _listed(rehearsal[key]):
            console.print(escape(f"  {'changed' if key == 'changed' else 'NOT AS IT WAS'}: {one_line(str(path))}"))
    if rehearsal["attempt"]:
        times = f"healed in {rehearsal['heal_ms']} ms, taken back in {rehearsal['rollback_ms']} ms"
        console.print(escape(f"  attempt {rehearsal['attempt']}: {times}"), style="dim")


def _listed(value: JsonValue) -> list[JsonValue]:
    return list(value) if isinstance(value, list | tuple) else []
